"""The second reader, which knows the page alone, and the package find the same in every golden store."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import second_reader

from ser_store_h5.store import Store

GOLDEN = Path(__file__).parent / "golden"
RELEASES = sorted(found.parent.name for found in GOLDEN.glob("*/corpus.h5"))
STORES = [*RELEASES, *sorted(found.name for found in GOLDEN.glob("*.pack.h5"))]


def test_the_second_reader_imports_nothing_of_the_package() -> None:
    assert "ser_store" not in Path(second_reader.__file__).read_text(encoding="utf-8").replace("ser-store", "")


@pytest.fixture(params=STORES)
def golden(request: pytest.FixtureRequest) -> Path:
    """A golden store, a folder or a packed one."""
    return GOLDEN / str(request.param)


def read_again(path: Path) -> Any:
    return second_reader.read_pack(path) if path.is_file() else second_reader.read_store(path)


def test_both_readers_find_the_same_corpus(golden: Path) -> None:
    first, ((stated, arrays), _, _) = Store(golden).corpus, read_again(golden)
    assert [first.name, first.digest, first.default_split, first.audio_root] == [
        stated[name] for name in ("name", "digest", "default_split", "audio_root")
    ]
    flat = {f"columns/{name}": values for name, values in first.columns.items()}
    flat |= {f"splits/{name}": values for name, values in first.splits.items()}
    flat |= {name: getattr(first, name) for name in ("ids", "labels", "speakers", "paths", "audio_digests")}
    flat["classes"] = np.array(first.classes)
    assert flat.keys() == arrays.keys()
    for name, values in flat.items():
        np.testing.assert_array_equal(values, arrays[name])


def test_both_readers_find_the_same_members_and_runs(golden: Path) -> None:
    store, (_, runs, members) = Store(golden), read_again(golden)
    assert sorted(members) == sorted(store.member_names())
    for name, (provenance, arrays) in members.items():
        first = store.read_member(name)
        assert first.provenance == provenance
        held = first.arrays
        assert held.keys() == arrays.keys()
        for array, values in arrays.items():
            assert held[array].dtype == values.dtype
            np.testing.assert_array_equal(held[array], values)
    assert sorted(runs) == store.runs()
    for run, (record, curves) in runs.items():
        assert store.run(run).to_json() == {key: value for key, value in record.items() if key != "sha256"}
        assert store.curves(run) == [{key: value for key, value in one.items() if key != "crc32"} for one in curves]


def test_the_second_reader_finds_a_flipped_byte(golden: Path, tmp_path: Path) -> None:
    content = bytearray((golden if golden.is_file() else golden / "corpus.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "changed.h5").write_bytes(content)
    with pytest.raises(AssertionError):
        second_reader.check_seal(tmp_path / "changed.h5")
