"""Stores written by every release are read by this one."""

import json
from pathlib import Path
from typing import Any

import make_golden
import numpy as np
import pytest
from store_samples import assert_same_corpus, assert_same_member

from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

RELEASES = sorted(found.parent.name for found in make_golden.GOLDEN.glob("*/corpus.h5"))
ARRAYS = {"rows": np.int32, "logits": np.float32, "pooled": np.float16, "predicted": np.int16}


@pytest.fixture(params=RELEASES)
def golden(request: pytest.FixtureRequest) -> Path:
    return make_golden.GOLDEN / str(request.param)


def read_stated(golden: Path) -> dict[str, Any]:
    stated: dict[str, Any] = json.loads(golden.with_name(f"{golden.name}.json").read_text(encoding="utf-8"))
    return stated


def to_array(values: Any, dtype: Any) -> Any:
    return None if values is None else np.array([np.nan if value is None else value for value in values], dtype=dtype)


def test_there_is_the_store_of_the_first_release() -> None:
    assert {"v0.1.0", "v0.1.0-layers"} <= {*RELEASES}


def test_a_golden_store_verifies(golden: Path) -> None:
    verification = verify_store(golden)
    assert (verification.problems, verification.leftovers) == ((), ())
    assert verification.files >= 8


def test_a_golden_corpus_is_read_as_it_was_stated(golden: Path) -> None:
    found, stated = Store(golden).corpus, read_stated(golden)["corpus"]
    assert (found.name, list(found.classes)) == (stated["name"], stated["classes"])
    assert (found.default_split, found.audio_root) == (stated["default_split"], stated["audio_root"])
    for name in ("ids", "labels", "speakers", "paths", "audio_digests"):
        assert getattr(found, name).tolist() == stated[name]
    assert {name: parts.tolist() for name, parts in found.splits.items()} == stated["splits"]
    assert found.columns.keys() == stated["columns"].keys()
    for name, values in stated["columns"].items():
        np.testing.assert_array_equal(found.columns[name], to_array(values, found.columns[name].dtype))


def test_golden_members_are_read_as_they_were_stated(golden: Path) -> None:
    store, stated = Store(golden), read_stated(golden)["members"]
    assert sorted(store.member_names()) == sorted(stated)
    for name, expected in stated.items():
        found = store.read_member(name)
        assert (found.run, found.step, found.provenance) == (expected["run"], expected["step"], expected["provenance"])
        for array, dtype in ARRAYS.items():
            if expected[array] is None:
                assert getattr(found, array) is None
            else:
                assert array == "pooled" or getattr(found, array).dtype == dtype
                assert getattr(found, array).tolist() == expected[array]
        assert {str(layer): values.tolist() for layer, values in found.layers.items()} == expected.get("layers", {})
        assert store.describe_member(name).layers == tuple(found.layers)
        for layer, values in found.layers.items():
            np.testing.assert_array_equal(store.pooled(name, found.rows, layer=layer), values)


def test_a_golden_pack_is_read_as_the_folder_it_was_made_of(golden: Path) -> None:
    folder, packed = Store(golden), Store(golden.with_name(f"{golden.name}.pack.h5"))
    assert verify_store(packed.path).problems == ()
    assert_same_corpus(packed.corpus, folder.corpus)
    assert (packed.runs(), packed.member_names()) == (folder.runs(), folder.member_names())
    for name in folder.member_names():
        assert_same_member(packed.read_member(name), folder.read_member(name))
    for run in folder.runs():
        assert (packed.run(run), packed.curves(run)) == (folder.run(run), folder.curves(run))
        assert packed.resolve(run) == folder.resolve(run)


def test_golden_runs_are_read_as_they_were_stated(golden: Path) -> None:
    store, stated = Store(golden), read_stated(golden)
    assert {run: store.run(run).to_json() for run in store.runs()} == stated["runs"]
    assert {run: store.curves(run) for run in store.runs()} == stated["curves"]
    assert store.resolve("tiny-hubert") == ("tiny-hubert", 20)
    assert store.resolve("listeners") == ("listeners", 0)


def test_this_release_still_writes_what_its_golden_stores_hold(golden: Path, tmp_path: Path) -> None:
    members = make_golden.find_members(golden)
    make_golden.write_golden(tmp_path / "again", members)
    again, written = Store(tmp_path / "again"), Store(golden)
    assert_same_corpus(again.corpus, written.corpus)
    for name in written.member_names():
        assert_same_member(again.read_member(name), written.read_member(name))
    assert json.loads(json.dumps(make_golden.describe_golden(members))) == read_stated(golden)
