"""Sweeping: what killed writers left goes, what living writers hold stays."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killing import Writers, forking_writers
from store_samples import assert_one_line, assert_same_member, get_bytes, make_corpus, make_member, make_store

from ser_store_h5.disk import atomic, locking
from ser_store_h5.disk.appending import append_line
from ser_store_h5.disk.atomic import write_atomically, write_flushed
from ser_store_h5.disk.locking import Lock
from ser_store_h5.errors import StoreError
from ser_store_h5.integrity import sweeping
from ser_store_h5.integrity.sweeping import gc
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.pack.packing import pack, unpack
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

FILES = (".corpus.h5.aa.partial", "runs/tiny/.step-000030.h5.bb.partial", "runs/tiny/.run.json.cc.partial")
FOLDERS = ("runs/.old.dd.partial", "runs/begun", "runs/empty")


@pytest.fixture
def littered(tmp_path: Path) -> Store:
    """A store with leftovers of every kind, 10 bytes in each file."""
    store = make_store(tmp_path / "store")
    for name in FOLDERS:
        (store.path / name).mkdir()
    for name in (*FILES, "runs/.old.dd.partial/run.json", "runs/begun/.run.json.ee.partial"):
        (store.path / name).write_bytes(b"0123456789")
    (store.path / "runs/.old.dd.partial/checkpoints").mkdir()
    (store.path / "runs/.old.dd.partial/checkpoints/model").write_bytes(b"0123456789")
    with (store.path / "runs/tiny/curves.jsonl").open("ab") as file:
        file.write(b'{"step": 9')
    return store


def test_what_verification_names_is_swept_and_nothing_else_is_touched(littered: Store, tmp_path: Path) -> None:
    clean = get_bytes(make_store(tmp_path / "clean").path)
    named = verify_store(littered.path).leftovers
    assert sorted(named) == sorted([*FILES, *FOLDERS, "runs/tiny/curves.jsonl (torn last line)"])
    swept = gc(littered.path)
    assert (swept.removed, swept.in_use, swept.bytes) == (named, (), 70)
    assert get_bytes(littered.path) == clean
    assert sorted(found.name for found in (littered.path / "runs").iterdir()) == ["tiny"]
    assert (verify_store(littered.path).leftovers, gc(littered.path).removed) == ((), ())


def test_a_dry_sweep_says_the_same_and_removes_nothing(littered: Store) -> None:
    before = get_bytes(littered.path)
    said = gc(littered.path, dry_run=True)
    assert get_bytes(littered.path) == before
    assert all((littered.path / name).is_dir() for name in FOLDERS)
    assert said == gc(littered.path)


def test_a_leftover_that_is_a_members_second_name_frees_nothing(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    store.member_path("tiny", 10).with_name(".step-000010.h5.aa.partial").hardlink_to(store.member_path("tiny", 10))
    swept = gc(store.path)
    assert (swept.removed, swept.bytes) == (("runs/tiny/.step-000010.h5.aa.partial",), 0)
    assert verify_store(store.path).ok
    assert store.steps("tiny") == [10, 20]


def test_links_and_pipes_that_bear_a_leftovers_name_go_and_what_they_lead_to_stays(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_bytes(b"mine")
    (store.path / ".a.aa.partial").symlink_to(tmp_path / "outside/file")
    (store.path / "runs/.b.bb.partial").symlink_to(tmp_path / "outside", target_is_directory=True)
    os.mkfifo(store.path / "runs/tiny/.c.cc.partial")
    assert len(gc(store.path).removed) == 3
    assert get_bytes(tmp_path / "outside") == {"file": b"mine"}
    assert verify_store(store.path).leftovers == ()


@pytest.mark.parametrize("wanted", ["file", "nothing", "folder"])
def test_where_there_is_no_folder_of_a_store_one_line_says_so(tmp_path: Path, wanted: str) -> None:
    path = tmp_path / "there"
    if wanted == "file":
        path.write_bytes(b"x")
    elif wanted == "folder":
        path.mkdir()
        (path / ".mine.aa.partial").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"is a file: expected the folder of a store|^no store at .*there") as caught:
        gc(path)
    assert_one_line(caught.value)
    assert (tmp_path / "there" / ".mine.aa.partial").exists() == (wanted == "folder")


def test_what_a_store_that_was_only_begun_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".corpus.h5.0123456789ab.partial").write_bytes(b"x")
    assert gc(tmp_path).removed == (".corpus.h5.0123456789ab.partial",)
    assert Store.create(tmp_path, make_corpus()).runs() == []


def test_what_a_killed_unpacking_left_beside_the_store_is_named_and_swept(tmp_path: Path) -> None:
    """Whether the store is there by now, as a folder or packed, or is not."""
    store = make_store(tmp_path / "a.store")
    pack(store, tmp_path / "b.h5")
    for name in ("a.store", "b.h5", "none"):
        left, other = (tmp_path / f".{name}.{end}.partial" for end in ("0123456789ab", "mine"))
        (left / "runs").mkdir(parents=True)
        (left / "runs" / "file").write_bytes(b"0123456789")
        other.write_bytes(b"x")
        if name != "none":
            assert verify_store(tmp_path / name).leftovers == (f"../{left.name}",)
        assert gc(tmp_path / name, dry_run=True).removed == (f"../{left.name}",)
        assert left.exists()
        swept = gc(tmp_path / name)
        assert (swept.removed, swept.in_use, swept.bytes) == ((f"../{left.name}",), (), 10)
        assert (left.exists(), other.exists()) == (False, True)
    assert verify_store(store.path).ok
    assert verify_store(tmp_path / "b.h5").ok


@pytest.mark.skipif(os.name == "nt", reason="no locks")
def test_an_unpacking_at_work_is_spared(tmp_path: Path) -> None:
    pack(make_store(tmp_path / "store"), tmp_path / "store.h5")
    swept = []

    def watch(names: Any, /, *, total: int, label: str) -> Any:
        swept.append(gc(tmp_path / "new"))
        return names

    unpacked = unpack(tmp_path / "store.h5", tmp_path / "new", progress=watch)
    assert (swept[0].removed, len(swept[0].in_use)) == ((), 1)
    assert verify_store(unpacked.path).ok
    assert sorted(found.name for found in tmp_path.iterdir()) == ["new", "store", "store.h5"]


def test_a_leftover_that_may_not_be_removed_is_told_in_one_line(
    littered: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(StoreError, match=r"aa.partial: could not be removed \(Permission denied\): check") as caught:
        gc(littered.path)
    assert_one_line(caught.value)


def test_a_writer_that_is_at_work_is_spared(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    seen = []

    def write(temporary: Path) -> None:
        seen.extend(gc(store.path, dry_run=dry_run) for dry_run in (True, False))
        write_flushed(temporary, b"done")
        seen.append(gc(store.path))

    write_atomically(store.path / "runs" / "new" / "run.json", write)
    assert {swept.removed for swept in seen} == {()}
    assert {swept.in_use for swept in seen} == {("runs/new",)}
    assert (store.path / "runs/new/run.json").read_bytes() == b"done"


def test_a_writer_whose_file_is_swept_before_it_is_locked_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(tmp_path / "store")
    lock, swept = atomic.try_lock, []

    def sweep_first(handle: int) -> Lock:
        if len(swept) < 5:
            swept.append(gc(store.path).removed)
        return lock(handle)

    monkeypatch.setattr(atomic, "try_lock", sweep_first)
    store.add_run(RunRecord("new", "frozen", "mfcc"))
    assert swept == [("runs/new",)] * 5
    assert store.runs() == ["new", "tiny"]
    assert verify_store(store.path).leftovers == ()


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (atomic, locking):
        monkeypatch.setattr(module, "try_lock", lambda _: Lock.NONE)


def test_without_locks_what_is_younger_than_an_hour_is_taken_to_be_in_use(
    littered: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch)
    assert sorted(gc(littered.path).in_use) == sorted(
        [*FILES, "runs/.old.dd.partial", "runs/begun", "runs/tiny/curves.jsonl (torn last line)"]
    )
    old = time.time() - 3_700
    for file in littered.path.rglob("*"):
        os.utime(file, (old, old))
    assert gc(littered.path).in_use == ()
    assert verify_store(littered.path).leftovers == ()


def test_without_locks_writing_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_locks(monkeypatch)
    store = make_store(tmp_path / "store")
    store.append_curve("tiny", step=30)
    verification = verify_store(store.path)
    assert (verification.ok, verification.leftovers) == (True, ())


def wait_for(find: Callable[[], object]) -> None:
    deadline = time.monotonic() + 600
    while not find():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def test_a_writer_that_is_paused_in_the_middle_survives_a_sweep(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    with forking_writers() as writers:
        for step in range(100, 200):
            writer, caught = pause_in_the_middle(writers, store, step)
            sweeps = [gc(store.path), gc(store.path, dry_run=True), gc(store.path)]
            is_held = caught and all(len(swept.in_use) == 1 for swept in sweeps)
            if is_held:  # else it was paused before it could lock its file, and begins anew
                assert {swept.removed for swept in sweeps} == {()}
            os.kill(writer, signal.SIGCONT)
            assert writers.hear_out() == [["wrote", 1, step]]
            expected = make_member(store.corpus, "tiny", step, seed=1, hidden=512)
            assert_same_member(store.read_member(f"tiny@{step}"), expected)
            if is_held:
                break
        else:
            pytest.fail("no writer was paused while it held its temporary file")
    assert verify_store(store.path).leftovers == ()


def pause_in_the_middle(writers: Writers, store: Store, step: int) -> tuple[int, bool]:
    """Pause a writer of a member when its temporary file is there; the writer, and whether the file was still there."""
    writers.start("write_at", path=str(store.path), steps=[step], seed=1, start=0.0, announce=True)
    writer, word = writers.hear()
    assert word == "writing"
    folder = store.run_folder("tiny")
    wait_for(lambda: list(folder.glob(".*.partial")) or store.place.has_member("tiny", step))
    os.kill(writer, signal.SIGSTOP)
    time.sleep(0.05)
    held = list(folder.glob(".*.partial"))
    return writer, bool(held) and not store.place.has_member("tiny", step)


def test_a_run_that_is_begun_while_it_is_swept_is_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path / "store")
    (store.path / "runs/new").mkdir()
    (store.path / "runs/new/.run.json.aa.partial").write_bytes(b"0123456789")
    find = sweeping.find_leftovers

    def find_and_write(root: Path) -> list[Path]:
        found = find(root)
        store.add_run(RunRecord("new", "frozen", "mfcc"))
        return found

    monkeypatch.setattr(sweeping, "find_leftovers", find_and_write)
    swept = gc(store.path)
    assert (swept.removed, swept.in_use) == ((), ("runs/new",))
    assert store.runs() == ["new", "tiny"]


def test_a_thread_that_sweeps_all_the_time_takes_nothing_from_those_that_write(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    is_over, removed = threading.Event(), []

    def sweep_on() -> None:
        while not is_over.is_set():
            removed.extend(gc(store.path).removed)

    sweeper = threading.Thread(target=sweep_on)
    sweeper.start()
    try:
        for turn in range(25):
            store.add_run(RunRecord(f"run-{turn}", "frozen", "mfcc"))
            store.write_member(make_member(store.corpus, f"run-{turn}", 1))
            store.append_curve(f"run-{turn}", step=1)
            append_line(store.run_folder(f"run-{turn}") / "curves.jsonl", b"{}")
    finally:
        is_over.set()
        sweeper.join()
    assert len(store.member_names()) == 27
    assert verify_store(store.path).leftovers == ()
