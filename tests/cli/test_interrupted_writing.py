"""Writing commands stopped by Ctrl-C or by the disk: one line, the store as before, and nothing left behind."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ser_store_h5.integrity.sweeping import gc
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")
COMMAND = "import sys; from ser_store_cli.app import main; main()"
# The same, interrupted when it is about to read the table, or to write a member when some are written.
INTERRUPTED = f"""
import os, signal, sys
def watch(event, arguments, *, moments=[{{}}]):
    if moments and event == moments[0][0] and moments[0][1] in str(arguments[0]):
        moments.clear()
        signal.raise_signal(signal.SIGINT)
sys.addaudithook(watch)
{COMMAND}
"""
# The same within a limit on the size of files, and on a disk that refuses what is flushed to it after a while.
LIMITED = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)); {COMMAND}"
FULL = f"""
import itertools, os, stat
flush, flushed = os.fsync, itertools.count()
def refuse(handle):
    if next(flushed) >= 100 and stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(28, "No space left on device")
    flush(handle)
os.fsync = refuse
{COMMAND}
"""


LOADING = """
import sys
class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "ser_store_cli.commands.vote":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from ser_store_cli.__main__ import main
main()
"""


def test_an_interrupt_while_the_commands_are_loaded_is_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted; what was written is complete\n")


@pytest.fixture(scope="module")
def predictions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tables of 60 utterances: two members, and ninety more of other runs."""
    folder, chance = tmp_path_factory.mktemp("predictions"), random.Random(0)
    names = {"few": ["first@1", "first@2"], "many": [f"run-{run}@{step}" for run in range(10) for step in range(9)]}
    for name, members in names.items():
        rows = [["utterance", "emotion", *members]]
        rows += [[f"u{row:03}", "abc"[row % 3], *chance.choices("abc", k=len(members))] for row in range(60)]
        (folder / f"{name}.csv").write_text("".join(",".join(cells) + "\n" for cells in rows))
    return {name: folder / f"{name}.csv" for name in names}


def start(code: str, table: Path, store: Path) -> "subprocess.Popen[str]":
    words = ["import", str(table), "--label", "emotion", "--trained-on", "nothing", "--store", str(store)]
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit code, and the one line on stderr."""
    out, err = process.communicate(timeout=600)
    if process.returncode:
        assert out == ""
        assert len(err.splitlines()) == 1, err
    return process.returncode, err


@pytest.mark.parametrize("is_there", [True, False], ids=["into a store", "a new store"])
def test_ctrl_c_in_the_middle_of_an_import_leaves_the_store_as_before(
    tmp_path: Path, predictions: dict[str, Path], is_there: bool
) -> None:
    store = tmp_path / "store"
    if is_there:
        assert finish(start(COMMAND, predictions["few"], store)) == (0, "")
    for moment in (("import", "polars"), ("open", "run-2/.step-000001.h5")):
        code = INTERRUPTED.format(moment)
        assert finish(start(code, predictions["many"], store)) == (130, "interrupted; what was written is complete\n")
        if is_there:
            gc(store)
            verification = verify_store(store)
            assert (verification.problems, verification.leftovers) == ((), ())
            assert Store(store).member_names() == ["first@1", "first@2"]
        else:
            assert not store.exists()
    assert finish(start(COMMAND, predictions["many"], store)) == (0, "")
    assert len(Store(store).member_names()) == 90 + 2 * is_there


@pytest.mark.parametrize(("code", "reason"), [(LIMITED, "File too large"), (FULL, "No space left on device")])
@pytest.mark.parametrize("is_there", [True, False], ids=["into a store", "a new store"])
def test_a_disk_that_refuses_in_the_middle_of_an_import_leaves_the_store_as_before(
    tmp_path: Path, predictions: dict[str, Path], is_there: bool, code: str, reason: str
) -> None:
    store = tmp_path / "store"
    if is_there:
        assert finish(start(COMMAND, predictions["few"], store)) == (0, "")
    status, text = finish(start(code, predictions["many"], store))
    assert status == 1
    assert text.startswith(f"serstore: {store}/")
    assert f"could not be written ({reason}); nothing there was changed: check space and permissions" in text
    if is_there:
        verification = verify_store(store)
        assert (verification.problems, verification.leftovers) == ((), ())
        assert Store(store).member_names() == ["first@1", "first@2"]
    else:
        assert not store.exists()
