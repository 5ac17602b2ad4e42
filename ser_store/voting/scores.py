"""The scores of all ensembles, as numbers in an array or a file: no object for any of them.

They are in lexicographic order, that of ``itertools.combinations``; see ``subsets.unrank_lexicographic``.
"""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import EnsembleError
from ser_store.voting.problem import Problem, check_countable
from ser_store.voting.search import choose_backend, run_search
from ser_store.voting.subsets import unrank_lexicographic
from ser_store.voting.top_k import Tally
from ser_store_h5.progress import Progress, silent

if TYPE_CHECKING:
    import polars as pl

# Rows of a chunk: 40 MB of member indices for five members.
_CHUNK_ROWS = 2**20


def compute_scores(
    problem: Problem,
    *,
    backend: str = "auto",
    threads: int | None = None,
    path: str | PathLike[str] | None = None,
    progress: Progress = silent,
) -> NDArray[np.signedinteger]:
    """Return how many utterances every ensemble gets right, ``(C(m, k),)`` in lexicographic order.

    int16 up to 32,767 utterances, else int32: 62 MB for 31 million ensembles. ``unrank_lexicographic`` says who they
    are.

    Args:
        problem: without constraints.
        path: a file in numpy's format to hold the array in, which is then a memory map. Default: memory.
        backend, threads, progress: as in :func:`~ser_store.voting.search.search_ensembles`.

    Raises:
        EnsembleError, UnknownNameError: as in :func:`~ser_store.voting.search.search_ensembles`; if there are
            constraints.

    >>> from ser_store.voting.problem import pose_problem
    >>> compute_scores(pose_problem([[0, 0], [0, 1], [1, 1]], [0, 1], k=2, n_classes=2)).tolist()
    [1, 1, 2]
    """
    check_countable(problem)
    if problem.constraints is not None:
        raise EnsembleError("scores with groups or required members: expected all ensembles")
    backend = choose_backend(problem, backend)
    dtype = np.int16 if problem.n <= np.iinfo(np.int16).max else np.int32
    scores: NDArray[np.signedinteger]
    if path is None:
        scores = np.empty(problem.total, dtype=dtype)
    else:
        scores = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(problem.total,))
    tally = Tally(problem, top=1)
    run_search(problem, tally, backend=backend, threads=threads, progress=progress, kept=scores)
    return scores


def write_scores_parquet(
    path: str | PathLike[str],
    scores: NDArray[np.signedinteger],
    *,
    k: int,
    names: Sequence[str],
    progress: Progress = silent,
) -> None:
    """Write the scores of all ensembles as Parquet, a row each: columns ``member_1`` to ``member_k``, and ``correct``.

    The file is written in chunks under another name, and renamed when it is whole.

    Args:
        path: the file; one that is there is replaced.
        scores: ``(C(m, k),)`` as of :func:`compute_scores`.
        names: of the candidates, different from each other.

    >>> import polars
    >>> write_scores_parquet("scores.parquet", np.array([1, 1, 2], dtype=np.int16), k=2, names=["a", "b", "c"])
    >>> polars.read_parquet("scores.parquet").row(2)
    ('b', 'c', 2)
    """
    import polars as pl
    from polars.io.plugins import register_io_source

    candidates = pl.Series(names, dtype=pl.Enum(names))
    correct = pl.UInt16 if scores.dtype == np.int16 else pl.UInt32
    schema = pl.Schema({**{f"member_{place}": candidates.dtype for place in range(1, k + 1)}, "correct": correct})

    def iter_frames(*_pushed_down: object) -> Iterator["pl.DataFrame"]:
        starts = range(0, len(scores), _CHUNK_ROWS)
        for start in progress(starts, total=len(starts), label="writing"):
            stop = min(start + _CHUNK_ROWS, len(scores))
            members = unrank_lexicographic(start, stop, size=k, n_candidates=len(names))
            columns = [candidates.gather(members[:, place]) for place in range(k)]
            yield pl.DataFrame([*columns, pl.Series(scores[start:stop]).cast(correct)], schema=list(schema))

    unfinished = Path(path).with_name(f".{Path(path).name}.unfinished")
    try:
        # Opened here: polars opens what it is given by name in a thread of its own, even once it has failed.
        with unfinished.open("wb") as file:
            register_io_source(iter_frames, schema=schema, is_pure=True).sink_parquet(file, row_group_size=_CHUNK_ROWS)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
