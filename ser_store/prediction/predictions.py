"""What was said of recordings: a table in a terminal, rows for programs, a file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Block, Figure, Result, Table, format_count
from ser_store.errors import ExistsError, StoreError
from ser_store.prediction.recordings import Span
from ser_store_h5.disk.atomic import write_bytes_atomically
from ser_store_h5.member import NO_ANSWER

_SUFFIXES = (".csv", ".json", ".parquet")
# What the column of a class takes at least in a terminal, and those before the classes beside the name of the file.
_CLASS_WIDTH, _REST_WIDTH = 5, 40


@dataclass(frozen=True, repr=False)
class Predictions(Result):
    """What a member or an ensemble says of recordings.

    Attributes:
        members: full names; of what no store knows, its folder or hub id.
        rule: by which several vote, or are summed; None for one.
        classes: in the order of the probabilities.
        spans: the recordings, or the windows of them.
        predicted: ``(n,)`` int16, indices of the classes; -1 where an ensemble abstained.
        probabilities: ``(n, c)``; of a hard vote shares of the votes; None where there are none.
        left_out: why, by file, of those that cannot be used.
        notes: what became of the recordings, and what the numbers are, a line each.
    """

    members: tuple[str, ...]
    rule: str | None
    classes: tuple[str, ...]
    spans: tuple[Span, ...]
    predicted: NDArray[np.int16]
    probabilities: NDArray[np.float64] | None
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str | None]:
        """The class of each, None where an ensemble abstained."""
        return [None if one == NO_ANSWER else self.classes[one] for one in self.predicted.tolist()]

    @property
    def are_windows(self) -> bool:
        """Whether a file may have several rows."""
        return any(span.start > 0 for span in self.spans)

    def describe(self) -> Iterator[Block]:
        """Yield the table, and what is to be said of it."""
        yield self.tabulate()
        yield from self.notes

    def tabulate(self, width: int | None = None) -> Table:
        """Return a row for each recording; with all probabilities, where they fit into ``width`` characters."""
        names = [str(span.path) for span in self.spans]
        header = ["file", *(["start", "end"] if self.are_windows else ["seconds"]), "class"]
        rows: list[list[object]] = [
            [name, *([_Seconds(span.start)] if self.are_windows else []), _Seconds(span.end), label or "(none)"]
            for name, span, label in zip(names, self.spans, self.labels, strict=True)
        ]
        if self.probabilities is None:
            return Table(header, rows)
        needed = sum(max(len(name), _CLASS_WIDTH) + 2 for name in self.classes)
        is_wide = width is None or max(map(len, names)) + _REST_WIDTH + needed <= width
        for row, own in zip(rows, self.probabilities, strict=True):
            first, second = np.argsort(-own, kind="stable")[:2]
            then = f"{self.classes[second]} {own[second]:.3f}"
            row += [Figure(own[first]), *(map(Figure, own) if is_wide else [then])]
        return Table([*header, "probability", *(self.classes if is_wide else ["then"])], rows)

    def records(self) -> list[dict[str, Any]]:
        """Return a row each: ``file``, ``start`` and ``end`` in seconds, ``label``, and ``p_CLASS`` for each class."""
        shares = [[None] * len(self.classes)] * len(self.spans)
        if self.probabilities is not None:
            shares = self.probabilities.tolist()
        return [
            {"file": str(span.path), "start": span.start, "end": span.end, "label": label}
            | {f"p_{name}": share for name, share in zip(self.classes, own, strict=True)}
            for span, label, own in zip(self.spans, self.labels, shares, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore predict --json``."""
        shares = [None] * len(self.spans) if self.probabilities is None else self.probabilities.tolist()
        rows = [
            {
                "file": str(span.path),
                "start": span.start,
                "end": span.end,
                "label": label,
                "probabilities": None if own is None else dict(zip(self.classes, own, strict=True)),
            }
            for span, label, own in zip(self.spans, self.labels, shares, strict=True)
        ]
        return {"members": list(self.members), "rule": self.rule, "predictions": rows}

    def save(self, path: Path) -> str:
        """Write all rows to a new CSV, JSON or Parquet file; return the line that says so.

        Raises:
            ExistsError: if the file is there.
            StoreError: if its suffix says another type.
        """
        check_output(path)
        write_bytes_atomically(path, self._encode(path.suffix.lower()))
        return f"wrote {format_count(len(self.spans), 'row')} to {path}"

    def _encode(self, suffix: str) -> bytes:
        if suffix == ".json":
            return (json.dumps(self.to_json(), ensure_ascii=False, indent=1) + "\n").encode()
        if suffix == ".csv":
            return self.to_frame().write_csv().encode()
        content = BytesIO()
        self.to_frame().write_parquet(content)
        return content.getvalue()


def check_output(path: Path) -> None:
    """Refuse a file that is there, or of a type that is not written, before anything is computed.

    Raises:
        ExistsError, StoreError: saying which.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise StoreError(
            f"{path}: cannot be written as {path.suffix or 'a file without suffix'}: expected {', '.join(_SUFFIXES)}"
        )
    if path.exists():
        raise ExistsError(f"{path} is there already: expected a new file; name another, or remove it")


class _Seconds(float):
    def __str__(self) -> str:
        return f"{float(self):.2f}"
