"""Writing: whole or not at all, whoever is killed, whoever else writes, whatever the disk says."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Writers, forking_writers, stop_writers
from store_samples import assert_one_line, get_bytes, make_corpus, make_member, make_store

from ser_store_h5.disk.appending import append_line
from ser_store_h5.disk.atomic import remove_folder, write_atomically, write_text_atomically
from ser_store_h5.errors import ExistsError, StoreError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked")
KILLS, INTERRUPTS = 120, 30


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    with forking_writers() as made:
        yield made


def test_a_writer_killed_at_any_instant_leaves_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    tallies = stop_writers(tmp_path, times=KILLS, seed=1)
    assert sum(tally.leftovers for tally in tallies.values()) > 0
    for tally in tallies.values():
        assert tally.stopped


def test_a_writer_interrupted_at_any_instant_leaves_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    tallies = stop_writers(tmp_path, times=INTERRUPTS, seed=2, by=signal.SIGINT)
    assert all(tally.stopped for tally in tallies.values())


def test_where_files_may_not_grow_one_line_says_so_and_nothing_changes(tmp_path: Path, writers: Writers) -> None:
    store = make_store(tmp_path / "store")
    before = get_bytes(store.path)
    limits = [0, 1, 90, 200, *range(500, 2_300, 160)]
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


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("runs", r"store/runs: cannot be listed \(Not a directory\): expected a folder"),
        ("runs/tiny", r"runs/tiny/run.json: could not be written \("),
    ],
)
def test_a_file_in_a_folders_place_is_told(tmp_path: Path, place: str, problem: str) -> None:
    store = Store.create(tmp_path / "store", make_corpus())
    (store.path / place).parent.mkdir(exist_ok=True)
    (store.path / place).write_text("mine")
    with pytest.raises(StoreError, match=problem):
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


def test_an_interrupt_while_a_folder_is_closed_is_still_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    close, interrupts = os.close, iter([KeyboardInterrupt()])

    def close_interrupted(handle: int) -> None:
        close(handle)
        for interrupt in interrupts:
            raise interrupt

    monkeypatch.setattr(os, "close", close_interrupted)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(tmp_path / "run")


@pytest.mark.parametrize("torn", ["", "x", "x" * 70_000, "x" * 200_000])
def test_an_appended_line_takes_the_place_of_a_torn_one_of_any_length(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "lines"
    for whole in ("", "one\n", "y" * 100_000 + "\n"):
        path.write_text(whole + torn)
        append_line(path, b"last")
        assert path.read_text() == whole + "last\n"
