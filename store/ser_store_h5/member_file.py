"""Members on disk: a file each, or a group each of a packed store."""

import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5 import __version__
from ser_store_h5.corpus import Corpus, CorpusHeader
from ser_store_h5.disk.atomic import write_bytes_atomically
from ser_store_h5.disk.json_objects import parse_object, without_nan
from ser_store_h5.errors import FormatError
from ser_store_h5.hdf5.arrays import StoredArray, copy_array, write_array
from ser_store_h5.hdf5.attributes import write_text
from ser_store_h5.hdf5.files import compose_file, open_file
from ser_store_h5.hdf5.groups import Group
from ser_store_h5.member import MAX_LAYER, NO_ANSWER, Member, MemberInfo, check_member, is_finite, name_layers
from ser_store_h5.names import parse_member_file

if TYPE_CHECKING:
    import h5py

FORMAT_NAME = "ser-store/member"
FORMAT_VERSION = 2  # that of members with layers; all others are written as version 1
POOLED_KINDS = ("f2", "f4")
DATASETS = ("rows", "logits", "pooled", "predicted")
_DTYPES = {"rows": np.int32, "logits": np.float32, "predicted": np.int16}

Places = NDArray[np.integer[Any]]
# Opens the member of a run at a step.
OpenMember = Callable[[str, int], AbstractContextManager["MemberFile"]]


def write_member(path: Path, member: Member, corpus: Corpus | CorpusHeader, *, replace: bool = False) -> None:
    """Write a member file, whole or not at all.

    Raises:
        StoreError: if the member contradicts itself or the corpus, or the disk refuses.
        ExistsError: if the file is there and ``replace`` is not set.
    """
    check_member(member, corpus)

    def fill(file: "h5py.File") -> None:
        write_head(file, member.run, member.step, corpus.digest, member.provenance, layers=sorted(member.layers))
        for name, array in member.arrays.items():
            write_array(file, name, array.astype(_DTYPES.get(name, array.dtype), copy=False))

    content = compose_file(fill, format_name=FORMAT_NAME, version=choose_version(member.layers))
    # The run may just have been removed: its folder is not made anew.
    write_bytes_atomically(path, content, replace=replace, below=path.parent)


def choose_version(layers: Collection[int]) -> int:
    """Return the version a member is written as, so that one without layers is read by every release."""
    return FORMAT_VERSION if layers else 1


def write_head(
    target: "h5py.Group", run: str, step: int, digest: str, provenance: Any, *, layers: Sequence[int]
) -> None:
    """Write all that a new member says before its arrays."""
    _write_attributes(target, run, step, digest, provenance)
    write_text(target, "written_by", f"ser-store {__version__}")
    _write_layers(target, layers)


def _write_layers(target: "h5py.Group", layers: Sequence[int]) -> None:
    if layers:
        write_text(target, "layers", ",".join(map(str, layers)))


def _write_attributes(target: "h5py.Group", run: str, step: int, digest: str, provenance: Any) -> None:
    write_text(target, "corpus", digest)
    write_text(target, "run", run)
    target.attrs["step"] = np.int64(step)
    write_text(target, "provenance", json.dumps(without_nan(provenance), sort_keys=True, allow_nan=False))


@contextmanager
def open_member(path: Path, corpus: Corpus | CorpusHeader) -> Iterator["MemberFile"]:
    """Open the file of a member for reading: its folder bears the run's name, and its own name the step.

    Raises:
        FormatError: if the file is not what FORMAT.md says, of another member, or of another corpus.
        IntegrityError: if its bytes are damaged.
    """
    folder, name = os.path.split(path)
    with open_file(path, format_name=FORMAT_NAME, version=FORMAT_VERSION) as group:
        yield MemberFile(group, corpus, os.path.basename(folder), parse_member_file(name))  # noqa: PTH119 - paths cost


class MemberFile:
    """An open member that belongs to ``corpus``, and is the one its place says it is. Made by :func:`open_member`.

    Args:
        run: the run whose place it has; and so ``step``.
    """

    def __init__(
        self, group: Group, corpus: Corpus | CorpusHeader, run: str, step: int | None, *, is_packed: bool = False
    ) -> None:
        self._group, self._is_packed = group, is_packed
        self._where = group.where
        self._found: dict[str, StoredArray] = {}
        self._n_classes, self._n_corpus = len(corpus.classes), len(corpus)
        digest = group.text("corpus")
        if digest != corpus.digest:
            raise FormatError(
                f"{self._where}: belongs to another corpus (digest {digest[:12]}…): expected "
                f"{corpus.digest[:12]}…, this store's {corpus.name}; this file was copied in from another "
                "store, or corpus.h5 was if all members say so"
            )
        self.run, self.step = group.text("run"), group.integer("step")
        if (self.run, self.step) != (run, step):
            expected = "the name of its place" if is_packed else "the name its folder and file give it"
            raise FormatError(f"{self._where}: {run}@{step} says it is {self.run}@{self.step}: expected {expected}")
        self.layers = self._read_layers()
        self.names = {name for name in DATASETS if name in group} | {*name_layers(self.layers).values()}
        if not self.names & {"logits", "pooled", "predicted"}:
            raise FormatError(f"{self._where}: holds neither logits, pooled nor predicted")

    def _read_layers(self) -> tuple[int, ...]:
        """The numbers of the layers; none of a member of version 1."""
        if self._group.integer("format_version") < FORMAT_VERSION:
            return ()
        text = self._group.text("layers")
        numbers = [int(one) for one in text.split(",") if one.isascii() and one.isdigit()]
        if not numbers or text != ",".join(map(str, sorted({*numbers}))) or numbers[-1] > MAX_LAYER:
            raise FormatError(
                f"{self._where}: attribute layers is {text[:100]!r}: expected ascending numbers of 0 to {MAX_LAYER}"
            )
        return tuple(numbers)

    def _find(self, name: str, m: int | None) -> StoredArray:
        """The array of this name, of ``m`` rows, before any of it is read; looked up once."""
        found = self._found.get(name)
        if found is None or m not in (None, found.shape[0]):
            found = self._found[name] = self._look_up(name, m)
        return found

    def _look_up(self, name: str, m: int | None) -> StoredArray:
        if name == "rows":
            return self._group.array(name, kinds=("i4",), shape=(m,))
        if name == "logits":
            return self._group.array(name, kinds=("f4",), shape=(m, self._n_classes))
        if name == "pooled":
            return self._group.array(name, kinds=POOLED_KINDS, shape=(m, None))
        if name == "predicted":
            return self._group.array(name, kinds=("i2",), shape=(m,))
        folder, _, layer = name.partition("/")
        lower = self._group.group(folder)
        if lower is None:
            raise FormatError(f"{self._where}: {name} is missing")
        return lower.array(layer, kinds=POOLED_KINDS, shape=(m, self._find("pooled", m).shape[1]))

    def check(self, name: str, values: NDArray[Any]) -> None:
        """Refuse values that cannot be those of some rows of an array."""
        if name == "predicted":
            if values.size and not NO_ANSWER <= values.min() <= values.max() < self._n_classes:
                raise FormatError(f"{self._where}: predicted: expected class indices below {self._n_classes}")
        elif name != "rows" and not is_finite(values):
            raise FormatError(f"{self._where}: {name}: holds NaN or infinity: expected finite numbers")

    def read_rows(self) -> NDArray[np.int32]:
        """The utterances covered, ``(m,)`` int32."""
        rows = self._find("rows", None).read()
        if not len(rows) or rows[0] < 0 or rows[-1] >= self._n_corpus or not bool(np.all(rows[:-1] < rows[1:])):
            raise FormatError(f"{self._where}: rows: expected ascending unique indices below {self._n_corpus}")
        return rows

    def read_array(self, name: str, m: int, places: Places | None = None) -> NDArray[Any]:
        """``logits``, ``pooled`` or ``predicted`` of all ``m`` rows, or of those at ``places`` among them."""
        stored = self._find(name, m)
        values = stored.read() if places is None else stored.read_rows(places)
        self.check(name, values)
        return values

    def verify(self) -> MemberInfo:
        """Read everything and keep nothing, however large it is; returns what the member holds.

        Raises:
            FormatError: if the member is not what FORMAT.md says.
            IntegrityError: if its bytes are not those that were written.
        """
        self.read_rows()
        for name, array in self.find_arrays().items():
            for block in array.iter_blocks() if name != "rows" else ():
                self.check(name, block)
        return self.describe()

    def find_arrays(self) -> dict[str, StoredArray]:
        """Every array of the member, before any is read.

        Raises:
            FormatError: if they are not what FORMAT.md says, or claim more than their file holds.
        """
        rows = self._find("rows", None)
        others = [name for name in (*DATASETS, *name_layers(self.layers).values()) if name in self.names]
        found = {"rows": rows} | {name: self._find(name, rows.shape[0]) for name in others}
        claimed = sum(array.nbytes for array in found.values())
        if claimed > self._group.file_bytes:
            raise FormatError(
                f"{self._where}: its arrays claim {claimed} bytes, more than its file of {self._group.file_bytes} holds"
            )
        return found

    def describe(self) -> MemberInfo:
        arrays = self.find_arrays()
        shapes: dict[str, Any] = {name: array.shape for name, array in arrays.items()}
        packed_bytes = sum(array.stored_bytes for array in arrays.values())
        sizes: dict[str, int] = {}
        for name, array in arrays.items():
            kind = name.partition("/")[0]
            sizes[kind] = sizes.get(kind, 0) + array.nbytes
        return MemberInfo(
            run=self.run,
            step=self.step,
            n=arrays["rows"].shape[0],
            pooled=shapes.get("pooled"),
            logits=shapes.get("logits"),
            can_vote=bool(self.names & {"logits", "predicted"}),
            provenance=self.read_provenance(),
            bytes=packed_bytes if self._is_packed else self._group.file_bytes,
            dataset_bytes=sizes,
            layers=self.layers,
        )

    def read_provenance(self) -> dict[str, Any]:
        try:
            return parse_object(self._group.text("provenance"))
        except ValueError as problem:
            raise FormatError(f"{self._where}: attribute provenance: expected a JSON object") from problem

    def read(self) -> Member:
        """Everything, each array compared with its digest."""
        rows = self.read_rows()
        held = {name: self.read_array(name, len(rows)) for name in self.find_arrays() if name != "rows"}
        return Member(
            run=self.run,
            step=self.step,
            rows=rows,
            provenance=self.read_provenance(),
            layers={number: held[name] for number, name in name_layers(self.layers).items()},
            **{name: held[name] for name in DATASETS if name in held},
        )

    def copy_into(self, target: "h5py.Group", *, without: frozenset[str] = frozenset(), provenance: Any = None) -> None:
        """Write the member into a group that bears its format already, a few MiB at a time.

        Args:
            without: arrays that are left out, as ``MemberInfo.dataset_bytes`` names them.
            provenance: in place of the member's own.

        Raises:
            FormatError: if the member is not what FORMAT.md says.
            IntegrityError: if its bytes are not those that were written.
        """
        info = self.describe()
        self.read_rows()
        provenance = info.provenance if provenance is None else provenance
        _write_attributes(target, info.run, info.step, self._group.text("corpus"), provenance)
        write_text(target, "written_by", self._group.text("written_by"))
        _write_layers(target, self.choose_layers(without))
        for name, array in self.find_arrays().items():
            if name.partition("/")[0] not in without:
                copy_array(array, target, name)

    def choose_layers(self, without: frozenset[str]) -> tuple[int, ...]:
        """Return the layers that a copy without some arrays has."""
        return () if "pooled" in without else self.layers
