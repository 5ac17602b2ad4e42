"""Compiled code, in processes of their own: what is kept of it, what is said of it, and what works without a cache."""

import os
import subprocess
import sys

import pytest

DOUBLE = (
    "from ser_store.voting.compiled.jit import compiled\n\n"
    "@compiled\ndef one_more(number):\n    return number + 1\n\n"
    "@compiled\ndef double(number):\n    return one_more(2 * number) - 1\n"
)
CALL = (
    "import logging, resource, sys\n"
    "logging.basicConfig(level=logging.INFO, format='%(message)s')\n"
    "if 'full' in sys.argv: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    "from doubling import double\n"
    "print(double(21))\n"
)


@pytest.fixture
def folder(tmp_path):
    """A folder with the module ``doubling``, which holds a compiled function."""
    (tmp_path / "doubling.py").write_text(DOUBLE)
    return tmp_path


def run(script, folder, *words, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": path, **variables}
    command = [sys.executable, "-c", script, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)


def forbid_caches(folder):
    """Files where folders would have to be: neither root nor anybody else can write into them."""
    for name in ("__pycache__", "home"):
        (folder / name).write_text("")
    return {"HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "home")}


def test_code_is_compiled_once_and_kept_where_the_variable_says(folder):
    first, second = (run(CALL, folder, NUMBA_CACHE_DIR=str(folder / "kept")) for _ in range(2))
    assert first.stdout == second.stdout == "42\n"
    assert first.stderr == "compiling the search, once, for some seconds\n"
    assert second.stderr == ""
    assert list((folder / "kept").rglob("*.nbc"))


def test_without_a_place_for_it_code_is_compiled_each_time_and_a_place_is_asked_for(folder):
    variables = forbid_caches(folder)
    done = run(CALL, folder, NUMBA_CACHE_DIR=str(folder / "home"), **variables)
    assert done.stdout == "42\n"
    assert done.stderr.startswith("compiling the search for some seconds, and each time: no folder can be written")
    assert done.stderr.endswith("set NUMBA_CACHE_DIR to one\n")
    assert done.stderr.count("compiling") == 1
    assert not list(folder.rglob("*.nb?"))


def test_on_a_full_disk_code_is_compiled_and_not_kept(folder):
    pytest.importorskip("resource")
    done = run(CALL, folder, "full")
    assert done.stdout == "42\n"
    assert "the compiled code is not kept (" in done.stderr
    assert done.stderr.endswith("it will be compiled again\n")
    assert run(CALL, folder).stdout == "42\n"


@pytest.mark.parametrize(("kind", "left"), [("nbi", b""), ("nbc", b"\x80\x04torn")])
def test_kept_code_that_is_damaged_is_compiled_anew_and_kept_again(folder, kind, left):
    run(CALL, folder)
    (kept,) = folder.rglob(f"*double*.{kind}")
    kept.write_bytes(left)
    assert run(CALL, folder).stdout == "42\n"
    assert run(CALL, folder).stderr == ""


# A search that is long enough to be compiled, a pruned one, and the choice of a back end.
WITHOUT = """
import sys, numpy as np
{obstruct}
from ser_store.errors import EnsembleError
from ser_store.voting import pose_problem, pruned, search, search_ensembles
search._BITSLICED_FROM = search._SUMMED_FROM = 1
rng = np.random.default_rng(0)
truth = rng.integers(4, size=60)
predictions = np.where(rng.random((12, 60)) < 0.6, truth, rng.integers(4, size=(12, 60)))
problem = pose_problem(predictions, truth, k=5, n_classes=4)
weights = rng.integers(1, 9, size=12)
found = [
    search_ensembles(predictions, truth, k=5, n_classes=4),
    search_ensembles(predictions, truth, k=5, n_classes=4, weights=weights),
    search_ensembles(predictions, truth, k=4, n_classes=4, groups=np.arange(12) // 2),
    pruned.search_pruned(problem),
]
for one in found:
    print([(score.members, score.correct) for score in one.results])
try:
    search_ensembles(predictions, truth, k=5, n_classes=4, backend="bitsliced")
except EnsembleError as refused:
    print(refused)
"""
OBSTACLES = {
    "numba cannot be imported": "sys.modules['numba'] = None",
    "llvmlite cannot be imported": "sys.modules['llvmlite'] = None",
    "an inside of numba is gone": "import numba.core.cgutils as insides; del insides.get_or_insert_function",
    "an inside of llvmlite is gone": "from llvmlite import ir; del ir.VectorType",
    "no processor to compile for": (
        "from numba.core import codegen\n"
        "def refuse(*_): raise RuntimeError('no target for this processor')\n"
        "codegen.JITCPUCodegen.__init__ = refuse"
    ),
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """What the searches find where there is compiled code, line by line."""
    return run(WITHOUT.format(obstruct=""), tmp_path_factory.mktemp("compiled")).stdout.splitlines()


@pytest.mark.parametrize("obstruct", [*OBSTACLES.values(), ""], ids=[*OBSTACLES, "NUMBA_DISABLE_JIT"])
def test_where_there_is_no_compiled_code_numpy_finds_the_same_and_one_line_says_so(folder, compiled, obstruct):
    variables = {} if obstruct else {"NUMBA_DISABLE_JIT": "1"}
    in_numpy = run(WITHOUT.format(obstruct=obstruct), folder, **variables)
    *found, refused = in_numpy.stdout.splitlines()
    assert found == compiled
    assert refused.startswith("back end 'bitsliced' cannot be had here, where nothing is compiled (")
    assert in_numpy.stderr.startswith(
        "voting in numpy, slower but with equal results: there is no compiled code here ("
    )
    assert in_numpy.stderr.count("\n") == 1
