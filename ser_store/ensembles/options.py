"""What is asked of a vote, checked before anything is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from ser_store.ensembles.vote_weights import VoteWeights
from ser_store.errors import EnsembleError, UnknownNameError, describe_unknown
from ser_store.voting.problem import OBJECTIVES
from ser_store.voting.rules import RULES, TIES
from ser_store.voting.search import BACKENDS

SEARCHES = ("auto", "exhaustive", "greedy", "pruned")
CLUSTERS = ("loky", "threading", "dask", "ray")
# Hard voting by weight has a name of its own.
WEIGHTED = "weighted"
MAX_K = 15


@dataclass(frozen=True)
class Terms:
    """By what rule ensembles vote, which of them may stand, and how the best is searched.

    Attributes:
        ks: the sizes of the ensembles, ascending, once the candidates are known.
        rule: ``hard``, ``soft`` or ``soft-log``.
        tie: the tie rule of hard voting.
        weights: how much each vote weighs, or None where all weigh alike.
        objective: what makes an ensemble better than another.
        min_accuracy: candidates below it are left out.
        one_step_per_run: no ensemble holds two steps of one run.
        include: patterns, of each of which every ensemble holds somebody.
        search: ``auto``, ``exhaustive``, ``greedy`` or ``pruned``.
        backend, threads, scheduler: where the search runs.
        max_seconds: when a pruned search ends unfinished.
    """

    ks: tuple[int, ...] = ()
    rule: str = "hard"
    tie: str = "lowest"
    weights: VoteWeights | None = None
    objective: str = "accuracy"
    min_accuracy: float = 0.0
    one_step_per_run: bool = False
    include: tuple[str, ...] = ()
    search: str = "auto"
    backend: str = "auto"
    threads: int | None = None
    scheduler: str | None = None
    max_seconds: float | None = None

    @property
    def needs_shares(self) -> bool:
        return self.rule != "hard" or self.tie == "confidence"

    @property
    def is_limited(self) -> bool:
        """Whether not every ensemble of the candidates may stand."""
        return self.one_step_per_run or bool(self.include)

    @property
    def runs_on_cluster(self) -> bool:
        return self.backend in CLUSTERS

    @property
    def takes_from_truth(self) -> bool:
        """Whether more than the ensemble is chosen by what is right: candidates, weights or who decides ties."""
        return self.min_accuracy > 0 or self.tie == "best" or (self.weights is not None and self.weights.is_derived)


def check_terms(terms: Terms) -> None:
    """Refuse what does not exist, or does not go together.

    Raises:
        EnsembleError: naming the two, and the way out.
        UnknownNameError: naming what there is.
    """
    _check_names(terms)
    if terms.rule != "hard" and terms.tie != "lowest":
        raise EnsembleError(f"--tie {terms.tie} with --rule {terms.rule}: expected ties by lowest; drop --tie")
    if not 0 <= terms.min_accuracy <= 1:
        percent = 1 < terms.min_accuracy <= 100
        example = f"{terms.min_accuracy / 100:g} for {terms.min_accuracy:g}%" if percent else "such as 0.9"
        raise EnsembleError(f"--min-accuracy is {terms.min_accuracy:g}: expected a share of 1, {example}")
    if terms.threads is not None and terms.threads < 1:
        raise EnsembleError(f"--threads is {terms.threads}: expected at least 1")
    if terms.max_seconds is not None and (terms.search != "pruned" or not terms.max_seconds > 0):
        raise EnsembleError(
            f"--max-seconds {terms.max_seconds:g} with --search {terms.search}: expected a positive number with "
            "--search pruned"
        )
    if terms.scheduler is not None and terms.backend not in ("dask", "ray"):
        raise EnsembleError(f"--scheduler with --backend {terms.backend}: expected --backend dask")
    if terms.search in ("greedy", "pruned"):
        _check_inexhaustive(terms)
    if terms.runs_on_cluster and terms.is_limited:
        raise EnsembleError(
            f"--backend {terms.backend} with --one-step-per-run or --include: expected a search of all ensembles; drop "
            "--backend"
        )


def _check_names(terms: Terms) -> None:
    for kind, name, known in (
        ("voting rule", terms.rule, (*RULES, WEIGHTED)),
        ("tie rule", terms.tie, TIES),
        ("objective", terms.objective, OBJECTIVES),
        ("search", terms.search, SEARCHES),
        ("back end", terms.backend, (*BACKENDS, *CLUSTERS)),
    ):
        if name not in known:
            raise UnknownNameError(describe_unknown(kind, name, known))


def _check_inexhaustive(terms: Terms) -> None:
    """Greedy and pruned searches take less than the exhaustive one."""
    search = f"--search {terms.search}"
    if terms.is_limited:
        raise EnsembleError(f"{search} with --one-step-per-run or --include: expected --search exhaustive for these")
    if terms.weights is not None:
        raise EnsembleError(f"{search} with weights: expected votes that all weigh alike, or --search exhaustive")
    if terms.objective != "accuracy":
        raise EnsembleError(f"{search} by {terms.objective}: expected --objective accuracy, or --search exhaustive")
    if terms.backend != "auto":
        raise EnsembleError(f"{search} with --backend {terms.backend}: expected --backend auto, or --search exhaustive")
    if terms.search == "pruned" and (terms.rule != "hard" or terms.tie not in ("lowest", "abstain")):
        raise EnsembleError(
            f"--search pruned with {terms.rule} voting, ties by {terms.tie}: expected hard voting, ties by lowest or "
            "abstain; --search exhaustive and --search greedy take any rule"
        )


def settle_sizes(k: int | Sequence[int] | None, n_candidates: int) -> tuple[int, ...]:
    """The sizes of the ensembles, ascending, each once; by default that of all candidates together.

    Raises:
        EnsembleError: if there is none, or one below 1.
    """
    if k is None:
        return (n_candidates,)
    sizes = sorted({k} if isinstance(k, int) else set(k))
    if not sizes or sizes[0] < 1:
        raise EnsembleError(f"k is {k}: expected whole numbers from 1 on")
    return tuple(sizes)
