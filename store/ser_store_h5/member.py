"""A member: what one run said at one step about the utterances it covers, and the file that keeps it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5 import __version__
from ser_store_h5.arrays import (
    create_file,
    find_names,
    get_dataset,
    open_file,
    read_array,
    read_integer,
    read_rows,
    read_text,
    write_array,
    write_text,
)
from ser_store_h5.atomic import write_atomically
from ser_store_h5.corpus import Corpus
from ser_store_h5.errors import FormatError, StoreError
from ser_store_h5.names import MAX_STEP, format_member

FORMAT_NAME = "ser-store/member"
FORMAT_VERSION = 1
POOLED_KINDS = ("f2", "f4")


@dataclass(frozen=True)
class Member:
    """What one run said at one step; ``m`` utterances covered, ``c`` classes, ``d`` hidden.

    Attributes:
        run: the run's name.
        step: optimizer steps done when it was taken.
        rows: ``(m,)`` int32, indices into the corpus, ascending, unique.
        logits: ``(m, c)`` float32 in the corpus' class order, or None.
        pooled: ``(m, d)`` float16 or float32 pooled representations, or None.
        predicted: ``(m,)`` int16 class indices, for members imported as labels, or None.
        provenance: how it came to be; JSON values.
    """

    run: str
    step: int
    rows: NDArray[np.int32]
    logits: NDArray[np.float32] | None = None
    pooled: NDArray[np.float16] | NDArray[np.float32] | None = None
    predicted: NDArray[np.int16] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return format_member(self.run, self.step)


@dataclass(frozen=True)
class MemberInfo:
    """What a member file holds, without its arrays. ``can_vote``: whether it has logits or predicted labels."""

    run: str
    step: int
    n: int
    pooled: tuple[int, int] | None
    logits: tuple[int, int] | None
    can_vote: bool
    provenance: Mapping[str, Any]
    bytes: int

    @property
    def name(self) -> str:
        return format_member(self.run, self.step)


def _is_finite(array: NDArray[Any]) -> bool:
    """Whether all numbers are finite as they are stored: float64 beyond the range of float32 is not."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float32) if array.dtype == np.float64 else array).all())


def _check_member(member: Member, corpus: Corpus) -> None:
    m, name = len(member.rows), member.name
    if not 0 <= member.step <= MAX_STEP:
        raise StoreError(f"{name}: expected a step of 0 to {MAX_STEP}")
    if m == 0:
        raise StoreError(f"{name} covers no utterance: expected at least one")
    rows = member.rows
    if rows[0] < 0 or rows[-1] >= len(corpus) or bool(np.any(np.diff(rows) <= 0)):
        raise StoreError(f"{name}: rows must be ascending and unique indices below {len(corpus)}")
    if member.logits is None and member.pooled is None and member.predicted is None:
        raise StoreError(f"{name} holds nothing: expected logits, pooled or predicted")
    if member.logits is not None and member.logits.shape != (m, len(corpus.classes)):
        raise StoreError(
            f"{name}: logits have shape {member.logits.shape}: expected ({m}, {len(corpus.classes)}), one row for each "
            "of its utterances and one column for each class"
        )
    if member.logits is not None and not _is_finite(member.logits):
        raise StoreError(f"{name}: logits hold NaN or infinity: expected finite numbers; has the training diverged?")
    if member.pooled is not None and (member.pooled.ndim != 2 or len(member.pooled) != m or not member.pooled.size):
        raise StoreError(f"{name}: pooled has shape {member.pooled.shape}: expected ({m}, hidden)")
    if member.pooled is not None and member.pooled.dtype.str not in ("<f2", "<f4"):
        raise StoreError(f"{name}: pooled has dtype {member.pooled.dtype}: expected float16 or float32")
    if member.pooled is not None and not _is_finite(member.pooled):
        raise StoreError(f"{name}: pooled holds NaN or infinity: expected finite numbers; has the training diverged?")
    if member.predicted is not None and (
        member.predicted.shape != (m,)
        or not 0 <= member.predicted.min() <= member.predicted.max() < len(corpus.classes)
    ):
        raise StoreError(f"{name}: predicted must be {m} class indices below {len(corpus.classes)}")


def write_member(path: Path, member: Member, corpus: Corpus, *, replace: bool = False) -> None:
    """Write a member file, whole or not at all.

    Raises:
        StoreError: if the member contradicts itself or the corpus, or the disk refuses.
        ExistsError: if the file is there and ``replace`` is not set.
    """
    _check_member(member, corpus)

    def write(temporary: Path) -> None:
        with create_file(temporary, format_name=FORMAT_NAME, version=FORMAT_VERSION) as file:
            write_text(file, "written_by", f"ser-store {__version__}")
            write_text(file, "corpus", corpus.digest)
            write_text(file, "run", member.run)
            file.attrs["step"] = np.int64(member.step)
            write_text(file, "provenance", json.dumps(dict(member.provenance), sort_keys=True))
            write_array(file, "rows", member.rows.astype(np.int32, copy=False))
            if member.logits is not None:
                write_array(file, "logits", member.logits.astype(np.float32, copy=False))
            if member.pooled is not None:
                write_array(file, "pooled", member.pooled)
            if member.predicted is not None:
                write_array(file, "predicted", member.predicted.astype(np.int16, copy=False))

    write_atomically(path, write, replace=replace)


def find_places(name: str, own: NDArray[np.int32], rows: NDArray[np.int32], corpus: Corpus) -> NDArray[np.intp]:
    """Where ``rows`` of the corpus stand among the ``own`` rows of the member ``name``.

    Raises:
        StoreError: naming the utterances that the member does not cover.
    """
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(corpus):
        raise StoreError(f"rows {rows.min()} to {rows.max()}: expected indices into {len(corpus)} utterances")
    places = np.minimum(np.searchsorted(own, rows), len(own) - 1)
    missing = rows[own[places] != rows]
    if len(missing):
        first = ", ".join(corpus.ids[missing[:3]].tolist()) + (", …" if len(missing) > 3 else "")
        raise StoreError(
            f"{name} says nothing about {len(missing)} of the {len(rows)} utterances asked for ({first}): expected "
            "all; choose another part with --on, leave the member out, or run `serstore extract`"
        )
    return places


@contextmanager
def open_member(path: Path, corpus: Corpus) -> Iterator["MemberFile"]:
    """Open a member file for reading.

    Raises:
        FormatError: if the file is not what FORMAT.md says.
        IntegrityError: if its bytes are damaged.
        StoreError: if it belongs to another corpus.
    """
    with open_file(path, format_name=FORMAT_NAME, version=FORMAT_VERSION) as file:
        yield MemberFile(file, path, corpus)


class MemberFile:
    """An open member file that belongs to ``corpus``. Made by :func:`open_member`."""

    def __init__(self, file: Any, path: Path, corpus: Corpus) -> None:
        self._file = file
        self._path = path
        self._n_classes = len(corpus.classes)
        self._n_corpus = len(corpus)
        if read_text(file, "corpus") != corpus.digest:
            raise StoreError(
                f"{path}: belongs to another corpus (digest {read_text(file, 'corpus')[:12]}…): expected "
                f"{corpus.digest[:12]}…, this store's {corpus.name}; keep stores of different corpora apart"
            )
        self.names = set(find_names(file))
        if not self.names & {"logits", "pooled", "predicted"}:
            raise FormatError(f"{path}: holds neither logits, pooled nor predicted")

    def read_rows(self) -> NDArray[np.int32]:
        rows = read_array(self._file, "rows", kinds=("i4",), shape=(None,))
        if not len(rows) or rows[0] < 0 or rows[-1] >= self._n_corpus or bool(np.any(np.diff(rows) <= 0)):
            raise FormatError(f"{self._path}: rows: expected ascending unique indices below {self._n_corpus}")
        return rows

    def read_logits(self, m: int) -> NDArray[np.float32]:
        return self._check_finite("logits", read_array(self._file, "logits", kinds=("f4",), shape=(m, self._n_classes)))

    def read_predicted(self, m: int) -> NDArray[np.int16]:
        predicted = read_array(self._file, "predicted", kinds=("i2",), shape=(m,))
        if not 0 <= predicted.min() <= predicted.max() < self._n_classes:
            raise FormatError(f"{self._path}: predicted: expected class indices below {self._n_classes}")
        return predicted

    def read_pooled(self, m: int, places: NDArray[np.integer[Any]] | None = None) -> NDArray[Any]:
        """Pooled representations of all rows, or of those at ``places`` among this member's rows."""
        if places is None:
            pooled = read_array(self._file, "pooled", kinds=POOLED_KINDS, shape=(m, None))
        else:
            pooled = read_rows(self._file, "pooled", places, kinds=POOLED_KINDS, shape=(m, None))
        return self._check_finite("pooled", pooled)

    def _check_finite(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        if not bool(np.isfinite(array).all()):
            raise FormatError(f"{self._path}: {name}: holds NaN or infinity: expected finite numbers")
        return array

    def describe(self) -> MemberInfo:
        n = get_dataset(self._file, "rows", kinds=("i4",), shape=(None,)).shape[0]
        shapes: dict[str, tuple[int, int] | None] = {"pooled": None, "logits": None}
        if "pooled" in self.names:
            shapes["pooled"] = get_dataset(self._file, "pooled", kinds=POOLED_KINDS, shape=(n, None)).shape
        if "logits" in self.names:
            shapes["logits"] = get_dataset(self._file, "logits", kinds=("f4",), shape=(n, self._n_classes)).shape
        return MemberInfo(
            run=read_text(self._file, "run"),
            step=read_integer(self._file, "step"),
            n=n,
            pooled=shapes["pooled"],
            logits=shapes["logits"],
            can_vote=bool(self.names & {"logits", "predicted"}),
            provenance=self.read_provenance(),
            bytes=self._path.stat().st_size,
        )

    def read_provenance(self) -> dict[str, Any]:
        try:
            provenance = json.loads(read_text(self._file, "provenance"))
        except (ValueError, RecursionError) as problem:
            raise FormatError(f"{self._path}: attribute provenance: expected a JSON object") from problem
        if not isinstance(provenance, dict):
            raise FormatError(f"{self._path}: attribute provenance: expected a JSON object")
        return provenance

    def read(self) -> Member:
        """Everything, each array compared with its digest."""
        rows = self.read_rows()
        m = len(rows)
        return Member(
            run=read_text(self._file, "run"),
            step=read_integer(self._file, "step"),
            rows=rows,
            logits=self.read_logits(m) if "logits" in self.names else None,
            pooled=self.read_pooled(m) if "pooled" in self.names else None,
            predicted=self.read_predicted(m) if "predicted" in self.names else None,
            provenance=self.read_provenance(),
        )
