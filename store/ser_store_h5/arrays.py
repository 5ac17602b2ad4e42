"""Reading and writing single arrays and attributes of an HDF5 file that nobody vouches for.

Every object is looked up by name, never by walking; only hard links are followed; type, shape and storage are checked
before anything is allocated; every array read whole is compared with its digest.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ser_store_h5.errors import FormatError, IntegrityError, SerstoreError
from ser_store_h5.seal import SEAL_BYTES, check_magic, write_sealed

# Superblock 3 and object header 2, whose metadata carry checksums, readable by every libhdf5 since 1.10.
LIBRARY_VERSION = ("v110", "v110")
MAX_ATTRIBUTE_BYTES = 60_000  # an HDF5 object header message holds 64 KiB
CHUNK_BYTES = 1 << 20
MAX_CHUNK_BYTES = 1 << 26

Array = NDArray[Any]


def compute_digest(array: Array) -> str:
    """SHA-256 (hex) over dtype, shape and C-ordered little-endian bytes of an array."""
    stored = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    shape = ",".join(map(str, stored.shape))
    digest = hashlib.sha256(f"{stored.dtype.str} {shape}\n".encode())
    digest.update(stored.view(np.uint8).data if stored.size else b"")
    return digest.hexdigest()


def encode_strings(strings: Array) -> NDArray[np.bytes_]:
    """UTF-8 of fixed width: unlike HDF5's own variable-length strings it is covered by checksums."""
    try:
        return np.char.encode(strings, "utf-8") if strings.size else np.zeros(0, dtype="S1")
    except UnicodeEncodeError as problem:
        raise FormatError(
            f"{problem.object[:100]!r} is not valid Unicode: rename the file or mend the text"
        ) from problem


def decode_strings(stored: Array, *, where: str) -> NDArray[np.str_]:
    try:
        return np.char.decode(stored, "utf-8")
    except UnicodeDecodeError as problem:
        raise FormatError(f"{where}: expected UTF-8 text") from problem


@contextmanager
def create_file(path: Path, *, format_name: str, version: int) -> Iterator[h5py.File]:
    """A new sealed file at ``path``, written and flushed to the disk when the block ends.

    It is built in memory: where a disk refuses, libhdf5 can neither close the file nor forget it.
    """
    kind = {"libver": LIBRARY_VERSION, "userblock_size": SEAL_BYTES}
    with h5py.File(path, "w", driver="core", backing_store=False, **kind) as file:
        write_text(file, "format", format_name)
        file.attrs["format_version"] = np.int32(version)
        yield file
        file.flush()
        body = file.id.get_file_image()  # without the user block
    write_sealed(path, body)


@contextmanager
def open_file(path: Path, *, format_name: str, version: int) -> Iterator[h5py.File]:
    """Open for reading; whatever libhdf5 says about the file's bytes becomes one line that names the file.

    Raises:
        FormatError: for another format, or a version newer than this release reads.
        IntegrityError: for damaged bytes.
    """
    try:
        check_magic(path)
        with h5py.File(path, "r", libver=LIBRARY_VERSION, locking=False) as file:
            _check_format(file, path, format_name, version)
            yield file
    except SerstoreError:
        raise
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file") from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as problem:
        detail = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise IntegrityError(f"{path}: cannot be read ({detail}); restore the file from a copy") from problem


def _check_format(file: h5py.File, path: Path, format_name: str, version: int) -> None:
    found = read_text(file, "format")
    if found != format_name:
        raise FormatError(f"{path}: is of format {found!r}: expected {format_name!r}")
    found_version = read_integer(file, "format_version")
    if found_version > version:
        raise FormatError(
            f"{path}: has format version {found_version}, written by {read_text(file, 'written_by')}: this release "
            f"reads up to {version}; upgrade with pip install -U ser-store"
        )
    if found_version < 1:
        raise FormatError(f"{path}: has format version {found_version}: expected 1 to {version}")


def write_text(target: h5py.HLObject, name: str, text: str) -> None:
    """A text attribute of fixed length (see :func:`encode_strings`)."""
    try:
        encoded = text.encode()
    except UnicodeEncodeError as problem:
        raise FormatError(f"attribute {name}: {text[:100]!r} is not valid Unicode: mend the text") from problem
    if "\0" in text:
        raise FormatError(f"attribute {name}: {text[:100]!r} holds a NUL: expected text without")
    if len(encoded) > MAX_ATTRIBUTE_BYTES:
        raise FormatError(f"attribute {name} has {len(encoded)} bytes: expected at most {MAX_ATTRIBUTE_BYTES}")
    target.attrs.create(name, np.array(encoded or b"\0"), dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))


def _name_attribute(target: h5py.HLObject, name: str) -> str:
    """Where an attribute is, for a message; too slow to compute for attributes that are as they should be."""
    return f"{target.file.filename}: attribute {name}"


def _open_attribute(target: h5py.HLObject, name: str) -> h5py.h5a.AttrID:
    """A scalar attribute of fixed-length text or an integer, checked before it is read."""
    key = name.encode()
    if not h5py.h5a.exists(target.id, key):
        raise FormatError(f"{_name_attribute(target, name)} is missing")
    attribute = h5py.h5a.open(target.id, key)
    is_scalar = attribute.get_space().get_simple_extent_type() == h5py.h5s.SCALAR
    if not is_scalar or attribute.get_storage_size() > MAX_ATTRIBUTE_BYTES:
        raise FormatError(f"{_name_attribute(target, name)}: expected one value of at most {MAX_ATTRIBUTE_BYTES} bytes")
    kind = attribute.get_type()
    is_text = kind.get_class() == h5py.h5t.STRING and not kind.is_variable_str()
    if not is_text and kind.get_class() != h5py.h5t.INTEGER:
        raise FormatError(f"{_name_attribute(target, name)}: expected text of fixed length or an integer")
    return attribute


def read_text(target: h5py.HLObject, name: str) -> str:
    attribute = _open_attribute(target, name)
    if attribute.get_type().get_class() != h5py.h5t.STRING:
        raise FormatError(f"{_name_attribute(target, name)}: expected text")
    value = np.empty((), dtype=f"S{attribute.get_storage_size()}")
    attribute.read(
        value, mtype=attribute.get_type()
    )  # libhdf5 converts no UTF-8 to the ASCII that numpy's S stands for
    try:
        return bytes(value.item()).decode()
    except UnicodeDecodeError as problem:
        raise FormatError(f"{_name_attribute(target, name)}: expected UTF-8 text") from problem


def read_integer(target: h5py.HLObject, name: str) -> int:
    attribute = _open_attribute(target, name)
    if attribute.get_type().get_class() != h5py.h5t.INTEGER:
        raise FormatError(f"{_name_attribute(target, name)}: expected an integer")
    value = np.empty((), dtype=attribute.dtype)
    attribute.read(value)
    return int(value)


def write_array(file: h5py.File, name: str, array: Array) -> None:
    """One array: little-endian, chunked by rows of about 1 MiB, each chunk with a Fletcher-32 checksum."""
    stored = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    row_bytes = max(1, stored.nbytes // max(1, len(stored)))
    rows = max(1, min(len(stored), CHUNK_BYTES // row_bytes))
    dataset = file.create_dataset(name, data=stored, chunks=(rows, *stored.shape[1:]), fletcher32=True)
    write_text(dataset, "sha256", compute_digest(stored))


def find_names(file: h5py.File, group: str = "/") -> list[str]:
    """Names of what is in a group, ascending; empty where there is none. :func:`get_dataset` tells what they are."""
    if group != "/" and group not in file.id:
        return []
    if group != "/" and not isinstance(file.get(group, getlink=True), h5py.HardLink):
        raise FormatError(f"{file.filename}: {group}: is a link: expected a group inside the file")
    node = file[group]
    if not isinstance(node, h5py.Group):
        raise FormatError(f"{file.filename}: {group}: expected a group")
    if len(node) > 10_000:
        raise FormatError(f"{file.filename}: {group}: has {len(node)} entries: expected at most 10000")
    return list(node)


def get_dataset(file: h5py.File, name: str, *, kinds: tuple[str, ...], shape: tuple[int | None, ...]) -> h5py.Dataset:
    """The dataset ``name`` after its link, type, shape and storage have been checked.

    Args:
        kinds: the dtypes allowed, as numpy writes them without byte order (``f4``, ``i2``), ``S`` for any width.
        shape: the shape expected; None for an axis of any length.

    Raises:
        FormatError: if anything differs from what FORMAT.md says.
    """
    where = f"{file.filename}: {name}"
    parent, _, leaf = name.rpartition("/")
    if parent and not isinstance(file.get(parent, getlink=True), h5py.HardLink):
        raise FormatError(f"{where} is missing")
    group = file[parent] if parent else file
    if not isinstance(group, h5py.Group) or leaf.encode() not in group.id:
        raise FormatError(f"{where} is missing")
    if not isinstance(group.get(leaf, getlink=True), h5py.HardLink):
        raise FormatError(f"{where}: is a link: expected a dataset inside the file")
    dataset = group[leaf]
    if not isinstance(dataset, h5py.Dataset):
        raise FormatError(f"{where}: expected a dataset")
    kind = dataset.dtype.str[1:] if dataset.dtype.kind != "S" else "S"
    if kind not in kinds or dataset.dtype.str[0] == ">":
        raise FormatError(f"{where}: has dtype {dataset.dtype}: expected little-endian {' or '.join(kinds)}")
    fits = len(dataset.shape or ()) == len(shape) and all(
        expected is None or length == expected for length, expected in zip(dataset.shape, shape, strict=True)
    )
    if not fits:
        expected_shape = "(" + ", ".join("any" if length is None else str(length) for length in shape) + ")"
        raise FormatError(f"{where}: has shape {dataset.shape}: expected {expected_shape}")
    _check_storage(dataset, where)
    return dataset


def _check_storage(dataset: h5py.Dataset, where: str) -> None:
    creation = dataset.id.get_create_plist()
    filters = {creation.get_filter(i)[0] for i in range(creation.get_nfilters())}
    if dataset.is_virtual or creation.get_external_count() or filters != {h5py.h5z.FILTER_FLETCHER32}:
        raise FormatError(f"{where}: expected chunks inside the file with the filter fletcher32 and no other")
    item_bytes = max(1, dataset.dtype.itemsize)
    chunk_bytes = int(np.prod(dataset.chunks, dtype=object)) * item_bytes if dataset.chunks else 0
    size = Path(dataset.file.filename).stat().st_size
    claimed = int(np.prod(dataset.shape, dtype=object)) * item_bytes
    # Nothing is compressed, so an array larger than its file, or than its chunks, is a lie told to exhaust memory.
    if claimed > size or chunk_bytes > MAX_CHUNK_BYTES or dataset.id.get_storage_size() < claimed:
        raise FormatError(
            f"{where}: claims {dataset.shape} of {dataset.dtype}, more than its file of {size} bytes holds"
        )


def read_array(file: h5py.File, name: str, *, kinds: tuple[str, ...], shape: tuple[int | None, ...]) -> Array:
    """A whole array, in native byte order, compared with its digest.

    Raises:
        FormatError: if the dataset is not what FORMAT.md says.
        IntegrityError: if its bytes are not those that were written.
    """
    dataset = get_dataset(file, name, kinds=kinds, shape=shape)
    where = f"{file.filename}: {name}"
    try:
        array = np.asarray(dataset[()])
    except (OSError, RuntimeError, ValueError) as problem:
        raise IntegrityError(f"{where}: its bytes are damaged; restore the file from a copy") from problem
    if compute_digest(array) != read_text(dataset, "sha256"):
        raise IntegrityError(f"{where}: its bytes are not those that were written; restore the file from a copy")
    return array


def read_rows(
    file: h5py.File,
    name: str,
    places: NDArray[np.integer[Any]],
    *,
    kinds: tuple[str, ...],
    shape: tuple[int | None, ...],
) -> Array:
    """The rows ``places`` (ascending) of a 2-D array; a small part is read by chunks, each with its checksum."""
    dataset = get_dataset(file, name, kinds=kinds, shape=shape)
    if len(places) * 4 > dataset.shape[0]:
        whole = read_array(file, name, kinds=kinds, shape=shape)
        return np.asarray(whole[places])
    try:
        return np.asarray(dataset[places])
    except (OSError, RuntimeError, ValueError) as problem:
        raise IntegrityError(
            f"{file.filename}: {name}: its bytes are damaged; restore the file from a copy"
        ) from problem
