"""Writing: whole or not at all, whoever is killed, whoever else writes, whatever the disk says."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_samples import assert_one_line, assert_same_member, get_bytes, make_corpus, make_member, make_store

from ser_store_h5.atomic import append_line, remove_folder, write_atomically, write_text_atomically
from ser_store_h5.errors import ExistsError, StoreError
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store
from ser_store_h5.verify import verify_store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked")
KILLS = 48


class Writers:
    """The process that forks writers, and what they say."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("writer_process.py")
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def send(self, order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def start(self, task: str, **arguments: Any) -> None:
        self.send({"task": task, "arguments": arguments})

    def hear(self) -> list[Any]:
        assert self.process.stdout is not None
        said: list[Any] = json.loads(self.process.stdout.readline())
        return said

    def hear_out(self, *, writers: int = 1, code: int = 0) -> list[list[Any]]:
        """All that was said until so many writers have ended, each with the exit code."""
        heard: list[list[Any]] = []
        for _ in range(writers):
            self.send(None)
        while writers:
            _, word, *rest = self.hear()
            if word == "ended":
                assert rest == [code]
                writers -= 1
            else:
                heard.append([word, *rest])
        return heard

    def kill_after(self, seconds: float, *, turns: int = 0) -> list[list[Any]]:
        """Kill the one writer so long after it took so many turns; returns what it had said."""
        process, word = self.hear()
        assert word == "ready"
        heard = [self.hear()[1:] for _ in range(turns)]
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        return heard + self.hear_out(code=-signal.SIGKILL)


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    made = Writers()
    yield made
    assert made.process.stdin is not None
    assert made.process.stdout is not None
    made.process.stdin.close()
    assert made.process.wait(timeout=10) == 0
    made.process.stdout.close()


def observe(path: Path) -> dict[str, Any]:
    """The state of a store in plain values; every number of a member must be of one version."""
    store = Store(path)
    members = {}
    for name in store.member_names("tiny"):
        member = store.read_member(name)
        assert member.logits is not None
        assert member.pooled is not None
        version = member.provenance["version"]
        assert (member.logits == version).all()
        assert (member.pooled == version % 2048).all()
        members[member.step] = version
    return {
        "members": members,
        "points": len(store.curves("tiny")),
        "noted": store.run("tiny").details.get("noted"),
        "split": str(store.corpus.splits["usual"][0]),
        "passing": store.has_run("passing"),
    }


def test_a_writer_killed_at_any_instant_leaves_the_old_state_or_the_new_one(tmp_path: Path, writers: Writers) -> None:
    from writer_process import KINDS, expect

    store = make_store(tmp_path / "store", n=40)
    for name in store.member_names():
        store.remove(name)
    (store.run_folder("tiny") / "curves.jsonl").unlink()
    random = np.random.default_rng(0)
    state, turn, left = observe(store.path), 0, set()
    for trial in range(KILLS):
        writers.start("write_on", path=str(store.path), turn=turn)
        turns = (trial - turn) % KINDS  # so that every kind of writing is interrupted
        for _, took in writers.kill_after(random.uniform(0, 0.012), turns=turns):
            assert took == turn
            state, turn = expect(state, turn), turn + 1
        found = observe(store.path)
        assert found in (state, expect(state, turn))
        if found == expect(state, turn):
            state, turn = expect(state, turn), turn + 1
        verification = verify_store(store.path)
        assert verification.problems == ()
        left |= set(verification.leftovers)
        for stray in store.path.rglob("*.partial"):  # named itself, or with the folder it lies in
            within = stray.relative_to(store.path)
            assert {str(within), str(within.parent)} & set(verification.leftovers)
    assert len(left) > KILLS / 20  # kills fell into writing, and not between


def test_a_kill_while_a_store_is_made_leaves_none_or_a_whole_one(tmp_path: Path, writers: Writers) -> None:
    random = np.random.default_rng(1)
    for trial in range(10):
        folder = tmp_path / str(trial)
        writers.start("create", folder=str(folder))
        made = len(writers.kill_after(random.uniform(0, 0.02)))
        for number in range(made):
            assert verify_store(folder / str(number)).ok
        if (folder / str(made) / "corpus.h5").exists():
            assert verify_store(folder / str(made)).ok
        else:  # the next one is not kept from it by what was left
            assert Store.create(folder / str(made), make_corpus()).runs() == []


def test_of_two_writers_of_one_member_exactly_one_wins_and_the_other_is_told(tmp_path: Path, writers: Writers) -> None:
    store = make_store(tmp_path / "store")
    for step in range(100, 115):
        start = time.time() + 0.02
        for seed in (1, 2):
            writers.start("write_at", path=str(store.path), steps=[step], seed=seed, start=start)
        wrote, told = sorted(writers.hear_out(writers=2), key=lambda said: said[0] != "wrote")
        assert (wrote[0], told[0], {wrote[1], told[1]}) == ("wrote", "ExistsError", {1, 2})
        assert told[3].endswith(f"step-000{step}.h5 is there already: nothing written is overwritten")
        expected = make_member(store.corpus, "tiny", step, seed=wrote[1], hidden=512)
        assert_same_member(store.read_member(f"tiny@{step}"), expected)
    assert verify_store(store.path).leftovers == ()


def test_different_members_written_at_once_all_arrive(tmp_path: Path, writers: Writers) -> None:
    store = make_store(tmp_path / "store")
    start = time.time() + 0.05
    for seed in range(4):
        steps = list(range(100 + seed, 132, 4))
        writers.start("write_at", path=str(store.path), steps=steps, seed=seed, start=start)
    assert {said[0] for said in writers.hear_out(writers=4)} == {"wrote"}
    assert store.steps("tiny") == [10, 20, *range(100, 132)]
    for step in range(100, 132):
        expected = make_member(store.corpus, "tiny", step, seed=step % 4, hidden=512)
        assert_same_member(store.read_member(f"tiny@{step}"), expected)
    verification = verify_store(store.path)
    assert (verification.ok, verification.leftovers) == (True, ())


def test_where_files_may_not_grow_one_line_says_so_and_nothing_changes(tmp_path: Path, writers: Writers) -> None:
    store = make_store(tmp_path / "store")
    before = get_bytes(store.path)
    limits = [0, 1, 90, 200, *range(500, 2_500, 160)]
    writers.start("write_within", path=str(store.path), limits=limits)
    said = {(name, limit): rest for name, limit, *rest in writers.hear_out()}
    refused = {key: rest for key, rest in said.items() if rest != ["wrote"]}
    for kind, text in refused.values():
        assert kind == "StoreError"
        assert "could not be written (" in text
        assert_one_line(text)
    assert {name for name, _ in refused} == {"member", "replaced", "corpus", "run", "new run", "curve"}
    # The record alone is small enough to be written under some of the limits.
    assert {name for name, limit in said if (name, limit) not in refused} <= {"run", "new run"}
    after = get_bytes(store.path)
    changed = {file for file in before | after if before.get(file) != after.get(file)}
    assert {Path(file).name for file in changed} <= {"run.json"}
    assert verify_store(store.path).problems == ()
    store.append_curve("tiny", step=30)
    assert [point["step"] for point in store.curves("tiny")] == [10, 20, 30]


def test_a_store_below_a_file_cannot_be_written_and_one_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        StoreError, match=r"file/store/corpus.h5: could not be written \(.*\); nothing there was changed"
    ):
        Store.create(tmp_path / "file" / "store", make_corpus())
    assert get_bytes(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_cannot_be_written_and_one_line_says_so(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    before = get_bytes(store.path)
    store.run_folder("tiny").chmod(0o500)
    try:
        with pytest.raises(StoreError, match=r"could not be written \(Permission denied\); nothing there was changed"):
            store.write_member(make_member(store.corpus, "tiny", 30))
    finally:
        store.run_folder("tiny").chmod(0o700)
    assert get_bytes(store.path) == before


@pytest.mark.parametrize("place", ["runs", "runs/tiny"])
def test_a_file_in_a_folders_place_is_told(tmp_path: Path, place: str) -> None:
    store = Store.create(tmp_path / "store", make_corpus())
    (store.path / place).parent.mkdir(exist_ok=True)
    (store.path / place).write_text("mine")
    with pytest.raises(StoreError, match=r"runs/tiny/run.json: could not be written \("):
        store.add_run(RunRecord("tiny", "frozen", "mfcc"))
    assert (store.path / place).read_text() == "mine"


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), RuntimeError("no"), OSError(28, "No space left on device")])
def test_a_writer_that_is_broken_off_leaves_no_litter(tmp_path: Path, problem: BaseException) -> None:
    path = tmp_path / "there" / "file"
    write_text_atomically(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise problem

    for replace in (False, True):
        with pytest.raises((KeyboardInterrupt, RuntimeError, StoreError)):
            write_atomically(path, write, replace=replace)
    assert get_bytes(tmp_path) == {"there/file": b"old"}


def test_a_name_is_given_once_unless_replacing_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text_atomically(path, "one")
    with pytest.raises(ExistsError, match=r"file is there already: nothing written is overwritten$"):
        write_text_atomically(path, "two")
    assert path.read_text() == "one"
    write_text_atomically(path, "three", replace=True)
    assert get_bytes(tmp_path) == {"file": b"three"}


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_system_without_hard_links_is_written_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    path = tmp_path / "file"
    if taken:
        path.write_text("old")
    monkeypatch.setattr(os, "link", refuse)
    if taken:
        with pytest.raises(ExistsError, match=r"is there already"):
            write_text_atomically(path, "new")
    else:
        write_text_atomically(path, "new")
    assert get_bytes(tmp_path) == {"file": b"old" if taken else b"new"}


def test_leftovers_are_named_and_read_by_nobody(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    names = [".corpus.h5.aa.partial", "runs/tiny/.step-000030.h5.bb.partial", "runs/tiny/.run.json.cc.partial"]
    for name in names:
        (store.path / name).write_bytes(b"half")
    folders = ["runs/.old.dd.partial", "runs/empty", "runs/begun"]
    for name in folders:
        (store.path / name).mkdir()
    (store.path / "runs/.old.dd.partial/run.json").write_bytes(b"{}")
    (store.path / "runs/begun/.run.json.ee.partial").write_bytes(b"{")
    verification = verify_store(store.path)
    assert verification.ok
    assert sorted(verification.leftovers) == sorted(names + folders)
    assert (store.runs(), store.steps("tiny")) == (["tiny"], [10, 20])


def test_a_file_that_only_ends_like_a_leftover_is_not_passed_over(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    (store.run_folder("tiny") / "download.partial").write_bytes(b"x")
    assert [problem.file for problem in verify_store(store.path).problems] == ["runs/tiny/download.partial"]


def test_a_removed_folder_is_gone(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "model").write_bytes(b"x")
    remove_folder(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreError, match=r"run: could not be written \(No such file or directory\)"):
        remove_folder(tmp_path / "run")


@pytest.mark.parametrize("torn", ["", "x", "x" * 70_000, "x" * 200_000])
def test_an_appended_line_takes_the_place_of_a_torn_one_of_any_length(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "lines"
    for whole in ("", "one\n", "y" * 100_000 + "\n"):
        path.write_text(whole + torn)
        append_line(path, "last")
        assert path.read_text() == whole + "last\n"
