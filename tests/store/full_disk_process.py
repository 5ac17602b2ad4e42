"""Operations on a store in a small file system that is full, or read-only; run by test_disk_problems.py within a mount.

Every line that is said is JSON: the operation, the problem it told, the state that was left (``old``, ``new`` or
``neither``), and what leftovers remained.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from disk_faults import OPERATIONS
from store_samples import get_bytes, make_store

from ser_store_h5.errors import SerstoreError
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

PAGE = 4096


def attempt(operation: str, path: Path) -> str:
    try:
        OPERATIONS[operation](Store(path))
    except SerstoreError as problem:
        return str(problem)
    return ""


def say(operation: str, problem: str, path: Path, old: dict[str, bytes], new: dict[str, bytes]) -> None:
    found = get_bytes(path)
    state = "old" if found == old else "new" if found == new else "neither"
    print(json.dumps([operation, problem, state, [str(stray) for stray in path.rglob("*.partial")]]), flush=True)


def fill(ballast: Path, spare: int) -> None:
    """Take all the room but so many pages."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE))
        except OSError:
            pass
        file.truncate(max(0, file.tell() // PAGE - spare) * PAGE)


def try_full(folder: Path, store: Path, operation: str) -> None:
    old = get_bytes(store)
    copy = shutil.copytree(store, folder / "copy")
    OPERATIONS[operation](Store(copy))
    new = get_bytes(copy)
    shutil.rmtree(copy)
    for spare in range(12):
        fill(folder / "ballast", spare)
        problem = attempt(operation, store)
        (folder / "ballast").unlink()
        say(operation, problem, store, old, new)
        if not problem:
            break
    shutil.rmtree(store)


def main(folder: Path, script: str) -> None:
    kept = make_store(folder / "kept")
    kept.add_run(RunRecord("bare", "frozen", "mfcc"))
    if script == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    for operation in OPERATIONS:
        if script == "read-only":
            say(operation, attempt(operation, kept.path), kept.path, get_bytes(kept.path), {})
        elif not operation.startswith("removed"):  # to remove takes no room
            try_full(folder, Path(shutil.copytree(kept.path, folder / "store")), operation)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
