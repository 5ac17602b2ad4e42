"""The search over many workers against the one in this process."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from math import comb

import numpy as np
import pytest
from vote_samples import from_arrays

from ser_store.errors import EnsembleError, MissingExtraError, UnknownNameError
from ser_store.voting import TIES, search_ensembles
from ser_store.voting.cluster import distributed, tasks
from ser_store.voting.problem import pose_problem

search_distributed = from_arrays(distributed.search_distributed)


def draw_candidates(m, n, n_classes, *, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_classes, size=n)
    right = rng.random((m, n)) < 0.5
    return np.where(right, truth, rng.integers(n_classes, size=(m, n))).astype(np.int16), truth


def assert_same(found, expected):
    assert found.results == expected.results
    np.testing.assert_array_equal(found.histogram, expected.histogram)
    assert found.searched == expected.searched
    assert found.complete


def test_two_processes_find_what_one_finds(monkeypatch):
    monkeypatch.setattr(tasks, "PARTS_PER_TASK", 1)
    predictions, truth = draw_candidates(40, 288, 8)
    found = search_distributed(predictions, truth, k=5, n_classes=8, n_jobs=2)
    assert_same(found, search_ensembles(predictions, truth, k=5, n_classes=8))


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        *({"tie": tie} for tie in TIES),
        {"rule": "soft"},
        {"k": 1},
        {"objective": "balanced_accuracy"},
        {"weights": np.arange(1, 13)},
    ],
)
def test_workers_find_the_same_by_every_rule(monkeypatch, options, n_jobs):
    monkeypatch.setattr(tasks, "PARTS_PER_TASK", 1)
    monkeypatch.setattr("ser_store.voting.numpy_search.BLOCK_BYTES", 2000)
    predictions, truth = draw_candidates(12, 50, 4)
    probabilities = np.random.default_rng(1).random((12, 50, 4))
    case = {"k": 4, "n_classes": 4, "probabilities": probabilities, **options}
    found = search_distributed(predictions, truth, backend="threading", n_jobs=n_jobs, **case)
    assert_same(found, search_ensembles(predictions, truth, backend="batched", **case))


@pytest.mark.parametrize("voting", ["bitsliced", "summed"])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_workers_find_the_same_by_every_compiled_search(monkeypatch, k, voting):
    monkeypatch.setattr("ser_store.voting.cluster.distributed.choose_backend", lambda problem, backend: voting)
    monkeypatch.setattr("ser_store.voting.compiled.parts.PART_SIZE", 90 * 50)
    predictions, truth = draw_candidates(13, 90, 5)
    found = search_distributed(predictions, truth, k=k, n_classes=5, backend="threading", n_jobs=2)
    assert_same(found, search_ensembles(predictions, truth, k=k, n_classes=5, backend="batched"))


@contextmanager
def start(*words, folder):
    """A process of the ``dask`` command."""
    with (folder / f"{words[0]}.log").open("a") as log:
        process = subprocess.Popen([sys.executable, "-m", "dask", *words], stdout=log, stderr=log, cwd=folder)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def start_cluster(folder, *, n_workers):
    """A Dask scheduler and workers on this machine: its address, and the workers' processes."""
    distributed = pytest.importorskip("distributed")
    file = folder / "scheduler.json"
    scheduler = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    with start("scheduler", *scheduler, folder=folder) as process, ExitStack() as stack:
        while not (file.exists() and file.read_text().endswith("\n}")):
            assert process.poll() is None, (folder / "scheduler.log").read_text()
            time.sleep(0.01)
        address = json.loads(file.read_text())["address"]
        worker = [
            "worker",
            address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            str(folder),
        ]
        workers = [stack.enter_context(start(*worker, folder=folder)) for _ in range(n_workers)]
        if workers:
            with distributed.Client(address, timeout=600, set_as_default=False) as client:
                client.wait_for_workers(n_workers, timeout=600)
        yield address, workers


def test_a_worker_killed_half_way_changes_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(tasks, "PARTS_PER_TASK", 1)
    predictions, truth = draw_candidates(66, 288, 8)
    done_before_and_after = [0, 0]

    with start_cluster(tmp_path, n_workers=2) as (address, workers):

        def kill_half_way(items, /, *, total, label):
            for count, item in enumerate(items):
                if count == total // 2:
                    os.kill(workers[0].pid, signal.SIGKILL)
                    assert workers[0].wait(timeout=600) == -signal.SIGKILL
                done_before_and_after[count >= total // 2] += 1
                yield item

        found = search_distributed(
            predictions, truth, k=6, n_classes=8, backend="dask", scheduler=address, progress=kill_half_way
        )
        assert workers[1].poll() is None
    assert min(done_before_and_after) > 20
    assert_same(found, search_ensembles(predictions, truth, k=6, n_classes=8))
    assert found.searched == comb(66, 6)


def test_what_every_task_needs_travels_with_it_instead_of_lying_on_a_worker_that_may_be_lost():
    sizeof = pytest.importorskip("dask.sizeof").sizeof
    predictions, truth = draw_candidates(40, 288, 8)
    problem = pose_problem(predictions, truth, k=5, n_classes=8, rule="hard", tie="lowest", probabilities=None)
    # From a kilobyte on, joblib puts an argument on one worker.
    assert sizeof(tasks.narrow_indices(problem)) < 1000
    assert sizeof(next(tasks.iter_tasks(problem, "bitsliced", lambda: 0))) < 1000


def test_an_interrupted_search_returns_the_best_so_far(monkeypatch):
    monkeypatch.setattr(tasks, "PARTS_PER_TASK", 1)
    monkeypatch.setattr("ser_store.voting.numpy_search.BLOCK_BYTES", 1000)

    def interrupt(items, /, *, total, label):
        for count, item in enumerate(items):
            if count == 3:
                raise KeyboardInterrupt
            yield item

    predictions, truth = draw_candidates(12, 50, 4)
    found = search_distributed(predictions, truth, k=5, n_classes=4, backend="threading", n_jobs=2, progress=interrupt)
    assert not found.complete
    assert 0 < found.searched < comb(12, 5)
    assert found.results


def test_dask_is_not_imported_unless_asked_for():
    script = (
        "import sys, numpy as np; from ser_store.voting import pose_problem; "
        "from ser_store.voting.cluster.distributed import search_distributed; "
        "posed = pose_problem(np.zeros((6, 9), int), np.zeros(9, int), k=3, n_classes=2); "
        "search_distributed(posed, backend='threading'); "
        "print(sorted({'dask', 'distributed', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (
            "distributed",
            {"backend": "dask", "scheduler": "tcp://127.0.0.1:1"},
            r"distributed is not installed: .*; pip install 'ser-store\[cluster\]'",
        ),
        ("ray", {"backend": "ray"}, "ray is not installed: .* pip install ray"),
    ],
)
def test_a_back_end_that_is_not_installed_is_named_with_what_installs_it(monkeypatch, module, options, message):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=message):
        search_distributed([[0], [0]], [0], k=2, n_classes=2, **options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backend": "dusk"}, UnknownNameError, r"unknown back end 'dusk': expected one of dask \(nearest\)"),
        ({"backend": "dask"}, EnsembleError, "'dask' without a scheduler: expected its address"),
        ({"scheduler": "tcp://127.0.0.1:1"}, EnsembleError, "'loky' with scheduler .* expected back end 'dask'"),
        ({"top": 0}, EnsembleError, "`top` is 0"),
        ({"k": 3}, EnsembleError, "k is 3 with 2 members"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused_in_one_line(options, error, message):
    with pytest.raises(error, match=message):
        search_distributed([[0], [0]], [0], **{"k": 2, "n_classes": 2, **options})


def test_a_scheduler_without_workers_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("ser_store.voting.cluster.distributed._WORKERS_SECONDS", 0.1)
    with (
        start_cluster(tmp_path, n_workers=0) as (address, _),
        pytest.raises(
            EnsembleError, match=f"the Dask scheduler at {address} has no workers: .*`dask worker {address}`"
        ),
    ):
        search_distributed([[0], [0]], [0], k=2, n_classes=2, backend="dask", scheduler=address)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("ser_store.voting.cluster.distributed._CONNECT_SECONDS", 0.5)
    address = "tcp://127.0.0.1:1"
    with pytest.raises(EnsembleError, match=f"no Dask scheduler answers at {address} .*`dask scheduler` starts one"):
        search_distributed([[0], [0]], [0], k=2, n_classes=2, backend="dask", scheduler=address)


RAY_SEARCH = """
import numpy as np
from ser_store.voting import pose_problem, search_ensembles
from ser_store.voting.cluster import tasks
from ser_store.voting.cluster.distributed import search_distributed
tasks.PARTS_PER_TASK = 1
rng = np.random.default_rng(0)
truth = rng.integers(8, size=288)
predictions = np.where(rng.random((40, 288)) < 0.6, truth, rng.integers(8, size=(40, 288)))
problem = pose_problem(predictions, truth, k=5, n_classes=8)
found = search_distributed(problem, backend="ray", n_jobs=2)
expected = search_ensembles(predictions, truth, k=5, n_classes=8)
print(found.results == expected.results, (found.histogram == expected.histogram).all(), found.complete)
"""


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_ray_finds_what_one_process_finds():
    # In a process of its own: Ray changes classes of joblib for good.
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, "-c", RAY_SEARCH], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "True True True"


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere"])
def test_a_ray_cluster_that_does_not_answer_is_named(address):
    with pytest.raises(EnsembleError, match=f"no Ray cluster answers at {address} .*`ray start --head` starts one"):
        search_distributed([[0], [0]], [0], k=2, n_classes=2, backend="ray", scheduler=address)
