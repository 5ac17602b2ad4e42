"""Many processes at once: nothing is lost, nothing is torn, and readers notice none of it."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Writers, forking_writers
from store_samples import assert_one_line, assert_same_member, make_member, make_store

from ser_store_h5.disk import appending
from ser_store_h5.disk.appending import append_line
from ser_store_h5.disk.locking import Lock, try_lock
from ser_store_h5.errors import StoreError
from ser_store_h5.integrity.verify import verify_store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked")


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    with forking_writers() as made:
        yield made


def test_eight_write_and_one_replaces_while_four_read_and_one_verifies(tmp_path: Path, writers: Writers) -> None:
    store, end = make_store(tmp_path / "store"), tmp_path / "end"
    start = time.time() + 0.1
    for reader in range(5):
        writers.start("read_on", path=str(store.path), end=str(end), verifying=reader == 4)
    writers.start("change_on", path=str(store.path), end=str(end))
    for seed in range(8):
        writers.start("write_at", path=str(store.path), steps=list(range(100 + seed, 148, 8)), seed=seed, start=start)
    heard = [writers.hear()[1:] for _ in range(48 + 5)]  # all is written, and each has read once
    end.touch()
    heard += writers.hear_out(writers=14)
    said = {word: [rest for found, *rest in heard if found == word] for word in {found for found, *_ in heard}}
    assert said.keys() == {"wrote", "reads", "read", "changed"}
    assert (len(said["wrote"]), len(said["read"])) == (48, 5)
    assert min(rounds for (rounds,) in said["read"]) > 1
    assert store.steps("tiny") == [10, 20, *range(100, 148)]
    for step in range(100, 148):
        expected = make_member(store.corpus, "tiny", step, seed=(step - 100) % 8, hidden=512)
        assert_same_member(store.read_member(f"tiny@{step}"), expected)
    verification = verify_store(store.path)
    assert (verification.problems, verification.leftovers) == ((), ())


@pytest.mark.parametrize(("contenders", "rounds"), [(2, 15), (8, 4)])
def test_of_many_writers_of_one_member_exactly_one_wins_and_the_others_are_told(
    tmp_path: Path, writers: Writers, contenders: int, rounds: int
) -> None:
    store = make_store(tmp_path / "store")
    for step in range(100, 100 + rounds):
        start = time.time() + 0.01 * contenders
        for seed in range(contenders):
            writers.start("write_at", path=str(store.path), steps=[step], seed=seed, start=start)
        (wrote, *told) = sorted(writers.hear_out(writers=contenders), key=lambda said: said[0] != "wrote")
        assert [wrote[0], *(said[0] for said in told)] == ["wrote", *["ExistsError"] * (contenders - 1)]
        assert sorted(said[1] for said in (wrote, *told)) == list(range(contenders))
        for *_, text in told:
            assert text.endswith(f"step-000{step}.h5 is there already: nothing written is overwritten")
        expected = make_member(store.corpus, "tiny", step, seed=wrote[1], hidden=512)
        assert_same_member(store.read_member(f"tiny@{step}"), expected)
    assert verify_store(store.path).leftovers == ()


@pytest.mark.parametrize("is_new", [False, True])
def test_those_who_append_to_the_same_curves_take_turns(tmp_path: Path, writers: Writers, is_new: bool) -> None:
    store = make_store(tmp_path / "store")
    path = store.run_folder("tiny") / "curves.jsonl"
    before = [] if is_new else store.curves("tiny")
    if is_new:
        path.unlink()
    start = time.time() + 0.1
    for writer in range(8):
        writers.start("append", path=str(store.path), writer=writer, lines=20, start=start)
    assert writers.hear_out(writers=8) == [["appended"]] * 8
    points = store.curves("tiny")
    assert points[: len(before)] == before
    appended = points[len(before) :]
    assert len(appended) == 160
    for writer in range(8):
        mine = [point for point in appended if point["writer"] == writer]
        assert mine == [{"step": line, "writer": writer, "note": "x" * (37 * writer)} for line in range(20)]
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == len(points)


def test_one_who_keeps_the_curves_too_long_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    append_line(path, b"one")
    monkeypatch.setattr(appending, "PATIENCE_S", 0.05)
    handle = os.open(path, os.O_RDONLY)
    assert try_lock(handle) is Lock.HELD
    with pytest.raises(StoreError, match=r"lines: another process has been writing to it for 0 s: expected") as caught:
        append_line(path, b"two")
    assert_one_line(caught.value)
    os.close(handle)
    append_line(path, b"two")
    assert path.read_bytes() == b"one\ntwo\n"
