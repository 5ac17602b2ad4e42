"""HDF5 files of this format: sealed, with checksummed metadata. libhdf5 writes them; they are read without it."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np

from ser_store_h5.errors import FormatError, IntegrityError, SerstoreError
from ser_store_h5.hdf5.attributes import write_text
from ser_store_h5.hdf5.bytes import DamageError, FileBytes, StructureError
from ser_store_h5.hdf5.groups import Group
from ser_store_h5.hdf5.objects import read_object
from ser_store_h5.hdf5.seal import SEAL_BYTES, open_sealed, seal

if TYPE_CHECKING:
    import h5py

# Superblock 3 and object header 2, whose metadata carry checksums, readable by every libhdf5 since 1.10.
LIBRARY_VERSION = ("v110", "v110")


def compose_file(fill: "Callable[[h5py.File], None]", *, format_name: str, version: int) -> memoryview:
    """Return the bytes of a sealed file, composed in memory, so that libhdf5 never meets a disk.

    Args:
        fill: writes attributes and datasets into the file.
    """
    import h5py  # takes longer to import than most stores to read

    content = BytesIO()
    with held_interrupts(), h5py.File(content, "w", libver=LIBRARY_VERSION, userblock_size=SEAL_BYTES) as file:
        write_format(file, format_name, version)
        fill(file)
    return seal(content)


# Those whose handlers may raise: Ctrl-C, and what schedulers and time limits send.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGBREAK")
_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


@contextmanager
def held_interrupts() -> Iterator[Callable[[], None]]:
    """Keep signals that Python handles until the block ends. Yields a function that lets those that came happen now.

    What their handlers raise would be lost while h5py frees an object, or libhdf5 calls back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # handlers run in the main thread only
        return
    found = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = {number: handler for number, handler in found.items() if callable(handler)}
    came: list[tuple[int, FrameType | None]] = []

    def let_happen() -> None:
        while came:
            number, frame = came.pop(0)
            handlers[signal.Signals(number)](number, frame)

    try:
        for number in handlers:
            signal.signal(number, lambda number, frame: came.append((number, frame)))
        yield let_happen
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        let_happen()


def write_format(target: "h5py.Group", format_name: str, version: int) -> None:
    write_text(target, "format", format_name)
    target.attrs["format_version"] = np.int32(version)


@contextmanager
def stated_damage(where: str) -> Iterator[None]:
    """What is wrong with the bytes of ``where`` becomes one line.

    Raises:
        FormatError: for what FORMAT.md does not allow.
        IntegrityError: for damaged bytes.
    """
    try:
        yield
    except SerstoreError:
        raise
    except FileNotFoundError:
        raise FormatError(f"{where}: no such file") from None
    except (OSError, DamageError) as problem:
        detail = getattr(problem, "strerror", None) or str(problem)
        raise IntegrityError(f"{where}: cannot be read ({detail}); restore the file from a copy") from problem
    except StructureError as problem:
        raise FormatError(
            f"{where}: is not made as FORMAT.md says ({problem}); restore the file from a copy"
        ) from problem


@contextmanager
def open_file(path: Path, *, format_name: str, version: int) -> Iterator[Group]:
    """Open for reading.

    Raises:
        FormatError: for another format, or a version newer than this release reads.
        IntegrityError: for damaged bytes.
    """
    with stated_damage(str(path)), open_sealed(path) as (handle, _):
        file = FileBytes(handle, os.fstat(handle).st_size)
        root = Group(file, read_object(file, file.find_root()), str(path))
        check_format(root, format_name, version)
        yield root


def check_format(group: Group, format_name: str, version: int) -> None:
    """Refuse another format, and a version newer than this release reads."""
    found = group.text("format")
    if found != format_name:
        raise FormatError(f"{group.where}: is of format {found!r}: expected {format_name!r}")
    found_version = group.integer("format_version")
    if found_version > version:
        raise FormatError(
            f"{group.where}: has format version {found_version}, written by {group.text('written_by')}: this release "
            f"reads up to {version}; upgrade with pip install -U ser-store"
        )
    if found_version < 1:
        raise FormatError(f"{group.where}: has format version {found_version}: expected 1 to {version}")
