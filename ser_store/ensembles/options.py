"""What is asked of a vote, checked before anything is read.

Errors speak of parameters, in backticks: the command turns these into its options.
"""

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from math import nextafter
from numbers import Real
from typing import Any, Literal, cast, get_args

from ser_store.common.checks import check_choice, check_number
from ser_store.ensembles.vote_weights import VoteWeights, Weights, check_source, settle_weights
from ser_store.errors import EnsembleError
from ser_store.voting.checks import Tie
from ser_store.voting.fitted import FITTED_RULES
from ser_store.voting.problem import Objective
from ser_store.voting.rules import RULES
from ser_store_h5.names import list_names

VoteRule = Literal["hard", "soft", "soft-log", "weighted", "pool", "stack", "greedy-pool"]
SearchMethod = Literal["auto", "exhaustive", "greedy", "pruned"]
Backend = Literal["auto", "batched", "bitsliced", "summed", "loky", "threading", "dask", "ray"]
CorrectionMethod = Literal["bootstrap", "halves", "none"]

CLUSTERS = ("loky", "threading", "dask", "ray")
# Hard voting by weight has a name of its own.
WEIGHTED = "weighted"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Which candidates and which ensembles of them a vote allows.

    Attributes:
        min_accuracy: leave out candidates whose accuracy on the utterances searched is below this share of 1, unless
            they are to be included.
        one_step_per_run: allow only one step of each run in an ensemble.
        include: members, runs or patterns such as ``hubert-*``: every ensemble must hold one candidate of each.
        exclude: members, runs or patterns that are no candidates.

    A string is one name.

    >>> import ser_store as ss
    >>> limits = ss.Limits(min_accuracy=0.9, include="hubert-*")
    >>> ss.vote(ss.open_example(), k=2, all_combos=True, limits=limits, correction="none").ensembles[0].members
    ('hubert-base@900', 'xlsr53@1100')
    """

    min_accuracy: float = 0.0
    one_step_per_run: bool = False
    include: str | Sequence[str] = ()
    exclude: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("include", "exclude"):
            object.__setattr__(self, name, tuple(list_names(getattr(self, name))))

    @property
    def constrain(self) -> bool:
        """Whether not every ensemble of the candidates is allowed."""
        return self.one_step_per_run or bool(self.include)


@dataclass(frozen=True)
class Search:
    """How and where to search for the best ensembles.

    Attributes:
        method: ``exhaustive`` (every ensemble votes); ``greedy`` (add one member after the other, fast, without proof);
            ``pruned`` (exact without voting all, by branch and bound); or ``auto``: exhaustive, refused if it would
            take more than ten minutes.
        backend: what computes an exhaustive search: ``batched`` (numpy), ``bitsliced`` or ``summed`` (compiled) on this
            machine, joblib's ``loky``, ``threading``, ``dask`` or ``ray``; or ``auto``: the fastest on this machine.
        threads: number of threads or workers. Default: one for each processor.
        scheduler: address of the Dask scheduler.
        max_seconds: stop a pruned search after this time, with the best so far. Default: never.

    >>> import ser_store as ss
    >>> ss.vote(ss.open_example(), k=3, search=ss.Search("pruned", max_seconds=60)).proved
    True
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
        """Whether joblib's workers compute it."""
        return self.backend in CLUSTERS


@dataclass(frozen=True)
class Correction:
    """How to correct the best figure for having been chosen on the utterances it is reported on.

    The choice is repeated on some of the utterances and scored on the others.

    Attributes:
        method: choose on ``bootstrap`` samples, or on random ``halves``; or ``none``: no correction.
        by: the groups that are resampled: ``speaker``, another column, or ``utterance``. Default: by speaker where the
            store knows them. With fewer than 8 groups or 10 utterances nothing is corrected.
        repeats: how often the choice is repeated. Default: 1000 where the outcomes of all ensembles fit in memory; 200
            (60 by utterance) where one pass over them chooses in all samples; else until the figure's standard error by
            their number is half a point, after 20 searches at least, 200 or what fits into about a minute at most.
        seed: the seed of the samples.

    >>> import ser_store as ss
    >>> report = ss.vote(ss.open_example(), k=3, all_combos=True, correction=ss.Correction(by="utterance", repeats=50))
    >>> report.selection.apparent > report.selection.corrected
    True
    """

    method: CorrectionMethod = "bootstrap"
    _: KW_ONLY
    by: str | None = None
    repeats: int | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class VoteOptions:
    """What a vote was asked for: the rule, the ensembles allowed, the search and the correction.

    Attributes:
        ks: the sizes of the ensembles, ascending; None if all candidates vote together.
        rule: the rule: ``hard``, ``soft``, ``soft-log`` or ``weighted``, or one that fits weights: ``pool``, ``stack``
            or ``greedy-pool``.
        tie: the tie rule of hard voting.
        weights: what each vote counts, or None where all count the same.
        objective: what ensembles are ranked by.
        limits: which candidates and ensembles are allowed.
        search: how and where to search.
        correction: how the best figure is corrected.
    """

    ks: tuple[int, ...] | None = None
    rule: VoteRule = "hard"
    tie: Tie = "lowest"
    weights: VoteWeights | None = None
    objective: Objective = "accuracy"
    limits: Limits = field(default_factory=Limits)
    search: Search = field(default_factory=Search)
    correction: Correction = field(default_factory=Correction)

    @property
    def voting_rule(self) -> str:
        """``hard``, ``soft`` or ``soft-log``; ``hard`` where what votes is weighted or fitted."""
        return self.rule if self.rule in RULES else "hard"

    @property
    def fits_weights(self) -> bool:
        """Whether the rule fits weights to members that are named, and searches none."""
        return self.rule in FITTED_RULES

    @property
    def needs_shares(self) -> bool:
        """Whether votes need the members' probabilities or logits."""
        return self.voting_rule != "hard" or self.tie == "confidence"

    @property
    def takes_from_truth(self) -> bool:
        """Whether candidates, weights or the decider of ties, too, follow from the true labels."""
        weighs = self.weights is not None and self.weights.is_derived
        return self.limits.min_accuracy > 0 or self.tie == "best" or weighs

    def settle(self, weights: Weights | None, names: Sequence[str]) -> "VoteOptions":
        """Return the same options with the weights of the candidates ``names``.

        Raises:
            EnsembleError, UnknownNameError: as :func:`~ser_store.ensembles.vote_weights.settle_weights`.
        """
        if weights is None and self.rule == WEIGHTED:
            weights = "accuracy"
        return self if weights is None else replace(self, weights=settle_weights(weights, names))


def check_options(options: VoteOptions, weights: Weights | None) -> VoteOptions:
    """Return the checked options, the objective written with an underscore.

    Raises:
        EnsembleError: if two options do not go together, or one is out of range; it names the way out.
        UnknownNameError: if there is no such rule, search and so on; it lists what there is.
    """
    _check_types(options)
    # The command writes it with a hyphen.
    options = replace(options, objective=cast(Objective, str(options.objective).replace("-", "_")))
    _check_names(options)
    if isinstance(weights, str):
        check_source(weights)
    rule, search = options.voting_rule, options.search
    if rule != "hard" and options.tie != "lowest":
        raise EnsembleError(f"`tie` {options.tie} with `rule` {rule}: expected ties by lowest; drop `tie`")
    _check_numbers(options)
    if search.max_seconds is not None and search.method != "pruned":
        raise EnsembleError(
            f"`max_seconds` {search.max_seconds:g} with `search` {search.method}: expected `search` pruned"
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


def _check_types(options: VoteOptions) -> None:
    for name, given, expected in (
        ("limits", options.limits, Limits),
        ("search", options.search, Search),
        ("correction", options.correction, Correction),
    ):
        if not isinstance(given, expected):
            example = "such as `Limits(min_accuracy=0.9)`" if expected is Limits else "or the name of a method"
            raise EnsembleError(f"`{name}` is {given!r}: expected a `{expected.__name__}`, {example}")


def _check_numbers(options: VoteOptions) -> None:
    for name, number, least in (
        ("threads", options.search.threads, 1),
        ("repeats", options.correction.repeats, 1),
        ("seed", options.correction.seed, 0),
    ):
        if number is not None or name == "seed":
            check_number(name, number, EnsembleError, least=least, whole=True)
    if (seconds := options.search.max_seconds) is not None:
        check_number(
            "max_seconds", seconds, EnsembleError, least=nextafter(0, 1), expected="a positive number of seconds"
        )
    bound = options.limits.min_accuracy
    example = "such as 0.9"
    if isinstance(bound, Real) and 1 < bound <= 100:
        example = f"{bound / 100:g} for {bound:g}%"
    check_number("min_accuracy", bound, EnsembleError, least=0, most=1, expected=f"a share of 1, {example}")


def _check_names(options: VoteOptions) -> None:
    for kind, name, known in (
        ("voting rule", options.rule, VoteRule),
        ("tie rule", options.tie, Tie),
        ("objective", options.objective, Objective),
        ("search", options.search.method, SearchMethod),
        ("back end", options.search.backend, Backend),
        ("correction", options.correction.method, CorrectionMethod),
    ):
        check_choice(kind, name, get_args(known))


def _check_inexhaustive(options: VoteOptions, *, is_weighted: bool) -> None:
    """Refuse what only an exhaustive search can do."""
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


def order_sizes(k: int | Iterable[int] | None) -> tuple[int, ...] | None:
    """Return the sizes of the ensembles, ascending, each once; None where none are given.

    Raises:
        EnsembleError: if there is none, one below 1, or one that is no whole number.

    >>> order_sizes(range(5, 1, -2)), order_sizes(3)
    ((3, 5), (3,))
    """
    if k is None:
        return None
    sizes: list[Any] = list(k) if isinstance(k, Iterable) and not isinstance(k, str) else [k]
    for size in sizes or [k]:
        check_number("k", size, EnsembleError, least=1, whole=True, expected="a whole number from 1 on, or several")
    return tuple(sorted({int(size) for size in sizes}))
