"""Verification: what it counts, how fast it is, and that its quick way says what the thorough one says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_samples import make_member, make_store

from ser_store_h5.integrity import verify
from ser_store_h5.integrity.verify import Verification, is_whole, verify_store
from ser_store_h5.member_file import open_member
from ser_store_h5.pack.packing import pack
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose second run has members of several MiB."""
    made = make_store(tmp_path_factory.mktemp("verify") / "store", n=900)
    made.add_run(RunRecord("large", "frozen", "mfcc"))
    for step, dtype in ((1, np.float16), (2, np.float32)):
        pooled = np.random.default_rng(step).normal(size=(900, 1_500)).astype(dtype)
        made.write_member(make_member(made.corpus, "large", step, pooled=pooled))
    return made


def test_the_rate_is_that_of_all_bytes(store: Store) -> None:
    found = verify_store(store.path)
    assert found.seconds > 0
    assert found.rate == found.bytes / found.seconds
    assert Verification(0, 0, (), ()).rate == 0.0


def test_a_packed_store_is_verified_as_one_file(store: Store, tmp_path: Path) -> None:
    pack(store, tmp_path / "pack.h5")
    found = verify_store(tmp_path / "pack.h5")
    assert (found.problems, found.files, found.bytes) == ((), 1, (tmp_path / "pack.h5").stat().st_size)
    assert found.seconds > 0
    content = bytearray((tmp_path / "pack.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "pack.h5").write_bytes(content)
    assert not verify_store(tmp_path / "pack.h5").ok


@pytest.mark.parametrize("name", ["tiny@10", "large@1", "large@2"])
def test_members_are_whole_in_one_pass(store: Store, name: str) -> None:
    path = store.member_path(*store.resolve(name))
    seen: dict[str, int] = {}
    with open_member(path, store.corpus) as member:
        arrays = member.find_arrays()
        assert is_whole(path, arrays, lambda name, rows: seen.update({name: seen.get(name, 0) + len(rows)}))
    assert seen == dict.fromkeys(arrays, 900)


@pytest.mark.parametrize("place", [5, 600, 0.3, 0.5, 0.99, -1])
def test_one_flipped_byte_is_not_whole(store: Store, place: float) -> None:
    path = store.member_path("large", 1)
    content = path.read_bytes()
    changed = bytearray(content)
    at = int(len(content) * place) if isinstance(place, float) else int(place)
    changed[at] ^= 0x10
    try:
        path.write_bytes(changed)
        (problem,) = verify_store(store.path).problems
        assert problem.file == "runs/large/step-000001.h5"
        assert ("pooled" in problem.problem) == (place not in (5, 600))
    finally:
        path.write_bytes(content)


def test_an_interrupt_ends_a_verification(store: Store) -> None:
    def interrupt(runs: Any, /, *, total: int, label: str) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify_store(store.path, progress=interrupt)


def test_a_run_that_is_removed_meanwhile_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_store(tmp_path / "store")
    made.add_run(RunRecord("short", "frozen", "mfcc"))
    made.write_member(make_member(made.corpus, "short", 1))
    list_run = verify._list

    def list_and_remove(run: Path) -> list[Path]:
        listed = list_run(run)
        if run.name == "short":
            made.remove("short")
        return listed

    monkeypatch.setattr(verify, "_list", list_and_remove)
    assert verify_store(made.path).problems == ()
