"""The table of a sweep: a file with a line for each figure, so that a sweep that was interrupted goes on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import FormatError
from ser_store_h5.disk.appending import append_line


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the heads of one cell say.

    Attributes:
        predicted: ``(n,)`` int16 class indices of the utterances that are judged, fold by fold.
        n_train: utterances that were fitted on, in the largest fold's complement.
        seconds: of one core.
    """

    predicted: NDArray[np.int16]
    n_train: int
    seconds: float


def read_outcomes(path: Path) -> dict[str, Outcome]:
    """Return what the table has, by the keys of the cells; nothing where there is no such file.

    Raises:
        FormatError: if it is no table of a sweep.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]  # what stands behind the last line's end was torn by a kill
    except FileNotFoundError:
        return {}
    return dict(_parse(line, f"{path}, line {place}") for place, line in enumerate(lines, start=1))


def _parse(line: bytes, where: str) -> tuple[str, Outcome]:
    try:
        stated = json.loads(line)
        predicted = np.array(stated["predicted"], dtype=np.int16)
        return str(stated["key"]), Outcome(predicted, int(stated["n_train"]), float(stated["seconds"]))
    except (ValueError, KeyError, TypeError, OverflowError) as problem:
        raise FormatError(
            f"{where}: expected a line that `sweep()` wrote; name another `table`, or remove this one"
        ) from problem


def append_outcome(path: Path, key: str, described: Mapping[str, Any], outcome: Outcome) -> None:
    """Add a line; several processes may do so at once.

    Raises:
        StoreError: if the disk refuses.
    """
    found = {"n_train": outcome.n_train, "seconds": round(outcome.seconds, 3), "predicted": outcome.predicted.tolist()}
    append_line(path, json.dumps({"key": key, **described, **found}, separators=(",", ":")).encode())
