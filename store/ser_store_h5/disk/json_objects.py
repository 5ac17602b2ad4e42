"""JSON objects that nobody vouches for: what two programs could read differently is refused."""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn


class JsonProblem(ValueError):
    """What is wrong with a text that should be a JSON object."""


def without_nan(value: Any) -> Any:
    """Numbers that are not finite become None: JSON has no other way to say them."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return value


def parse_object(content: bytes | str) -> dict[str, Any]:
    """The object that ``content`` is, in UTF-8.

    Raises:
        JsonProblem: if it is no JSON object, says one key twice, or holds a number that JSON does not have.
    """
    try:
        text = content if isinstance(content, str) else content.decode()
        found = json.loads(text, object_pairs_hook=_refuse_twins, parse_constant=_refuse_constant)
    except JsonProblem:
        raise
    except (ValueError, RecursionError) as problem:
        raise JsonProblem("is not JSON") from problem
    if not isinstance(found, dict):
        raise JsonProblem("is no JSON object")
    return found


def _refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise JsonProblem("says one key twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise JsonProblem(f"holds {name}, which is no number in JSON")
