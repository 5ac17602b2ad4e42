"""What somebody passes as a number or as one of several choices, checked: every complaint is one line."""

from collections.abc import Iterable
from math import inf, isfinite
from numbers import Integral, Real

import numpy as np

from ser_store.errors import SerstoreError, UnknownNameError, describe_unknown


def check_number(
    name: str,
    given: object,
    error: type[SerstoreError],
    *,
    least: float = -inf,
    most: float = inf,
    whole: bool = False,
    expected: str = "",
) -> None:
    """Refuse what is no finite number, or none between ``least`` and ``most``, both included; True and False are none.

    Args:
        name: the parameter.
        given: its value.
        error: what is raised.
        whole: take whole numbers only.
        expected: what the complaint asks for. Default: said by the other arguments.

    >>> from ser_store.errors import EnsembleError
    >>> check_number("threads", "two", EnsembleError, least=1, whole=True)
    Traceback (most recent call last):
    ser_store.errors.EnsembleError: `threads` is 'two': expected a whole number from 1 on
    """
    kind = "whole" if whole else "finite"
    is_number = isinstance(given, Integral if whole else Real) and not isinstance(given, bool | np.bool_)
    if is_number and isfinite(given) and least <= given <= most:  # type: ignore[arg-type, operator]  # a number
        return
    shown = f"{given:g}" if isinstance(given, Real) and not isinstance(given, bool) else repr(given)
    end = "on" if most == inf else f"to {most:g}"
    reach = f" from {least:g} {end}" if least > -inf else ""
    raise error(f"`{name}` is {shown}: expected {expected or f'a {kind} number{reach}'}")


def check_choice(kind: str, given: object, known: Iterable[str]) -> None:
    """Refuse what is none of the known choices.

    Raises:
        UnknownNameError: listing them, nearest first.

    >>> check_choice("tie rule", "lowst", ["best", "lowest"])
    Traceback (most recent call last):
    ser_store_h5.errors.UnknownNameError: unknown tie rule 'lowst': expected one of lowest (nearest), best
    """
    known = list(known)
    if not isinstance(given, str) or given not in known:
        raise UnknownNameError(describe_unknown(kind, str(given), known))
