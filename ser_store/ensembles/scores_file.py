"""The scores of all ensembles as a file."""

from os import PathLike
from pathlib import Path

from ser_store.ensembles.candidate_pool import CandidatePool
from ser_store.ensembles.options import VoteOptions
from ser_store.errors import EnsembleError, ExistsError
from ser_store.voting.scores import compute_scores, write_scores_parquet
from ser_store_h5.progress import Progress

# Scores beyond it are held in a file beside the one to write: half a gigabyte.
_IN_MEMORY = 2**28


def check_scores(path: str | PathLike[str] | None, options: VoteOptions) -> None:
    """Refuse what cannot be written, before anything is searched.

    Raises:
        EnsembleError: if not all ensembles are voted, or they are of several sizes; if there is no such folder.
        ExistsError: if the file is there.
    """
    if path is None:
        return
    file = Path(path)
    search = options.search
    if not search.votes_all:
        raise EnsembleError(
            f"`scores` with `search` {search.method}, which does not vote all: expected an exhaustive search"
        )
    if options.limits.constrain:
        raise EnsembleError(
            "`scores` with `one_step_per_run` or `include`: expected a search of all ensembles; leave rows out of the "
            "file instead"
        )
    if search.runs_on_cluster:
        raise EnsembleError(
            f"`scores` with `backend` {search.backend}: expected a search on this machine; drop `backend`"
        )
    if options.ks is not None and len(options.ks) > 1:
        raise EnsembleError(f"`scores` with {len(options.ks)} sizes of ensembles: expected one `k`")
    if file.suffix != ".parquet":
        raise EnsembleError(f"`scores` {file}: expected a name that ends in .parquet")
    if file.exists():
        raise ExistsError(f"{file} is there already: choose another name, or remove it first")
    if not file.absolute().parent.is_dir():
        raise EnsembleError(f"{file}: there is no folder {file.parent}: expected one to write the scores to")


def write_scores(path: str | PathLike[str], pool: CandidatePool, *, progress: Progress) -> None:
    """Write a row for each ensemble, in lexicographic order: its members' names and the utterances it gets right."""
    from tempfile import TemporaryDirectory  # takes 10 ms, which only those who write scores pay

    search, (problem,) = pool.options.search, pool.iter_problems()
    with TemporaryDirectory(dir=Path(path).absolute().parent, prefix=f".{Path(path).name}.") as folder:
        scores = compute_scores(
            problem,
            backend=search.backend,
            threads=search.threads,
            path=Path(folder) / "scores.npy" if problem.total > _IN_MEMORY else None,
            progress=progress,
        )
        names = pool.candidates.names
        write_scores_parquet(path, scores, k=problem.k, n_candidates=len(names), names=names, progress=progress)
