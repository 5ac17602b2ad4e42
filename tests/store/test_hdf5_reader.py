"""The reader of HDF5 beside libhdf5: the same links, types, shapes and bytes of what libhdf5 writes in this format."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hostile_samples
import numpy as np
import pytest
from fuzz_samples import make_sample
from hdf5_blocks import find_blocks, repair
from hypothesis import given
from hypothesis import strategies as st
from store_samples import make_store

from ser_store_h5.hdf5.arrays import StoredArray
from ser_store_h5.hdf5.bytes import FileBytes, StructureError, compute_lookup3
from ser_store_h5.hdf5.chunks import compute_fletcher
from ser_store_h5.hdf5.groups import Group
from ser_store_h5.hdf5.objects import read_object

DTYPES = ("<i1", "<i2", "<i4", "<i8", "<u1", "<u8", "<f2", "<f4", "<f8", "S1", "S7", "S300")


def write(path: Path, fill: Any) -> None:
    with h5py.File(path, "w", libver=("v110", "v110"), userblock_size=512) as file:
        fill(file)
    hostile_samples.seal(path)


@contextmanager
def open_root(path: Path) -> Iterator[Group]:
    with path.open("rb") as handle:
        file = FileBytes(handle.fileno(), path.stat().st_size)
        yield Group(file, read_object(file, file.find_root()), str(path))


def make_array(dtype: str, shape: tuple[int, ...], seed: int) -> Any:
    content = np.random.default_rng(seed).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return np.frombuffer(content, dtype=dtype).reshape(shape)


def get_array(group: Group, name: str, array: Any) -> StoredArray:
    kinds = ("S",) if array.dtype.kind == "S" else (array.dtype.str[1:],)
    return group.array(name, kinds=kinds, shape=array.shape)


@given(
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple),
    chunk_rows=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_any_array_of_the_format_is_read_as_libhdf5_wrote_it(
    tmp_path_factory: Any, dtype: str, shape: tuple[int, ...], chunk_rows: int, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "array.h5"
    array = make_array(dtype, shape, seed)
    chunks = (min(chunk_rows, shape[0]), *shape[1:])
    write(path, lambda file: hostile_samples.put(file, "array", array, chunks=chunks))
    with open_root(path) as root:
        stored = get_array(root, "array", array)
        assert stored.read().tobytes() == array.tobytes()
        assert b"".join(block.tobytes() for block in stored.iter_blocks()) == array.tobytes()
        places = np.random.default_rng(seed).integers(0, shape[0], 5)
        assert stored.read_rows(places).tobytes() == array[places].tobytes()
        assert stored._read_chunks(places).tobytes() == array[places].tobytes()
        content = path.read_bytes()
        for most in (1, chunk_rows * array[:1].nbytes * 3 + 12, 1 << 20):
            spans = [stored.join(memoryview(content)[start : start + size]) for start, size in stored.iter_spans(most)]
            assert b"".join(span.tobytes() for span in spans)[: array.nbytes] == array.tobytes()


@pytest.mark.parametrize("count", [1, 2, 1023, 1024, 1025, 3000])
def test_an_index_of_chunks_in_pages_is_read_page_by_page(tmp_path: Path, count: int) -> None:
    array = np.arange(count * 3, dtype="<i4").reshape(count, 3)
    write(tmp_path / "a.h5", lambda file: hostile_samples.put(file, "array", array, chunks=(1, 3)))
    with open_root(tmp_path / "a.h5") as root:
        stored = get_array(root, "array", array)
        assert stored._read_chunks(np.array([count - 1, 0])).tolist() == array[[count - 1, 0]].tolist()
        assert stored.read().tolist() == array.tolist()


@pytest.mark.parametrize("count", [0, 1, 8, 9, 44, 45, 46, 400, 3000, 10_000])
def test_every_link_of_a_group_is_found_however_many_there_are(tmp_path: Path, count: int) -> None:
    names = [f"name {i} " + "x" * (i % 90) for i in range(count)]

    def fill(file: h5py.File) -> None:
        group = file.create_group("group")
        for i, name in enumerate(names):
            group[name] = h5py.SoftLink("/elsewhere") if i % 3 else group
        for name in names[::7]:
            del group[name]

    write(tmp_path / "a.h5", fill)
    with open_root(tmp_path / "a.h5") as root:
        group = root.group("group")
        assert group is not None
        assert group.names() == sorted(set(names) - set(names[::7]))
        assert [name for name in names if name in group and group._links[name.encode()] is not None] == [
            name for i, name in enumerate(names) if i % 3 == 0 and i % 7
        ]


def test_more_links_than_a_group_may_have_are_refused_before_they_are_read(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        for i in range(10_001):
            file[f"{i}"] = h5py.SoftLink("/")

    write(tmp_path / "a.h5", fill)
    with open_root(tmp_path / "a.h5") as root, pytest.raises(StructureError, match="has 10001 entries: expected at"):
        root.names()


def test_two_names_of_one_object_are_read_and_a_cycle_ends_nowhere(tmp_path: Path) -> None:
    def fill(file: h5py.File) -> None:
        hostile_samples.put(file, "array", np.arange(3))
        file["again"], file["group/up"] = file["array"], file["/"]

    write(tmp_path / "a.h5", fill)
    with open_root(tmp_path / "a.h5") as root:
        group: Group | None = root
        for _ in range(50):
            assert group is not None
            group = (group.group("group") or root).group("up")
        assert group is not None
        assert get_array(group, "again", np.arange(3)).read().tolist() == [0, 1, 2]


def claim_header(path: Path, change: Any) -> None:
    """Change the file's bytes and make all checksums fit."""
    content = bytearray(path.read_bytes())
    blocks = find_blocks(bytes(content))
    change(content)
    repair(content, blocks)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (520, 2, "superblock of version 2: expected 3"),
        (520, 0, "superblock of version 0: expected 3"),
        (521, 4, "superblock of version 3: expected 3, with addresses of 8 bytes and no flags"),
        (523, 4, "superblock of version 3: expected 3, with addresses of 8 bytes and no flags"),
        (524, 1, "the superblock does not fit the file, or has an extension"),
        (532, 1, "the superblock does not fit the file, or has an extension"),
        (540, 1, "the superblock does not fit the file, or has an extension"),
        (512, 0, "the superblock is damaged"),
        (551, 1, "lie beyond the end of the file"),
    ],
)
def test_a_superblock_of_another_kind_is_refused(tmp_path: Path, place: int, value: int, message: str) -> None:
    write(tmp_path / "a.h5", lambda file: hostile_samples.put(file, "array", np.arange(3)))
    claim_header(tmp_path / "a.h5", lambda content: content.__setitem__(place, value))
    with pytest.raises(StructureError, match=message), open_root(tmp_path / "a.h5"):
        pass


@pytest.mark.parametrize(
    "kind", [{"libver": "earliest"}, {"libver": ("v110", "v110"), "fs_strategy": "fsm", "fs_persist": True}]
)
def test_other_kinds_of_hdf5_files_are_refused(tmp_path: Path, kind: dict[str, Any]) -> None:
    with h5py.File(tmp_path / "a.h5", "w", **({"userblock_size": 512} | kind)) as file:
        hostile_samples.put(file, "array", np.arange(3))
    hostile_samples.seal(tmp_path / "a.h5")
    with pytest.raises(StructureError, match="superblock"), open_root(tmp_path / "a.h5"):
        pass


def test_a_header_that_continues_in_itself_for_ever_is_refused(tmp_path: Path) -> None:
    sample = make_sample("member")
    start, end = next(block for block in sample.blocks if sample.content[block[0] :].startswith(b"OCHK"))
    (tmp_path / "a.h5").write_bytes(sample.content)

    def circle(content: bytearray) -> None:
        """The block that continues a header holds nothing but a message that says it continues in the block."""
        message = b"\x10\x10\0\0" + (start - 512).to_bytes(8, "little") + (end + 4 - start).to_bytes(8, "little")
        rest = end - start - 4 - len(message)
        content[start + 4 : end] = message + b"\0" + (rest - 4).to_bytes(2, "little") + bytes(rest - 3)

    claim_header(tmp_path / "a.h5", circle)
    with (
        pytest.raises(StructureError, match="its blocks overlap, or are too many"),
        open_root(tmp_path / "a.h5") as root,
    ):
        root.names()


@pytest.mark.parametrize(
    ("block", "checksum"),
    [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)],
)
def test_lookup3_is_its_authors(block: bytes, checksum: int) -> None:
    assert compute_lookup3(block) == checksum  # from the self-test in lookup3.c, with initial values 0


@given(st.binary(max_size=3_000))
def test_fletcher_is_the_sum_by_the_book(content: bytes) -> None:
    first = second = 0
    for i in range(0, len(content), 2):
        first += content[i] << 8 | (content[i + 1] if i + 1 < len(content) else 0)
        second += first

    def fold(total: int) -> int:
        while total > 0xFFFF:
            total = (total & 0xFFFF) + (total >> 16)
        return total

    assert compute_fletcher(np.frombuffer(content, dtype=np.uint8)) == fold(second) << 16 | fold(first)


READ_ALL = """
import sys
import numpy as np
from ser_store_h5.store import Store
from ser_store_h5.integrity.verify import verify_store
store = Store(sys.argv[1])
rows = np.arange(12, dtype=np.int32)
store.corpus, store.members(), store.curves("tiny"), store.read_member("tiny@10")
store.logits(["tiny"], rows), store.predictions(["tiny"], rows), store.pooled("tiny", rows)
assert verify_store(sys.argv[1]).ok
print(any(name.startswith("h5py") for name in sys.modules))
"""


def test_reading_and_verifying_load_no_libhdf5_and_so_none_of_its_plugins(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "HDF5_PLUGIN_PATH": str(tmp_path)}
    command = [sys.executable, "-c", READ_ALL, str(store.path)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert found.stdout == "False\n"
