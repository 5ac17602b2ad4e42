"""Weights of the classes in the loss, as a recipe states them."""

from collections.abc import Mapping
from typing import Literal, get_args

from ser_store.errors import SerstoreError
from ser_store.recipes.validation import LEAST, MOST, check_between

ClassWeights = Literal["none", "balanced"]
_EXPECTED_WEIGHTS = "expected none, balanced, or weights by class such as angry=2,calm=0.5"


def parse_class_weights(text: str) -> str | dict[str, float]:
    """Read class weights as they are written on the command line: ``none``, ``balanced``, or weights by class.

    >>> parse_class_weights("angry=2, calm=0.5")
    {'angry': 2.0, 'calm': 0.5}

    Raises:
        SerstoreError: for anything else.
    """
    if "=" not in text:
        return text
    pairs = [part.rpartition("=") for part in text.split(",")]
    try:
        weights = {label.strip(): float(weight) for label, _, weight in pairs}
    except ValueError as problem:
        raise SerstoreError(f"`class_weights` is {text!r} ({problem}): {_EXPECTED_WEIGHTS}") from problem
    if len(weights) < len(pairs) or "" in weights:
        raise SerstoreError(f"`class_weights` is {text!r}: {_EXPECTED_WEIGHTS}, each class once")
    return weights


def check_class_weights(weights: str | Mapping[str, float]) -> None:
    """Refuse what is neither of the names nor weights by class."""
    if isinstance(weights, str) and weights in get_args(ClassWeights):
        return
    if not isinstance(weights, Mapping) or not weights:
        raise SerstoreError(f"`class_weights` is {weights!r}: {_EXPECTED_WEIGHTS}")
    for label, weight in weights.items():
        check_between(f"the weight of {label} in `class_weights`", weight, lowest=LEAST, highest=MOST)
