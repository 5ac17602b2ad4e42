"""What is asked of a vote, checked before anything is read.

Errors speak of parameters, in backticks: the command turns these into its options.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Literal, cast

from ser_store.ensembles.vote_weights import VoteWeights, Weights, check_source, settle_weights
from ser_store.errors import EnsembleError, UnknownNameError, describe_unknown
from ser_store.voting.problem import OBJECTIVES
from ser_store.voting.rules import RULES, TIES
from ser_store.voting.search import BACKENDS

Rule = Literal["hard", "soft", "soft-log", "weighted"]
Tie = Literal["lowest", "confidence", "best", "abstain"]
Objective = Literal["accuracy", "balanced_accuracy"]
SearchMethod = Literal["auto", "exhaustive", "greedy", "pruned"]
Backend = Literal["auto", "batched", "bitsliced", "summed", "loky", "threading", "dask", "ray"]
CorrectionMethod = Literal["bootstrap", "halves", "none"]

SEARCHES = ("auto", "exhaustive", "greedy", "pruned")
CORRECTIONS = ("bootstrap", "halves", "none")
CLUSTERS = ("loky", "threading", "dask", "ray")
# Hard voting by weight has a name of its own.
WEIGHTED = "weighted"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Which candidates there are, and which ensembles of them are allowed.

    Attributes:
        min_accuracy: candidates below it, on the utterances searched, are left out, save those of ``include``.
        one_step_per_run: no ensemble holds two steps of one run.
        include: members, runs or patterns such as ``hubert-*``: every ensemble holds one candidate of each.
        exclude: members, runs or patterns: no candidates.
    """

    min_accuracy: float = 0.0
    one_step_per_run: bool = False
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()

    @property
    def constrain(self) -> bool:
        """Whether not every ensemble of the candidates is allowed."""
        return self.one_step_per_run or bool(self.include)


@dataclass(frozen=True)
class Search:
    """How and where the best ensembles are searched.

    Attributes:
        method: ``exhaustive``; ``greedy`` forward selection; ``pruned``, exact by bounds; or ``auto``: exhaustive, if
            it ends within ten minutes.
        backend: of the exhaustive search: ``auto``, ``batched``, ``bitsliced`` or ``summed`` on this machine; joblib's
            ``loky``, ``threading``, ``dask`` or ``ray``.
        threads: or workers. Default: as many as there are processors.
        scheduler: address of the Dask scheduler.
        max_seconds: when a pruned search ends unfinished.
    """

    method: SearchMethod = "auto"
    _: KW_ONLY
    backend: Backend = "auto"
    threads: int | None = None
    scheduler: str | None = None
    max_seconds: float | None = None

    @property
    def votes_all(self) -> bool:
        """Whether every ensemble is voted."""
        return self.method in ("auto", "exhaustive")

    @property
    def runs_on_cluster(self) -> bool:
        return self.backend in CLUSTERS


@dataclass(frozen=True)
class Correction:
    """How the best figure is corrected for having been chosen on these utterances.

    Attributes:
        method: by ``bootstrap``, by disjoint ``halves``, or ``none``.
        by: draw whole groups: ``speaker`` or a column; or ``utterance``. Default: by speaker where the corpus knows
            them. Nothing is corrected by fewer than 8 groups or 10 utterances.
        repeats: how often the choice is repeated. Default: 1000 where the outcomes of all ensembles fit in memory, else
            200 searches or as many as fit into about a minute.
        seed: of the samples.
    """

    method: CorrectionMethod = "bootstrap"
    _: KW_ONLY
    by: str | None = None
    repeats: int | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class VoteOptions:
    """By what rule ensembles vote, which are allowed, how the best is searched and how its figure is corrected.

    Attributes:
        ks: the sizes of the ensembles, ascending; None for that of all candidates together.
        rule: as it was asked for: ``hard``, ``soft``, ``soft-log`` or ``weighted``.
        tie: the tie rule of hard voting.
        weights: how much each vote weighs, or None where all weigh alike.
        objective: what makes an ensemble better than another.
    """

    ks: tuple[int, ...] | None = None
    rule: Rule = "hard"
    tie: Tie = "lowest"
    weights: VoteWeights | None = None
    objective: Objective = "accuracy"
    limits: Limits = field(default_factory=Limits)
    search: Search = field(default_factory=Search)
    correction: Correction = field(default_factory=Correction)

    @property
    def voting_rule(self) -> str:
        """``hard``, ``soft`` or ``soft-log``."""
        return "hard" if self.rule == WEIGHTED else self.rule

    @property
    def needs_shares(self) -> bool:
        return self.voting_rule != "hard" or self.tie == "confidence"

    @property
    def takes_from_truth(self) -> bool:
        """Whether more than the ensemble is chosen by what is right: candidates, weights or who decides ties."""
        weighs = self.weights is not None and self.weights.is_derived
        return self.limits.min_accuracy > 0 or self.tie == "best" or weighs

    def settle(self, weights: Weights | None, names: Sequence[str]) -> "VoteOptions":
        """The same with the weights that are meant for the candidates ``names``.

        Raises:
            EnsembleError, UnknownNameError: as :func:`~ser_store.ensembles.vote_weights.settle_weights`.
        """
        if weights is None and self.rule == WEIGHTED:
            weights = "accuracy"
        return self if weights is None else replace(self, weights=settle_weights(weights, names))


def check_options(options: VoteOptions, weights: Weights | None) -> VoteOptions:
    """Return the options, with the objective as it is written here.

    Raises:
        EnsembleError: if two do not go together, naming these and the way out.
        UnknownNameError: naming what there is.
    """
    # As weights it may be written with a hyphen.
    options = replace(options, objective=cast(Objective, options.objective.replace("-", "_")))
    _check_names(options)
    if isinstance(weights, str):
        check_source(weights)
    rule, search = options.voting_rule, options.search
    if rule != "hard" and options.tie != "lowest":
        raise EnsembleError(f"`tie` {options.tie} with `rule` {rule}: expected ties by lowest; drop `tie`")
    _check_min_accuracy(options.limits.min_accuracy)
    if search.threads is not None and search.threads < 1:
        raise EnsembleError(f"`threads` is {search.threads}: expected at least 1")
    if search.max_seconds is not None and (search.method != "pruned" or not search.max_seconds > 0):
        raise EnsembleError(
            f"`max_seconds` {search.max_seconds:g} with `search` {search.method}: expected a positive number with "
            "`search` pruned"
        )
    if search.scheduler is not None and search.backend not in ("dask", "ray"):
        raise EnsembleError(f"`scheduler` with `backend` {search.backend}: expected `backend` dask")
    if not search.votes_all:
        _check_inexhaustive(options, is_weighted=weights is not None or options.rule == WEIGHTED)
    if search.runs_on_cluster and options.limits.constrain:
        raise EnsembleError(
            f"`backend` {search.backend} with `one_step_per_run` or `include`: expected a search of all ensembles; "
            "drop `backend`"
        )
    return options


def _check_names(options: VoteOptions) -> None:
    for kind, name, known in (
        ("voting rule", options.rule, (*RULES, WEIGHTED)),
        ("tie rule", options.tie, TIES),
        ("objective", options.objective, OBJECTIVES),
        ("search", options.search.method, SEARCHES),
        ("back end", options.search.backend, (*BACKENDS, *CLUSTERS)),
        ("correction", options.correction.method, CORRECTIONS),
    ):
        if name not in known:
            raise UnknownNameError(describe_unknown(kind, name, known))


def _check_min_accuracy(bound: float) -> None:
    if not 0 <= bound <= 1:
        example = f"{bound / 100:g} for {bound:g}%" if 1 < bound <= 100 else "such as 0.9"
        raise EnsembleError(f"`min_accuracy` is {bound:g}: expected a share of 1, {example}")


def _check_inexhaustive(options: VoteOptions, *, is_weighted: bool) -> None:
    """Greedy and pruned searches take less than the exhaustive one."""
    search = f"`search` {options.search.method}"
    if options.limits.constrain:
        raise EnsembleError(f"{search} with `one_step_per_run` or `include`: expected `search` exhaustive for these")
    if is_weighted:
        raise EnsembleError(f"{search} with weights: expected votes that all weigh alike, or `search` exhaustive")
    if options.objective != "accuracy":
        raise EnsembleError(f"{search} by {options.objective}: expected `objective` accuracy, or `search` exhaustive")
    if options.search.backend != "auto":
        raise EnsembleError(
            f"{search} with `backend` {options.search.backend}: expected `backend` auto, or `search` exhaustive"
        )
    is_known = options.voting_rule == "hard" and options.tie in ("lowest", "abstain")
    if options.search.method == "pruned" and not is_known:
        raise EnsembleError(
            f"`search` pruned with {options.voting_rule} voting, ties by {options.tie}: expected hard voting, ties by "
            "lowest or abstain; `search` exhaustive and `search` greedy take any rule"
        )


def order_sizes(k: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """Return the sizes of the ensembles, ascending, each once; None where none are named.

    Raises:
        EnsembleError: if there is none in a sequence, or one below 1.
    """
    if k is None:
        return None
    sizes = sorted({k} if isinstance(k, int) else set(k))
    if not sizes or sizes[0] < 1:
        raise EnsembleError(f"`k` is {k}: expected whole numbers from 1 on")
    return tuple(sizes)
