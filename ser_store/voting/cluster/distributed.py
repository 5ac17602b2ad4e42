"""The exhaustive search over many processes or machines, by joblib and the schedulers that joblib knows."""

import logging
import socket
import time
import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from ser_store.errors import EnsembleError, MissingExtraError, UnknownNameError, describe_unknown
from ser_store.voting.cluster.tasks import answer, count_tasks, iter_tasks, narrow_indices
from ser_store.voting.problem import Problem, check_countable
from ser_store.voting.search import SearchResult, check_top, choose_backend, conclude
from ser_store.voting.top_k import Tally
from ser_store_h5.progress import Progress, silent

CLUSTER_BACKENDS = ("loky", "threading", "dask", "ray")

# Errors of a task itself, such as a full disk under the compiler's cache, are tried again as often. Tasks that are lost
# with their worker are the scheduler's to repeat, as often as its setting ``allowed-failures`` says.
_RETRIES = 3
_CONNECT_SECONDS = _WORKERS_SECONDS = 10


def search_distributed(
    problem: Problem,
    *,
    top: int = 20,
    backend: str = "loky",
    n_jobs: int | None = None,
    scheduler: str | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Return what :func:`~ser_store.voting.search.search_ensembles` finds, by as many workers as there are.

    The result is the same whatever the back end and the number of workers, also where some of them are lost on the
    way and Dask gives their tasks to others. The workers need this package, of the same version. Ctrl-C ends the
    search early with what was found so far.

    Args:
        problem: without constraints.
        backend: of joblib: ``loky`` (processes on this machine), ``threading``, ``dask`` or ``ray``.
        n_jobs: workers. Default: as many as there are processors; with Dask, all the scheduler has.
        scheduler: address of the Dask scheduler, such as ``tcp://127.0.0.1:8786``, or of the Ray cluster.

    Raises:
        EnsembleError: if there are no ensembles, or more than can be counted, or constraints; if the scheduler is
            missing, cannot be reached, or lost its workers.
        MissingExtraError: if the back end's library is not installed.
        UnknownNameError: if there is no such back end.
    """
    _check_backend(backend, scheduler)
    check_top(top)
    check_countable(problem)
    if problem.constraints is not None:
        raise EnsembleError(f"back end {backend!r} with groups or required members: expected all ensembles")
    tally = Tally(problem, top=top)
    started = time.perf_counter()
    complete = True
    floor = 0
    # Sums that do not fit are decided one by one where they have to be, which only numpy does.
    voting = choose_backend(problem, "auto" if problem.fits(problem.k) else "batched")
    narrow = narrow_indices(problem)
    tasks = iter_tasks(problem, voting, lambda: floor)
    try:
        with _connect(backend, scheduler, n_jobs) as parallel:
            from joblib import delayed

            answers: Iterable[Tally] = parallel(delayed(answer)(narrow, voting, top, task) for task in tasks)
            with _abandoning(answers):
                for found in progress(answers, total=count_tasks(problem, voting), label="voting"):
                    tally.offer(found.correct, found.balance, found.members)
                    tally.histogram += found.histogram
                    floor = tally.floor
    except KeyboardInterrupt:
        complete = False
    return conclude(problem, tally, complete=complete, seconds=time.perf_counter() - started)


@contextmanager
def _connect(backend: str, scheduler: str | None, n_jobs: int | None) -> Iterator[Any]:
    """Return joblib's ``Parallel``, which yields results as they come."""
    if backend == "dask":
        with _connect_dask(str(scheduler)) as parallel:
            yield parallel
        return
    if backend == "ray":
        with _connect_ray(scheduler, n_jobs) as parallel:
            yield parallel
        return
    from joblib import Parallel, parallel_config

    with parallel_config(backend):
        yield Parallel(n_jobs=-1 if n_jobs is None else n_jobs, return_as="generator_unordered")


@contextmanager
def _connect_ray(address: str | None, n_jobs: int | None) -> Iterator[Any]:
    """Return Ray's own back end for joblib; it returns everything at the end, and does not repeat what is lost."""
    ray = _require("ray")
    from joblib import Parallel, parallel_config

    if address is not None:
        _knock(address)
    was_running = ray.is_initialized()
    ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level=logging.ERROR)
    try:
        _require("ray.util.joblib").register_ray()
        with parallel_config("ray"):
            yield Parallel(n_jobs=-1 if n_jobs is None else n_jobs)
    except ray.exceptions.RayActorError as problem:
        raise EnsembleError(
            "a worker of the Ray cluster was lost: expected workers that stay, as Ray does not repeat what they had; "
            "search again, or by back end 'dask', which does"
        ) from problem
    finally:
        if not was_running:
            ray.shutdown()


def _knock(address: str) -> None:
    """Refuse an address at which nobody answers: Ray itself takes minutes to find that out."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, ValueError) as problem:
        raise EnsembleError(
            f"no Ray cluster answers at {address} ({problem}): expected an address such as 127.0.0.1:6379, or none for "
            "this machine alone; `ray start --head` starts one"
        ) from problem


@contextmanager
def _connect_dask(scheduler: str) -> Iterator[Any]:
    distributed = _require("distributed")
    from joblib import Parallel, parallel_config

    try:
        client = distributed.Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as problem:
        raise EnsembleError(
            f"no Dask scheduler answers at {scheduler} ({problem}): expected an address such as tcp://127.0.0.1:8786; "
            "`dask scheduler` starts one"
        ) from problem
    try:
        with parallel_config("dask", client=client, retries=_RETRIES, wait_for_workers_timeout=_WORKERS_SECONDS):
            yield Parallel(return_as="generator_unordered")
    except TimeoutError as problem:
        raise EnsembleError(
            f"the Dask scheduler at {scheduler} has no workers: expected at least one; "
            f"`dask worker {scheduler}` starts one"
        ) from problem
    except distributed.KilledWorker as problem:
        raise EnsembleError(
            f"a task was lost with {problem.allowed_failures + 1} workers one after the other: expected workers that "
            "stay; see their logs for why they ended, memory first"
        ) from problem
    finally:
        client.close()


@contextmanager
def _abandoning(answers: Iterable[Tally]) -> Iterator[None]:
    """Give up what is still under way when the search is interrupted."""
    try:
        yield
    finally:
        if isinstance(answers, Generator):
            with warnings.catch_warnings():
                # joblib warns of tasks whose results nobody takes: here they are not wanted any more.
                warnings.filterwarnings("ignore", message=r"\d+ tasks ", category=UserWarning, module="joblib")
                answers.close()


def _require(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name is None or not module.startswith(missing.name):
            raise
        way_out = "pip install ray"
        if not missing.name.startswith("ray"):
            way_out = "it comes with the cluster extra; pip install 'ser-store[cluster]'"
        raise MissingExtraError(f"{missing.name} is not installed: this back end needs it; {way_out}") from missing


def _check_backend(backend: str, scheduler: str | None) -> None:
    if backend not in CLUSTER_BACKENDS:
        raise UnknownNameError(describe_unknown("back end", backend, CLUSTER_BACKENDS))
    if backend == "dask" and not scheduler:
        raise EnsembleError(
            "back end 'dask' without a scheduler: expected its address, such as tcp://127.0.0.1:8786; `dask scheduler` "
            "starts one"
        )
    if scheduler and backend not in ("dask", "ray"):
        raise EnsembleError(
            f"back end {backend!r} with scheduler {scheduler}: expected back end 'dask' or no scheduler"
        )
