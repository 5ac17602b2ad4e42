"""Whatever the disk says, at whatever call: one line, the store as before, no litter that is not named and swept."""

import errno
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from disk_faults import OPERATIONS, failing, interrupt_after, interrupt_before, refuse, take_away
from store_samples import assert_one_line, get_bytes, make_store

from ser_store_h5.errors import SerstoreError, StoreError
from ser_store_h5.integrity.sweeping import gc
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

NOT_CONFIRMED = "was written, but the disk does not confirm that it will last"
operations = pytest.mark.parametrize("operation", OPERATIONS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = make_store(tmp_path / "store")
    made.add_run(RunRecord("bare", "frozen", "mfcc"))
    return made


def find_new_state(store: Store, operation: str) -> dict[str, bytes]:
    """The files after the operation; they depend on the values alone."""
    copy = Store(shutil.copytree(store.path, store.path.with_name("copy")))
    OPERATIONS[operation](copy)
    return get_bytes(copy.path)


def check_swept(path: Path, states: tuple[dict[str, bytes], ...]) -> dict[str, bytes]:
    """Every leftover is named and swept, and then the files are those of one of the states; which they are."""
    inner = path / "runs" / "inner" / "store"  # a store that is made within the other, to be watched by the same eyes
    for folder in (inner, path):
        if folder is path or any(inner.glob(".*")):
            swept = gc(folder)
            assert swept.in_use == ()
    assert [found for found in path.rglob("*.partial") if found.is_file()] == []
    assert verify_store(path).leftovers == ()
    found = get_bytes(path)
    assert found in states
    return found


def run_into(operation: str, path: Path) -> BaseException | None:
    """The stated problem, or the interrupt, that the operation runs into."""
    try:
        OPERATIONS[operation](Store(path))
    except (SerstoreError, KeyboardInterrupt) as problem:
        return problem
    return None


def iter_faults(
    store: Store, operation: str, fault: Callable[[Callable[[], Any]], Any]
) -> Iterator[tuple[str, BaseException | None, bool]]:
    """For every call of the operation: its name, what the operation said when the call met the fault, and whether the
    operation was done all the same; the store is as it was before each."""
    old, new = get_bytes(store.path), find_new_state(store, operation)
    kept = shutil.copytree(store.path, store.path.with_name("kept"))
    for number in itertools.count(1):
        with failing(number, fault) as faults:
            problem = run_into(operation, store.path)
        if faults.fired is None:
            assert problem is None
            assert check_swept(store.path, (new,)) == new
            return
        yield faults.fired, problem, check_swept(store.path, (old, new)) == new
        shutil.rmtree(store.path)
        shutil.copytree(kept, store.path)


@operations
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["full disk", "bad disk"])
def test_a_disk_that_refuses_any_one_call_is_told_in_one_line_and_nothing_changes(
    store: Store, operation: str, number: int
) -> None:
    points = []
    for call, problem, is_done in iter_faults(store, operation, refuse(number)):
        points.append(call)
        if problem is None:  # what was to be cleaned up afterwards stayed, and was swept
            assert (call in ("unlink", "rmdir"), is_done) == (True, True)
            continue
        assert isinstance(problem, StoreError)
        assert_one_line(problem)
        assert os.strerror(number) in str(problem)
        assert is_done == (NOT_CONFIRMED in str(problem))
    assert len(points) >= (1 if operation.startswith("removed") else 3)


@operations
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # interrupted between opening and binding
@pytest.mark.parametrize("fault", [interrupt_before, interrupt_after])
def test_an_interrupt_at_any_call_leaves_the_old_state_or_the_new_one(
    store: Store, operation: str, fault: Callable[[Callable[[], Any]], Any]
) -> None:
    for _, problem, _ in iter_faults(store, operation, fault):
        assert isinstance(problem, KeyboardInterrupt)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in ("removed run", "new store")])
@pytest.mark.parametrize("lost", ["runs/tiny", "runs/bare", "runs", "."])
def test_a_folder_that_vanishes_while_it_is_written_to_is_told_and_not_made_anew(
    store: Store, operation: str, lost: str
) -> None:
    elsewhere = store.path.with_name("elsewhere")
    for number in itertools.count(1):
        with failing(number, take_away(store.path / lost, elsewhere)) as faults:
            problem = run_into(operation, store.path)
        if faults.fired is None:
            break
        is_made_anew = (store.path / lost).exists()
        assert not is_made_anew or (operation, lost) == ("new run", "runs")
        if problem is not None:
            assert isinstance(problem, StoreError)
            assert_one_line(problem)
        if is_made_anew:
            shutil.rmtree(store.path / lost)
        elsewhere.rename(store.path / lost)
        check_restored = verify_store(store.path)
        assert check_restored.problems == ()
        gc(store.path)
    assert number > 1


def fork(task: Callable[[], Any]) -> Any:
    """What a task gives in a process of its own, as JSON."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.write(writing, json.dumps(task()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read()
    os.waitpid(process, 0)
    return json.loads(said)


def tell(operation: str, path: Path) -> str:
    return str(run_into(operation, path) or "")


def _find_descriptors(n: int) -> list[int]:
    """The first that are free; other tests of this process may hold some in between."""
    found = [os.dup(0) for _ in range(n)]
    for one in found:
        os.close(one)
    return found


@operations
def test_where_no_more_files_can_be_opened_one_line_says_so_and_nothing_changes(store: Store, operation: str) -> None:
    import resource

    def attempt(spare: int) -> str:
        limit = _find_descriptors(spare + 1)[-1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        return tell(operation, store.path)

    old, new = get_bytes(store.path), find_new_state(store, operation)
    for spare in range(20):
        said = fork(lambda spare=spare: attempt(spare))  # type: ignore[misc]
        found = check_swept(store.path, (old, new))
        if not said:
            assert found == new
            break
        assert "Too many open files" in said
        assert_one_line(said)
        assert found == old
    assert not said


@operations
def test_a_read_only_folder_is_told_in_one_line_and_nothing_changes(operation: str, tmp_path: Path) -> None:
    folder = Path(f"/tmp/serstore-read-only-{os.getpid()}")  # others may not enter pytest's own folders
    try:
        made = make_store(folder / "store")
        made.add_run(RunRecord("bare", "frozen", "mfcc"))
        for place in (folder, *folder.rglob("*")):
            place.chmod(0o555 if place.is_dir() else 0o444)
        before = get_bytes(made.path)

        def attempt() -> str:
            if os.geteuid() == 0:  # root may write anywhere
                os.setgid(65534)
                os.setuid(65534)
            return tell(operation, made.path)

        said = fork(attempt)
        assert "Permission denied" in said
        assert_one_line(said)
        assert get_bytes(made.path) == before
        assert list(folder.rglob("*.partial")) == []
    finally:
        for place in (folder, *folder.rglob("*")):
            place.chmod(0o755)
        shutil.rmtree(folder)


def mount(tmp_path: Path, script: str) -> list[list[Any]]:
    """What the process below says within a file system of its own."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    command = ["unshare", "-Ur", "-m", "sh", "-c", 'mount -t tmpfs -o size=512k none "$1" && exec "$2" "$3" "$1" "$4"']
    process = Path(__file__).with_name("full_disk_process.py")
    try:
        done = subprocess.run(
            [*command, "sh", folder, sys.executable, process, script], capture_output=True, text=True, timeout=600
        )
    except FileNotFoundError:
        pytest.skip("this system has no unshare, which a file system of our own needs")
    if done.returncode and not done.stdout:
        if "Traceback" in done.stderr:
            pytest.fail(done.stderr)
        pytest.skip(f"this system lets us mount nothing: {done.stderr.strip()}")
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_disk_that_is_really_full_is_told_in_one_line_and_nothing_changes(tmp_path: Path) -> None:
    said = mount(tmp_path, "full")
    assert {name for name, *_ in said} == {*OPERATIONS} - {"removed member", "removed run"}
    for _, problem, state, leftovers in said:
        assert (state, leftovers) == (("new" if not problem else "old"), [])
        if problem:
            assert "No space left on device" in problem
            assert_one_line(problem)
    for name in {name for name, *_ in said}:
        assert {bool(problem) for found, problem, *_ in said if found == name} == {True, False}


def test_a_file_system_that_is_mounted_read_only_is_told_in_one_line(tmp_path: Path) -> None:
    said = mount(tmp_path, "read-only")
    assert {name for name, *_ in said} == {*OPERATIONS}
    for _, problem, state, leftovers in said:
        assert "Read-only file system" in problem
        assert (state, leftovers) == ("old", [])
