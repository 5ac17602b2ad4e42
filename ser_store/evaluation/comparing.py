"""Comparison of members and ensembles from the store, on the same utterances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import nextafter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice, check_number
from ser_store.common.display import Block, Result
from ser_store.errors import EnsembleError, MetricError
from ser_store.evaluation.ensemble_names import (
    VotingRule,
    check_voting_rule,
    format_ensemble,
    vote_ensemble,
)
from ser_store.evaluation.leakage import caution_leakage
from ser_store.evaluation.member_choice import choose_members, keep_covering, name_part, resolve_ensemble
from ser_store.evaluation.score_kinds import CONFIDENCE, SOFT_VOTES, caution_scores
from ser_store.evaluation.tables.comparison import tabulate_comparison
from ser_store.evaluation.uncertainty import (
    IntervalKind,
    IntervalRule,
    choose_rule,
    describe_accuracy,
    find_accuracy_intervals,
)
from ser_store.metrics import Evaluation, caution_absent_classes, evaluate_predictions
from ser_store.metrics.absent_classes import caution_unanswered
from ser_store.statistics.comparisons import (
    CochranQ,
    PairComparison,
    caution_few_groups,
    cochran_q,
    compare_pairs,
    holm,
    mcnemar,
)
from ser_store.statistics.intervals import Interval
from ser_store.voting.checks import Tie
from ser_store.voting.rules import Rule
from ser_store_h5.names import list_names
from ser_store_h5.store import Store, StoreLike, open_store

ALPHA = 0.05
# The units of tests and bootstrap, and the rule of intervals that goes with each.
Unit = Literal["auto", "speaker", "utterance"]
UNITS: dict[Unit, IntervalKind] = {"auto": "auto", "speaker": "speaker", "utterance": "wilson"}
BEST = "best"


@dataclass(frozen=True)
class Compared:
    """One member, or one ensemble of several.

    Attributes:
        name: the member's full name, or those of an ensemble's members joined by plus signs.
        members: full names.
        metrics: every metric of the confusion matrix.
        interval: of the accuracy.
    """

    name: str
    members: tuple[str, ...]
    metrics: Evaluation
    interval: Interval

    def to_json(self) -> dict[str, Any]:
        accuracy = describe_accuracy(self.metrics, self.interval)
        return {"name": self.name, "members": list(self.members), **accuracy}


@dataclass(frozen=True)
class Pair:
    """Two of them against each other.

    Attributes:
        test: by speaker where speakers are the units, else McNemar's exact test; corrected for all pairs compared.
        p_mcnemar: of this pair alone, McNemar's exact test, which takes utterances as independent.
    """

    test: PairComparison
    p_mcnemar: float

    def to_json(self) -> dict[str, Any]:
        test = self.test
        return {
            "first": test.first,
            "second": test.second,
            "only_first": test.only_first,
            "only_second": test.only_second,
            "difference": test.difference,
            "ci95": list(test.interval.bounds),
            "p": test.p,
            "p_holm": test.p_holm,
            "method": test.method,
            "p_mcnemar": self.p_mcnemar,
            "verdict": test.verdict,
        }


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Members and ensembles on the same utterances.

    Attributes:
        on: the part of the split.
        split: the split; None where the corpus has none.
        unit: ``speaker`` or ``utterance``: what is taken as independent of each other.
        n_units: how many of them there are.
        rule: how ensembles vote.
        tie: how their ties are decided.
        alpha: the chance taken to call any two different that are not.
        compared: the members and ensembles, in the order named.
        cochran: whether they differ at all, for three or more; takes utterances as independent.
        pairs: every two of them, or each with the one that all were compared with, second.
        cautions: why the verdicts may mislead; empty if there is no known reason.
    """

    on: str
    split: str | None
    unit: str
    n_units: int
    rule: str
    tie: str
    alpha: float
    compared: tuple[Compared, ...]
    cochran: CochranQ | None
    pairs: tuple[Pair, ...]
    cautions: tuple[str, ...]

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore compare`` prints."""
        yield from tabulate_comparison(self)

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each pair: who, the verdict, the difference in accuracy with its interval, and p."""
        return [
            {
                "first": pair.test.first,
                "second": pair.test.second,
                "verdict": pair.test.verdict,
                "only_first": pair.test.only_first,
                "only_second": pair.test.only_second,
                "difference": pair.test.difference,
                "low": pair.test.interval.low,
                "high": pair.test.interval.high,
                "p": pair.test.p,
                "p_holm": pair.test.p_holm,
                "p_mcnemar": pair.p_mcnemar,
            }
            for pair in self.pairs
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "on": self.on,
            "split": self.split,
            "n": self.compared[0].metrics.n,
            "unit": self.unit,
            "n_units": self.n_units,
            "rule": self.rule,
            "tie": self.tie,
            "alpha": self.alpha,
            "compared": [one.to_json() for one in self.compared],
            "cochran": None if self.cochran is None else vars(self.cochran),
            "pairs": [pair.to_json() for pair in self.pairs],
            "cautions": list(self.cautions),
        }


def compare(
    store: StoreLike,
    names: str | Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    against: str | None = None,
    unit: Unit = "auto",
    rule: Rule = "hard",
    tie: Tie = "lowest",
    alpha: float = ALPHA,
) -> Comparison:
    """Compare members and ensembles in accuracy on the same utterances: do they differ, or can one not tell?

    Args:
        names: two or more members, or ensembles ``a@1+b@2+c@3``. Default: every run's selected step.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        against: compare all with this one only, which leaves fewer tests to correct for; ``best``: with the most
            accurate, of equals the first. It joins ``names`` where it is not among them.
        unit: ``speaker``: members are swapped by speaker; ``utterance``: McNemar's exact test; ``auto``: by
            speaker where three or more are known.
        rule: how ensembles vote: ``hard``, ``soft`` or ``soft-log``.
        tie: how ties of hard voting are decided: ``lowest``, ``confidence``, ``best`` or ``abstain``.
        alpha: the chance taken to call any two different that are not.

    Raises:
        EnsembleError: if there are not two to compare, or one is named twice.
        StoreError: if a member covers not all utterances asked for, or lacks what the rule needs.
        UnknownNameError: if there is no such member, part, unit or rule.
        CorpusError: if speakers are asked for and none are known.

    >>> import ser_store as ss
    >>> compared = ss.compare(ss.open_example(), ["hubert-xlarge+unispeech-ml+xlsr53", "xlsr53"])
    >>> compared.pairs[0].test.verdict
    'better'
    """
    store = open_store(store)
    names = list_names(names)
    check_choice("unit", unit, UNITS)
    check_number(
        "alpha", alpha, MetricError, least=nextafter(0, 1), most=nextafter(1, 0), expected="a share between 0 and 1"
    )
    voting = check_voting_rule(rule, tie)
    corpus = store.corpus
    on = name_part(corpus, on, split)
    rows = corpus.rows(on, split=split)
    speakers = corpus.speaker_groups(rows)
    drawn = choose_rule(speakers, UNITS[unit])
    left_out: tuple[str, ...] = ()
    if not names:
        names, left_out = keep_covering(store, choose_members(store), rows, on=on)
    ensembles = _resolve(store, names, against)
    truth = corpus.labels[rows]
    predicted = np.stack([vote_ensemble(store, members, rows, rule=voting) for members in ensembles])
    labels = [format_ensemble(members) for members in ensembles]
    correct = predicted == truth
    intervals = find_accuracy_intervals(correct, drawn)
    other = None if against is None else _find_other(store, against, labels, correct)
    n_units = len(rows) if drawn.speakers is None else len(set(drawn.speakers.tolist()))
    return Comparison(
        on=on,
        split=split or corpus.default_split,
        unit="utterance" if drawn.speakers is None else "speaker",
        n_units=n_units,
        rule=rule,
        tie=tie,
        alpha=alpha,
        compared=tuple(
            Compared(label, tuple(members), evaluate_predictions(truth, own, n_classes=len(corpus.classes)), interval)
            for label, members, own, interval in zip(labels, ensembles, predicted, intervals, strict=True)
        ),
        cochran=cochran_q(correct) if len(labels) > 2 else None,
        pairs=_compare(correct, labels, other, drawn, alpha),
        cautions=(
            *left_out,
            *_iter_cautions(ensembles, n_units if drawn.speakers is not None else None, alpha, against),
            *caution_leakage(store, [member for members in ensembles for member in members], rows),
            *_caution_scores(store, ensembles, voting),
            *caution_absent_classes(truth, corpus.classes),
            *_caution_unanswered(store, ensembles, rows),
            *dict.fromkeys(one.caution for one in intervals if one.caution),
        ),
    )


def _caution_scores(store: Store, ensembles: Sequence[Sequence[str]], voting: VotingRule) -> tuple[str, ...]:
    """A line for each ensemble that adds up what is not on one scale."""
    if not voting.needs_probabilities:
        return ()
    of = CONFIDENCE if voting.rule == "hard" else SOFT_VOTES
    return tuple(line for members in ensembles for line in caution_scores(store, members, of=of))


def _caution_unanswered(store: Store, ensembles: Sequence[Sequence[str]], rows: NDArray[np.int32]) -> tuple[str, ...]:
    """Of members, whom an ensemble may hold; an ensemble that abstains says so by its rule for ties."""
    members = list(dict.fromkeys(member for ensemble in ensembles for member in ensemble))
    return caution_unanswered(members, store.predictions(members, rows))


def _resolve(store: Store, names: Sequence[str], against: str | None) -> list[list[str]]:
    """The members of each that is compared, ``against`` included."""
    ensembles = [resolve_ensemble(store, name) for name in names]
    if against not in (None, BEST):
        other = resolve_ensemble(store, against)
        ensembles += [] if other in ensembles else [other]
    sets = [frozenset(members) for members in ensembles]
    for place, members in enumerate(sets):
        if members in sets[:place]:
            raise EnsembleError(f"{format_ensemble(ensembles[place])} is named twice: expected every one once")
    if len(ensembles) < 2:
        raise EnsembleError(
            f"there is only {format_ensemble(ensembles[0])} to compare: expected two members or ensembles or more; an "
            "ensemble is written run@step+run@step+run@step"
        )
    return ensembles


def _find_other(store: Store, against: str, labels: Sequence[str], correct: NDArray[np.bool_]) -> int:
    """The place of the one that all are compared with."""
    if against == BEST:
        return int(correct.sum(axis=1).argmax())
    return labels.index(format_ensemble(resolve_ensemble(store, against)))


def _compare(
    correct: NDArray[np.bool_], labels: Sequence[str], other: int | None, drawn: IntervalRule, alpha: float
) -> tuple[Pair, ...]:
    places = {label: place for place, label in enumerate(labels)}
    if other is None:
        tests = compare_pairs(correct, labels, alpha=alpha, groups=drawn.speakers)
    else:
        alone = [
            compare_pairs(correct[[place, other]], [label, labels[other]], alpha=alpha, groups=drawn.speakers)[0]
            for label, place in places.items()
            if place != other
        ]
        tests = tuple(
            replace(test, p_holm=p_holm, verdict=test.verdict if p_holm < alpha else "cannot tell")
            for test, p_holm in zip(alone, holm([test.p for test in alone]).tolist(), strict=True)
        )
    return tuple(Pair(test, mcnemar(correct[places[test.first]], correct[places[test.second]]).p) for test in tests)


def _iter_cautions(
    ensembles: Sequence[Sequence[str]], n_speakers: int | None, alpha: float, against: str | None
) -> Iterator[str]:
    if n_speakers is not None and (few := caution_few_groups(n_speakers, alpha=alpha)):
        yield few
    if any(len(members) > 1 for members in ensembles):
        yield "an ensemble that was chosen on these utterances looks better than it is, and its p is too low"
    if against == BEST:
        yield "the best was chosen on these utterances: it looks better than it is, and p is too low"
