"""Joins that are killed at every flush to the disk, one after the other, and gone on with; run by `test_join.py`.

Prints a line for each: at which flush it was killed, and whether the store was none or a valid one then.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

import ser_store as ss
from ser_store_h5.disk.atomic import is_leftover


def join_and_die(stores: list[str], path: Path, flush: int) -> bool:
    """Whether it came to its end before the flush at which it is killed."""
    child = os.fork()
    if child == 0:
        fsync, seen = os.fsync, [0]

        def count(handle: int) -> None:
            seen[0] += 1
            if seen[0] == flush:
                os.kill(os.getpid(), signal.SIGKILL)
            fsync(handle)

        os.fsync = count
        ss.join(stores, path)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def read(path: Path) -> dict[str, bytes]:
    found = (file for file in path.rglob("*") if file.is_file())
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in found
        if not any(is_leftover(Path(part)) for part in file.relative_to(path).parts)
    }


def main() -> None:
    folder = Path(sys.argv[1])
    stores = [str(folder / "west.store"), str(folder / "east.store")]
    ss.join(stores, folder / "whole.store")
    whole = read(folder / "whole.store")
    for flush in range(1, 200):
        path = folder / f"{flush}" / "whole.store"
        if join_and_die(stores, path, flush):
            break
        is_begun = (path / "corpus.h5").is_file()
        assert not is_begun or ss.verify_store(path).ok
        done = ss.join(stores, path)
        assert ss.verify_store(path).ok
        assert {name for name in read(path) if name.endswith(".h5")} == {name for name in whole if name.endswith(".h5")}
        assert all(read(path)[name] == content for name, content in whole.items() if name.endswith(".h5"))
        print(flush, "begun" if is_begun else "none", len(done.there))
        shutil.rmtree(path.parent)


if __name__ == "__main__":
    main()
