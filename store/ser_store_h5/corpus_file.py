"""``corpus.h5``: the corpus on disk."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_store_h5 import __version__
from ser_store_h5.corpus import MAX_CLASSES, Corpus, CorpusHeader, StrArray
from ser_store_h5.disk.atomic import write_bytes_atomically
from ser_store_h5.errors import CorpusError, FormatError, IntegrityError
from ser_store_h5.hdf5.arrays import StoredArray, write_array
from ser_store_h5.hdf5.attributes import decode_strings, encode_strings, write_text
from ser_store_h5.hdf5.files import compose_file, open_file
from ser_store_h5.hdf5.groups import Group

if TYPE_CHECKING:
    import h5py

FORMAT_NAME = "ser-store/corpus"
FORMAT_VERSION = 1
COLUMN_KINDS = ("S", "i8", "f8")

OpenGroup = Callable[[], AbstractContextManager[Group]]


def check_column_name(name: str) -> str:
    """``name`` itself, if it can name a dataset.

    Raises:
        CorpusError: stating the rule.
    """
    is_unicode = name == name.encode(errors="replace").decode()
    if not 1 <= len(name) <= 100 or "/" in name or "\0" in name or name in {".", ".."} or not is_unicode:
        raise CorpusError(
            f"column or split name {name[:120]!r}: expected 1 to 100 characters of Unicode, no '/' or NUL, and not '.' "
            "or '..'; rename the column"
        )
    return name


def _check_columns(corpus: Corpus) -> None:
    """Refuse what the format cannot hold, so that whatever was written can be read."""
    for name in (*corpus.columns, *corpus.splits):
        check_column_name(name)
    texts = [("ids", corpus.ids), ("speakers", corpus.speakers), ("paths", corpus.paths), *corpus.splits.items()]
    for name, values in texts:
        if values is not None and values.dtype.kind != "U":
            raise CorpusError(f"{name} has dtype {values.dtype}: expected text")
    for name, column in corpus.columns.items():
        if column.dtype.kind != "U" and column.dtype not in (np.int64, np.float64):
            raise CorpusError(f"column {name} has dtype {column.dtype}: expected text, int64 or float64")
    digests = corpus.audio_digests
    if digests is not None and (digests.dtype != np.uint8 or digests.shape != (len(corpus), 32)):
        raise CorpusError(f"audio_digests are {digests.dtype} {digests.shape}: expected uint8 ({len(corpus)}, 32)")


def write_corpus(path: Path, corpus: Corpus, *, replace: bool = False) -> None:
    """Write ``corpus.h5``, whole or not at all.

    Raises:
        ExistsError: if the file is there and ``replace`` is not set.
        CorpusError: if the format cannot hold a name, a dtype or a text of it.
    """
    write_bytes_atomically(path, compose_corpus(corpus), replace=replace)


def compose_corpus(corpus: Corpus) -> memoryview:
    """Return the bytes of ``corpus.h5``.

    Raises:
        CorpusError: if the format cannot hold a name, a dtype or a text of it.
    """
    _check_columns(corpus)
    return compose_file(partial(fill_corpus, corpus=corpus), format_name=FORMAT_NAME, version=FORMAT_VERSION)


def fill_corpus(target: "h5py.Group", corpus: Corpus) -> None:
    """Write a corpus into a group that bears its format already."""
    write_text(target, "written_by", f"ser-store {__version__}")
    write_text(target, "digest", corpus.digest)
    write_text(target, "name", corpus.name)
    write_text(target, "default_split", corpus.default_split or "")
    write_text(target, "audio_root", corpus.audio_root or "")
    write_array(target, "ids", encode_strings(corpus.ids))
    write_array(target, "labels", corpus.labels.astype(np.int16, copy=False))
    write_array(target, "classes", encode_strings(np.array(corpus.classes)))
    _write_optional(target, corpus)


def _write_optional(target: "h5py.Group", corpus: Corpus) -> None:
    if corpus.speakers is not None:
        write_array(target, "speakers", encode_strings(corpus.speakers))
    if corpus.paths is not None:
        write_array(target, "paths", encode_strings(corpus.paths))
    if corpus.audio_digests is not None:
        write_array(target, "audio_digests", corpus.audio_digests)
    for name, values in sorted(corpus.columns.items()):
        write_array(target, f"columns/{name}", encode_strings(values) if values.dtype.kind == "U" else values)
    for name, parts in sorted(corpus.splits.items()):
        write_array(target, f"splits/{name}", encode_strings(parts))


def _read_strings(array: StoredArray) -> StrArray:
    return decode_strings(array.read(), where=array.where)


def _find_columns(group: Group, kind: str, n: int) -> dict[str, StoredArray]:
    """The columns or splits; all of them together fit into their file, or they are links to the same bytes."""
    inner = group.group(kind)
    if inner is None:
        return {}
    found = {name: inner.array(name, kinds=COLUMN_KINDS, shape=(n,)) for name in map(check_column_name, inner.names())}
    claimed = sum(array.nbytes for array in found.values())
    if claimed > group.file_bytes:
        raise FormatError(
            f"{group.where}: {kind} claim {claimed} bytes, more than their file of {group.file_bytes} bytes holds"
        )
    return found


def _read_column(array: StoredArray) -> Any:
    return _read_strings(array) if array.dtype.kind == "S" else array.read()


def read_corpus(path: Path) -> Corpus:
    """Read ``corpus.h5``, every array compared with its digest.

    Raises:
        FormatError: if the file is not what FORMAT.md says.
        IntegrityError: if its bytes are not those that were written.
    """
    with open_file(path, format_name=FORMAT_NAME, version=FORMAT_VERSION) as group:
        return read_corpus_group(group)


def read_corpus_group(group: Group) -> Corpus:
    """Read a corpus from the group that holds it; see :func:`read_corpus`."""
    ids = _read_strings(group.array("ids", kinds=("S",), shape=(None,)))
    n = len(ids)

    def read_optional(name: str) -> StrArray | None:
        return _read_strings(group.array(name, kinds=("S",), shape=(n,))) if name in group else None

    try:
        corpus = Corpus(
            name=group.text("name"),
            ids=ids,
            labels=group.array("labels", kinds=("i2",), shape=(n,)).read(),
            classes=_read_classes(group),
            speakers=read_optional("speakers"),
            columns={name: _read_column(array) for name, array in _find_columns(group, "columns", n).items()},
            splits={name: _read_split(array) for name, array in _find_columns(group, "splits", n).items()},
            default_split=group.text("default_split") or None,
            paths=read_optional("paths"),
            audio_root=group.text("audio_root") or None,
            audio_digests=group.array("audio_digests", kinds=("u1",), shape=(n, 32)).read()
            if "audio_digests" in group
            else None,
        )
    except CorpusError as problem:
        raise FormatError(f"{group.where}: {problem}") from problem
    if corpus.digest != group.text("digest"):
        raise IntegrityError(
            f"{group.where}: ids, labels or classes do not match the digest; restore the file from a copy"
        )
    return corpus


def _read_classes(group: Group) -> tuple[str, ...]:
    classes = _read_strings(group.array("classes", kinds=("S",), shape=(None,)))
    if len(classes) > MAX_CLASSES:
        raise CorpusError(f"the corpus has {len(classes)} classes: expected 2 to {MAX_CLASSES}")
    return tuple(classes.tolist())


def _read_split(array: StoredArray) -> StrArray:
    if array.dtype.kind != "S":
        raise FormatError(f"{array.where}: has dtype {array.dtype}: expected text")
    return _read_strings(array)


def read_header(path: Path) -> CorpusHeader:
    """Read all of ``corpus.h5`` but the utterances: a few KiB, however many there are.

    Raises:
        FormatError: if the file is not what FORMAT.md says.
        IntegrityError: if its bytes are not those that were written.
    """
    open_again = partial(open_file, path, format_name=FORMAT_NAME, version=FORMAT_VERSION)
    with open_again() as group:
        return read_header_group(group, open_again)


def read_header_group(group: Group, open_again: OpenGroup) -> CorpusHeader:
    """Read a header from the group that holds the corpus; ``open_again`` opens that group when a split is asked for."""
    n = group.array("ids", kinds=("S",), shape=(None,)).shape[0]
    group.array("labels", kinds=("i2",), shape=(n,))
    try:
        classes = _read_classes(group)
    except CorpusError as problem:
        raise FormatError(f"{group.where}: {problem}") from problem
    return CorpusHeader(
        name=group.text("name"),
        digest=group.text("digest"),
        n=n,
        classes=classes,
        splits=_StoredSplits(tuple(_find_columns(group, "splits", n)), n, open_again),
        default_split=group.text("default_split") or None,
    )


class _StoredSplits(Mapping[str, StrArray]):
    """Splits that are read when they are asked for, each once."""

    def __init__(self, names: tuple[str, ...], n: int, open_again: OpenGroup) -> None:
        self._names, self._n, self._open = names, n, open_again
        self._read: dict[str, StrArray] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> StrArray:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            with self._open() as group:
                self._read[name] = _read_split(_find_columns(group, "splits", self._n)[name])
        return self._read[name]
