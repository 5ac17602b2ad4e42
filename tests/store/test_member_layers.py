"""Members with the layers of a backbone: version 2, each layer read without the others, and old readers told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hostile_samples
import numpy as np
import pytest
from store_samples import assert_same_member, get_problem, make_member, make_store

from ser_store_h5.errors import FormatError, StoreError
from ser_store_h5.hdf5.arrays import StoredArray
from ser_store_h5.hdf5.files import open_file
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.member import Member
from ser_store_h5.pack.merging import merge
from ser_store_h5.pack.packing import pack, unpack
from ser_store_h5.store import Store

FILE = "runs/tiny/step-000030.h5"


def make_layered(store: Store, *numbers: int, rows: Any = None, **changes: Any) -> Member:
    """Layer n holds the numbers of the plain member times n + 1."""
    plain = make_member(store.corpus, "tiny", 30, rows=rows, **changes)
    assert plain.pooled is not None
    layers = {number: (plain.pooled * (number + 1)).astype(np.float16) for number in numbers}
    return replace(plain, pooled=None, layers=layers)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = make_store(tmp_path / "store")
    store.write_member(make_layered(store, 0, 3, 12))
    return store


def test_each_layer_is_read_alone_and_the_last_is_pooled(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = make_layered(store, 0, 3, 12)
    assert_same_member(store.read_member("tiny@30"), expected)
    assert store.describe_member("tiny@30").layers == (0, 3, 12)
    assert store.describe_member("tiny@20").layers == ()
    read: list[str] = []
    whole = StoredArray.read
    monkeypatch.setattr(StoredArray, "read", lambda array: read.append(array.where.rpartition(" ")[2]) or whole(array))
    for layer in (0, 3, 12):
        np.testing.assert_array_equal(store.pooled("tiny@30", on="all", layer=layer), expected.layers[layer])
    np.testing.assert_array_equal(store.pooled("tiny@30", [5, 2]), expected.layers[12][[5, 2]])
    assert read == ["rows", "layers/00", "rows", "layers/03", "rows", "pooled", "rows", "pooled"]
    stacked = store.pooled(["tiny@30", "tiny@30"], [1], layer=3)
    np.testing.assert_array_equal(stacked, expected.layers[3][[[1], [1]]])


@pytest.mark.parametrize(
    ("member", "layer", "told"),
    [
        ("tiny@30", 4, "tiny@30 has layers 0, 3, 12: expected one of them as `layer`, not 4; leave it out"),
        ("tiny@30", "3", "tiny@30 has layers 0, 3, 12: expected one of them as `layer`, not '3'; leave it out"),
        ("tiny@20", 12, "tiny@20 has its last layer only, without a number: expected one of them as `layer`, not 12"),
    ],
)
def test_a_layer_that_was_not_kept_is_refused(member: str, layer: Any, told: str, store: Store) -> None:
    with pytest.raises(StoreError) as refused:
        store.pooled(member, layer=layer)
    assert str(refused.value).startswith(told)


def test_a_member_without_layers_is_of_version_1_as_ever_and_an_old_reader_refuses_one_with(store: Store) -> None:
    read = {"format_name": "ser-store/member", "version": 1}
    with open_file(store.path / "runs/tiny/step-000020.h5", **read) as group:  # type: ignore[arg-type]
        assert "layers" not in group.names()
    with (
        pytest.raises(FormatError, match=r"format version 2, written by ser-store .*: this release reads up to 1; upg"),
        open_file(store.path / FILE, **read),  # type: ignore[arg-type]
    ):
        pass


def test_packed_unpacked_and_merged_they_are_the_same(store: Store, tmp_path: Path) -> None:
    pack(store, tmp_path / "packed")
    packed = Store(tmp_path / "packed")
    assert_same_member(packed.read_member("tiny@30"), store.read_member("tiny@30"))
    np.testing.assert_array_equal(packed.pooled("tiny@30", layer=3), store.pooled("tiny@30", layer=3))
    unpack(tmp_path / "packed", tmp_path / "again")
    assert (tmp_path / "again" / FILE).read_bytes() == (store.path / FILE).read_bytes()
    other = make_store(tmp_path / "other")
    assert merge(other, store).added == ("tiny@30",)
    assert (other.path / FILE).read_bytes() == (store.path / FILE).read_bytes()
    assert all(verify_store(path).ok for path in (packed.path, tmp_path / "again", other.path))


def test_packed_without_representations_they_are_version_1(store: Store, tmp_path: Path) -> None:
    pack(store, tmp_path / "small", with_pooled=False)
    small = Store(tmp_path / "small")
    assert small.describe_member("tiny@30").dataset_bytes.keys() == {"rows", "logits"}
    with h5py.File(tmp_path / "small") as file:
        group = file["runs/tiny/step-000030"]
        assert (group.attrs["format_version"], "layers" in group, "layers" in group.attrs) == (1, False, False)
    assert verify_store(small.path).ok


def test_layers_alone_are_left_out_of_a_pack_without_representations(store: Store, tmp_path: Path) -> None:
    store.write_member(replace(make_layered(store, 0, 1), step=40, logits=None))
    assert "tiny@40" not in pack(store, tmp_path / "small", with_pooled=False).members


def test_merging_compares_layer_by_layer(store: Store, tmp_path: Path) -> None:
    fewer = make_store(tmp_path / "fewer")
    fewer.write_member(make_layered(fewer, 3, 12, rows=range(12)))
    assert merge(store, fewer).identical == ("tiny@10", "tiny@20", "tiny@30")
    assert merge(fewer, store).replaced == ("tiny@30",)
    assert fewer.describe_member("tiny@30").layers == (0, 3, 12)
    plain = make_store(tmp_path / "plain")
    plain.write_member(replace(store.read_member("tiny@30"), layers={}))
    assert merge(plain, store).replaced == ("tiny@30",)
    other = make_store(tmp_path / "other")
    other.write_member(make_layered(other, 0, 4, 12))
    with pytest.raises(StoreError, match="member tiny@30 has other numbers"):
        merge(other, store)


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ({0: (12, 8), 1000: (12, 8)}, r"tiny@30 has layers 0, 1000: expected numbers of 0 to 999"),
        ({-1: (12, 8), 3: (12, 8)}, r"tiny@30 has layers -1, 3: expected numbers of 0 to 999"),
        ({0: (12, 4), 3: (12, 8)}, r"tiny@30: layers/00 has shape \(12, 4\): expected \(12, 8\), as pooled has"),
        ({0: (11, 8), 3: (12, 8)}, r"tiny@30: layers/00 has shape \(11, 8\)"),
        ({0: np.full((12, 8), np.nan, "<f2"), 3: (12, 8)}, r"tiny@30: layers/00 holds NaN or infinity"),
        ({0: np.ones((12, 8)), 3: (12, 8)}, r"tiny@30: layers/00 has dtype float64: expected float16 or float32"),
    ],
)
def test_layers_that_contradict_themselves_are_refused(layers: dict[int, Any], told: str, store: Store) -> None:
    held = {n: np.ones(one, np.float16) if isinstance(one, tuple) else one for n, one in layers.items()}
    with pytest.raises(StoreError, match=told):
        store.write_member(replace(make_layered(store, 0), pooled=None, layers=held), replace=True)


def test_pooled_is_the_last_of_the_layers_or_refused(store: Store) -> None:
    member = replace(make_layered(store, 0, 3), pooled=np.ones((12, 8), np.float16))
    with pytest.raises(StoreError, match=r"tiny@30: pooled is not layer 3: expected the last of its layers"):
        store.write_member(member, replace=True)


def write_by_hand(store: Store, text: str, *names: str, link_to: str = "") -> None:
    """A member of version 2 that states ``text`` of its layers and has datasets of these names."""

    def fill(file: Any) -> None:
        file.attrs["format_version"] = np.int32(2)
        if text:
            hostile_samples.put_text(file, "layers", text)
        del file["pooled"]
        for name in names:
            hostile_samples.put(file, name, np.ones((12, 4), "<f2"))
        if link_to:
            for number in range(900):
                file[f"layers/{number:02}"] = file[link_to]

    path = store.member_path("tiny", 30)
    path.unlink()
    hostile_samples.write_member(path, store.corpus, fill)


@pytest.mark.parametrize(
    ("text", "names", "told"),
    [
        ("", ("pooled",), "attribute layers is missing"),
        ("0,,3", ("pooled", "layers/00"), "attribute layers is '0,,3': expected ascending numbers of 0 to 999"),
        ("3,0", ("pooled", "layers/00"), "attribute layers is '3,0': expected ascending numbers"),
        ("0,0", ("pooled", "layers/00"), "attribute layers is '0,0': expected ascending numbers"),
        ("0,1000", ("pooled", "layers/00"), "attribute layers is '0,1000': expected ascending numbers"),
        ("0,٣", ("pooled", "layers/00"), "attribute layers is '0,٣': expected ascending numbers"),
        ("0,3", ("layers/00",), "pooled is missing"),
        ("0,3", ("pooled",), "layers/00 is missing"),
        ("0,2,3", ("pooled", "layers/00"), "layers/02 is missing"),
    ],
)
def test_files_that_state_other_layers_than_they_have_are_refused(
    text: str, names: tuple[str, ...], told: str, store: Store
) -> None:
    write_by_hand(store, text, *names)
    for call in (store.read_member, store.describe_member):
        problem = get_problem(lambda call=call: call("tiny@30"))  # type: ignore[misc]
        assert isinstance(problem, FormatError)
        assert told in str(problem)
    [found] = verify_store(store.path).problems
    assert found.file == FILE
    assert told in found.problem


def test_nine_hundred_links_to_one_layer_are_refused_before_they_are_read(store: Store) -> None:
    write_by_hand(store, ",".join(map(str, range(901))), "pooled", link_to="pooled")
    problem = get_problem(lambda: store.read_member("tiny@30"))
    assert isinstance(problem, FormatError)
    assert "its arrays claim" in str(problem)
    assert store.pooled("tiny@30", layer=7).shape == (4, 4)


def test_damage_to_one_layer_is_found_and_leaves_the_others_readable(store: Store) -> None:
    path = store.path / FILE
    with h5py.File(path, "r") as file:
        place = file["layers/03"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 2] ^= 1
    path.write_bytes(content)
    assert store.pooled("tiny@30", layer=0).shape == store.pooled("tiny@30").shape
    with pytest.raises(StoreError, match=r"layers/03: its bytes are"):
        store.pooled("tiny@30", layer=3)
    [found] = verify_store(store.path).problems
    assert "layers/03" in found.problem
