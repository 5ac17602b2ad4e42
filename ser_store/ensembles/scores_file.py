"""The scores of all ensembles as a file."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from ser_store.common.progress import Progress
from ser_store.ensembles.candidate_pool import Electorate
from ser_store.ensembles.options import Terms
from ser_store.errors import EnsembleError, ExistsError
from ser_store.voting.problem import count_ensembles
from ser_store.voting.scores import compute_scores, write_scores_parquet

# Scores beyond it are held in a file beside the one to write: half a gigabyte.
_IN_MEMORY = 2**28


def check_scores(path: str | PathLike[str], terms: Terms, k: int | Sequence[int] | None) -> None:
    """Refuse what cannot be written, before anything is searched.

    Raises:
        EnsembleError: if not all ensembles are voted, or they are of several sizes; if there is no such folder.
        ExistsError: if the file is there.
    """
    file = Path(path)
    if terms.search in ("greedy", "pruned"):
        raise EnsembleError(
            f"--scores with --search {terms.search}, which does not vote all: expected an exhaustive search"
        )
    if terms.is_limited:
        raise EnsembleError(
            "--scores with --one-step-per-run or --include: expected a search of all ensembles; leave rows out of the "
            "file instead"
        )
    if terms.runs_on_cluster:
        raise EnsembleError(
            f"--scores with --backend {terms.backend}: expected a search on this machine; drop --backend"
        )
    if isinstance(k, Sequence) and len(set(k)) > 1:
        raise EnsembleError(f"--scores with {len(set(k))} sizes of ensembles: expected one --k")
    if file.suffix != ".parquet":
        raise EnsembleError(f"--scores {file}: expected a name that ends in .parquet")
    if file.exists():
        raise ExistsError(f"{file} is there already: choose another name, or remove it first")
    if not file.absolute().parent.is_dir():
        raise EnsembleError(f"{file}: there is no folder {file.parent}: expected one to write the scores to")


def write_scores(path: str | PathLike[str], electorate: Electorate, terms: Terms, *, progress: Progress) -> None:
    """A row for each ensemble, in lexicographic order: its members' names and the utterances it gets right."""
    from tempfile import TemporaryDirectory  # takes 10 ms, which only those who write scores pay

    candidates = electorate.candidates
    options = electorate.list_options(candidates, terms)
    del options["objective"]
    k, m = terms.ks[0], len(candidates.names)
    with TemporaryDirectory(dir=Path(path).absolute().parent, prefix=f".{Path(path).name}.") as folder:
        scores = compute_scores(
            candidates.predictions,
            candidates.truth,
            k=k,
            backend=terms.backend,
            threads=terms.threads,
            path=Path(folder) / "scores.npy" if count_ensembles(m, k) > _IN_MEMORY else None,
            progress=progress,
            **options,
        )
        write_scores_parquet(path, scores, k=k, n_candidates=m, names=candidates.names, progress=progress)
