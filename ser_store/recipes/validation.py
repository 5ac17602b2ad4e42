"""Check a recipe's options: their names, those of earlier releases included, and their values."""

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard, TypeVar

from ser_store.errors import SerstoreError, UnknownNameError, describe_unknown

# What earlier releases called the options that bear Hugging Face's names now; files, runs and calls may have them.
OLD_NAMES: Final[Mapping[str, str]] = {
    "epochs": "num_train_epochs",
    "train_batch_size": "per_device_train_batch_size",
    "eval_batch_size": "per_device_eval_batch_size",
    "accumulation": "gradient_accumulation_steps",
    "schedule": "lr_scheduler_type",
    "warmup_share": "warmup_ratio",
    "label_smoothing": "label_smoothing_factor",
    "attention": "attn_implementation",
    "compile": "torch_compile",
    "dataloader_workers": "dataloader_num_workers",
}
_Class = TypeVar("_Class", bound=type)
# Sizes and counts beyond it are mistyped, and torch fails on some of them only once training has begun.
_MAX_WHOLE = 2**31 - 1
# Factors and epochs beyond these are mistyped, too.
LEAST, MOST = 1e-6, 1e6
_SHOWN = 60


def check_whole(name: str, value: object, *, at_least: int, at_most: int = _MAX_WHOLE) -> None:
    """Refuse what is not a whole number from ``at_least`` to ``at_most``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise SerstoreError(f"{_quote(name)} is {_show(value)}: expected a whole number of at least {at_least}")
    if value > at_most:
        raise SerstoreError(f"{_quote(name)} is {_show(value)}: expected a whole number of at most {at_most:,}")


def check_positive(name: str, value: object) -> None:
    """Refuse what is not a finite number above 0."""
    if not _is_number(value) or value <= 0:
        raise SerstoreError(f"{_quote(name)} is {_show(value)}: expected a finite number above 0")


def check_not_negative(name: str, value: object) -> None:
    """Refuse what is not a finite number of at least 0."""
    if not _is_number(value) or value < 0:
        raise SerstoreError(f"{_quote(name)} is {_show(value)}: expected a finite number of at least 0")


def check_between(name: str, value: object, *, lowest: float, highest: float) -> None:
    """Refuse what is not a number from ``lowest`` to ``highest``."""
    if not _is_number(value) or not lowest <= value <= highest:
        raise SerstoreError(f"{_quote(name)} is {_show(value)}: expected a number from {lowest:g} to {highest:,.15g}")


def check_share(name: str, value: object, *, below_one: bool = False) -> None:
    """Refuse what is not a number from 0 to 1, or below 1."""
    if not _is_number(value) or not 0 <= value <= 1 or (below_one and value == 1):
        raise SerstoreError(
            f"{_quote(name)} is {_show(value)}: expected a number from 0 to {'below 1' if below_one else '1'}"
        )


def check_range(name: str, value: object, *, lowest: float, highest: float) -> None:
    """Refuse what is not a pair of numbers from ``lowest`` to ``highest``, the lower one first."""
    if not _is_pair(value) or not lowest <= value[0] <= value[1] <= highest:
        shown = list(value) if isinstance(value, tuple) else value
        raise SerstoreError(
            f"{_quote(name)} is {shown}: expected two numbers from {lowest:g} to {highest:g}, the lower one first"
        )


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool):
        raise SerstoreError(f"{_quote(name)} is {value!r}: expected true or false")


def check_names(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Refuse the first name that is not known; says the nearest ones."""
    for name in given:
        if name not in known:
            raise UnknownNameError(describe_unknown(what, name, known))


def replace_old_names(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options by their present names.

    >>> replace_old_names({"epochs": 3, "seed": 1})
    {'num_train_epochs': 3, 'seed': 1}

    Raises:
        SerstoreError: if one is given by both names.
    """
    for old, new in OLD_NAMES.items():
        if old in stated and new in stated:
            raise SerstoreError(f"`{old}` and `{new}` are given, which mean the same: expected `{new}` alone")
    return {OLD_NAMES.get(name, name): value for name, value in stated.items()}


def take_old_names(options: _Class) -> _Class:
    """Let a class of options take the old names, too."""
    init: Any = options.__init__  # type: ignore[misc]  # of this very class

    @functools.wraps(init)
    def take(self: Any, *values: Any, **stated: Any) -> None:
        init(self, *values, **replace_old_names(stated))

    options.__init__ = take  # type: ignore[misc]  # as dataclass sets it
    return options


def _quote(name: str) -> str:
    """Mark a parameter, of which the command makes its option."""
    return f"`{name}`" if name.isidentifier() else name


def _show(value: object) -> str:
    """As a recipe has it; of what is very long, its beginning."""
    shown = repr(value) if isinstance(value, str) else str(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _is_pair(value: object) -> TypeGuard[tuple[float, float]]:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is one that a float can hold; of a whole number with more digits, only a comparison can be asked."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
