"""What there is at the path of a store: a folder, a packed file, or neither."""

import os
from pathlib import Path

from ser_store_h5.errors import FormatError, StoreError
from ser_store_h5.hdf5.seal import check_magic
from ser_store_h5.places.folder import FolderSource
from ser_store_h5.places.packed import PackedSource
from ser_store_h5.places.sources import Source


def find_place(path: Path | str) -> Path:
    """Where ``path`` leads from here and now, whatever becomes the working directory; ``~`` is the home folder."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - a link to a store has its own name


def open_source(path: Path) -> Source:
    """The store at ``path``.

    Raises:
        StoreError: if there is none, naming the way to one.
    """
    if (path / "corpus.h5").is_file():
        return FolderSource(path)
    if path.is_file() and _is_sealed(path):
        return PackedSource(path)
    if not path.exists():
        found = "there is no such folder"
    else:
        found = "there is no corpus.h5 in it" if path.is_dir() else "it is a file that `pack()` did not write"
    raise StoreError(
        f"no store at {path}: {found}; make one with `init()` or `import_predictions()`, or name another `store`"
    )


def _is_sealed(path: Path) -> bool:
    try:
        check_magic(path)
    except FormatError:
        return False
    return True
