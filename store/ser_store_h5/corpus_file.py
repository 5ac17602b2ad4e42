"""``corpus.h5``: the corpus on disk."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ser_store_h5 import __version__
from ser_store_h5.arrays import (
    create_file,
    decode_strings,
    encode_strings,
    find_names,
    get_dataset,
    open_file,
    read_array,
    read_text,
    write_array,
    write_text,
)
from ser_store_h5.atomic import write_atomically
from ser_store_h5.corpus import Corpus, CorpusError
from ser_store_h5.errors import FormatError, IntegrityError

FORMAT_NAME = "ser-store/corpus"
FORMAT_VERSION = 1
COLUMN_KINDS = ("S", "i8", "f8")


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
    _check_columns(corpus)

    def write(temporary: Path) -> None:
        with create_file(temporary, format_name=FORMAT_NAME, version=FORMAT_VERSION) as file:
            write_text(file, "written_by", f"ser-store {__version__}")
            write_text(file, "digest", corpus.digest)
            write_text(file, "name", corpus.name)
            write_text(file, "default_split", corpus.default_split or "")
            write_text(file, "audio_root", corpus.audio_root or "")
            write_array(file, "ids", encode_strings(corpus.ids))
            write_array(file, "labels", corpus.labels.astype(np.int16, copy=False))
            write_array(file, "classes", encode_strings(np.array(corpus.classes)))
            _write_optional(file, corpus)

    write_atomically(path, write, replace=replace)


def _write_optional(file: h5py.File, corpus: Corpus) -> None:
    if corpus.speakers is not None:
        write_array(file, "speakers", encode_strings(corpus.speakers))
    if corpus.paths is not None:
        write_array(file, "paths", encode_strings(corpus.paths))
    if corpus.audio_digests is not None:
        write_array(file, "audio_digests", corpus.audio_digests)
    for name, values in sorted(corpus.columns.items()):
        write_array(file, f"columns/{name}", encode_strings(values) if values.dtype.kind == "U" else values)
    for name, parts in sorted(corpus.splits.items()):
        write_array(file, f"splits/{name}", encode_strings(parts))


def _read_strings(file: h5py.File, name: str, n: int | None) -> NDArray[np.str_]:
    stored = read_array(file, name, kinds=("S",), shape=(n,))
    return decode_strings(stored, where=f"{file.filename}: {name}")


def _find_columns(file: h5py.File, group: str, n: int) -> list[str]:
    """Names of the columns or splits; all of them together fit into their file, or they are links to the same bytes."""
    names = [check_column_name(name) for name in find_names(file, group)]
    claimed = sum(int(get_dataset(file, f"{group}/{name}", kinds=COLUMN_KINDS, shape=(n,)).nbytes) for name in names)
    size = Path(file.filename).stat().st_size
    if claimed > size:
        raise FormatError(f"{file.filename}: {group} claim {claimed} bytes, more than their file of {size} bytes holds")
    return names


def _read_column(file: h5py.File, name: str, n: int) -> Any:
    stored = read_array(file, name, kinds=COLUMN_KINDS, shape=(n,))
    return decode_strings(stored, where=f"{file.filename}: {name}") if stored.dtype.kind == "S" else stored


def read_corpus(path: Path) -> Corpus:
    """Read ``corpus.h5``, every array compared with its digest.

    Raises:
        FormatError: if the file is not what FORMAT.md says.
        IntegrityError: if its bytes are not those that were written.
    """
    with open_file(path, format_name=FORMAT_NAME, version=FORMAT_VERSION) as file:
        names = set(find_names(file))
        ids = _read_strings(file, "ids", None)
        n = len(ids)
        try:
            corpus = Corpus(
                name=read_text(file, "name"),
                ids=ids,
                labels=read_array(file, "labels", kinds=("i2",), shape=(n,)),
                classes=tuple(_read_strings(file, "classes", None).tolist()),
                speakers=_read_strings(file, "speakers", n) if "speakers" in names else None,
                columns={
                    column: _read_column(file, f"columns/{column}", n) for column in _find_columns(file, "columns", n)
                },
                splits={split: _read_strings(file, f"splits/{split}", n) for split in _find_columns(file, "splits", n)},
                default_split=read_text(file, "default_split") or None,
                paths=_read_strings(file, "paths", n) if "paths" in names else None,
                audio_root=read_text(file, "audio_root") or None,
                audio_digests=read_array(file, "audio_digests", kinds=("u1",), shape=(n, 32))
                if "audio_digests" in names
                else None,
            )
        except CorpusError as problem:
            raise FormatError(f"{path}: {problem}") from problem
        if corpus.digest != read_text(file, "digest"):
            raise IntegrityError(
                f"{path}: ids, labels or classes do not match the digest; restore the file from a copy"
            )
        return corpus
