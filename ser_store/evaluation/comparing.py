"""``compare``: tests of members and ensembles against each other, on the same utterances."""

from collections.abc import Iterator, Sequence
from math import nextafter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice, check_number
from ser_store.errors import EnsembleError, MetricError
from ser_store.evaluation.choice.covering import keep_covering
from ser_store.evaluation.choice.ensemble_names import (
    EnsembleRule,
    VotingRule,
    describe_fits,
    vote_ensemble,
)
from ser_store.evaluation.choice.exclusion import Exclusion, are_named
from ser_store.evaluation.choice.member_choice import (
    choose_members,
    name_ensembles,
    name_part,
    resolve_ensemble,
)
from ser_store.evaluation.comparison import Compared, Comparison, Pair
from ser_store.evaluation.folds import refuse_single_folds
from ser_store.evaluation.leakage import caution_leakage
from ser_store.evaluation.score_kinds import CONFIDENCE, SOFT_VOTES, caution_scores
from ser_store.evaluation.uncertainty import (
    IntervalKind,
    IntervalRule,
    choose_rule,
    find_accuracy_intervals,
    find_balanced_intervals,
)
from ser_store.metrics import caution_absent_classes, evaluate_predictions
from ser_store.metrics.absent_classes import caution_unanswered
from ser_store.statistics.comparisons import caution_few_groups, compare_against, compare_pairs
from ser_store.statistics.matched_tests import cochran_q, mcnemar
from ser_store.voting.checks import Tie
from ser_store_h5.names import Ensemble, list_names
from ser_store_h5.store import Store, StoreLike, open_store

ALPHA = 0.05
Unit = Literal["auto", "speaker", "utterance"]
# The units of tests and bootstrap, and the rule of intervals that goes with each.
UNITS: dict[Unit, IntervalKind] = {"auto": "auto", "speaker": "speaker", "utterance": "wilson"}
BEST = "best"


def compare(
    store: StoreLike,
    names: str | Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    against: str | Ensemble | None = None,
    unit: Unit = "auto",
    rule: EnsembleRule = "hard",
    tie: Tie = "lowest",
    alpha: float = ALPHA,
    exclude: str | Sequence[str] = (),
) -> Comparison:
    """Test whether members and ensembles differ in accuracy on the same utterances.

    Args:
        store: a store, or its path.
        names: two or more members, ensembles ``a@1+b@2+c@3``, or patterns such as ``hubert-*``. Default: every run's
            selected step.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        split: the split that ``on`` is a part of. Default: the store's default split.
        against: compare all with this one only, which leaves fewer tests to correct for; ``best``: with the most
            accurate, of equals the first. It joins ``names`` where it is not among them.
        unit: what counts as independent: ``utterance`` (McNemar's exact test), ``speaker`` (a permutation test that
            swaps the two members for whole speakers), or ``auto``: speakers where three or more are known.
        rule: how ensembles vote: ``hard``, ``soft`` or ``soft-log``; or by weights that are fitted without the speaker
            that they score, as :func:`ser_store.vote` has them: ``pool``, ``stack`` or ``greedy-pool``.
        tie: how ties of hard voting are decided: ``lowest``, ``confidence``, ``best`` or ``abstain``.
        alpha: the significance level: the chance to call any two different that are not.
        exclude: members, runs or patterns such as ``hubert-*`` that are left out.

    Returns:
        What was compared, every pair with its verdict, Cochran's Q for three or more, and cautions.

    Raises:
        EnsembleError: if there are not two to compare, or one is named twice.
        MetricError: if ``alpha`` is not between 0 and 1.
        StoreError: if a member that is named cannot be read, does not cover the utterances asked for or lacks what
            the rule needs.
        UnknownNameError: if there is no such member, part, split, unit or rule.
        CorpusError: if speakers are asked for and none are known.

    >>> import ser_store as ss
    >>> compared = ss.compare(ss.open_example(), ["hubert-xlarge+unispeech-ml+xlsr53", "xlsr53"])
    >>> compared.pairs[0].test.verdict
    'better'
    """
    store = open_store(store)
    check_choice("unit", unit, UNITS)
    expected = "a share between 0 and 1, such as 0.05"
    check_number("alpha", alpha, MetricError, least=nextafter(0, 1), most=nextafter(1, 0), expected=expected)
    voting = VotingRule(rule, tie, split)
    corpus = store.corpus
    on = name_part(corpus, on, split)
    rows = corpus.rows(on, split=split)
    drawn = choose_rule(corpus.speaker_groups(rows), UNITS[unit])
    n_speakers = None if drawn.speakers is None else len(set(drawn.speakers.tolist()))
    chosen, left_out = _choose(store, list_names(names), rows, on, Exclusion(list_names(exclude)))
    other = None if against is None else str(against)
    ensembles, place_of_other = _resolve(store, chosen, other)
    refuse_single_folds(store, [one for members in ensembles for one in members], rows)
    truth = corpus.labels[rows]
    predicted = np.stack([vote_ensemble(store, members, rows, rule=voting) for members in ensembles])
    correct = predicted == truth
    if other == BEST:
        place_of_other = int(correct.sum(axis=1).argmax())
    n_classes = len(corpus.classes)
    intervals = find_accuracy_intervals(correct, drawn)
    balanced = find_balanced_intervals(truth, predicted, n_classes=n_classes, rule=drawn)
    compared = tuple(
        Compared(
            str(Ensemble(one)),
            tuple(one),
            evaluate_predictions(truth, predicted[place], n_classes=n_classes),
            intervals[place],
            balanced[place],
        )
        for place, one in enumerate(ensembles)
    )
    return Comparison(
        on=on,
        split=split or corpus.default_split,
        unit="utterance" if n_speakers is None else "speaker",
        n_units=n_speakers or len(rows),
        rule=rule,
        tie=tie,
        alpha=alpha,
        compared=compared,
        cochran=cochran_q(correct) if len(compared) > 2 else None,
        pairs=_compare(correct, [one.name for one in compared], place_of_other, drawn, alpha),
        cautions=(
            *left_out,
            *describe_fits(corpus, [one.name for one in compared], rows, on=on, rule=voting),
            *_iter_cautions(ensembles, n_speakers, alpha, other),
            *_caution_scores(store, ensembles, rows, voting),
            *dict.fromkeys(one.interval.caution for one in compared if one.interval.caution),
        ),
    )


def _choose(
    store: Store, names: list[str], rows: NDArray[np.int32], on: str, is_excluded: Exclusion
) -> tuple[list[str], tuple[str, ...]]:
    """Return those named; of patterns, or of all runs, those that cover the rows, and why others are left out."""
    unread, is_strict = tuple[str, ...](), are_named(names)
    if not names:
        names, unread = choose_members(store, leave_out=is_excluded)
    elif is_excluded.patterns or not is_strict:
        names = [name for name in name_ensembles(store, names) if not is_excluded(name)]
    is_excluded.check(names)
    if is_strict:
        return names, ()
    names, short = keep_covering(store, names, rows, on=on)
    return names, (*unread, *short)


def _caution_scores(
    store: Store, ensembles: Sequence[Sequence[str]], rows: NDArray[np.int32], voting: VotingRule
) -> Iterator[str]:
    """Yield what the members have learned, which scores are not on one scale, and answers that are no class.

    An ensemble that abstains says so by its rule for ties.
    """
    members = [member for ensemble in ensembles for member in ensemble]
    yield from caution_leakage(store, members, rows)
    if voting.needs_probabilities:
        of = CONFIDENCE if voting.rule == "hard" else SOFT_VOTES
        for ensemble in ensembles:
            yield from caution_scores(store, ensemble, of=of)
    yield from caution_absent_classes(store.corpus.labels[rows], store.corpus.classes)
    members = list(dict.fromkeys(members))
    yield from caution_unanswered(members, store.predictions(members, rows))


def _resolve(store: Store, names: Sequence[str], against: str | None) -> tuple[list[list[str]], int | None]:
    """Return the members of each that is compared, and the place of ``against`` among them, if one is named."""
    ensembles = [resolve_ensemble(store, name) for name in names]
    place = None
    if against is not None and against != BEST:
        other = resolve_ensemble(store, against)
        ensembles += [] if other in ensembles else [other]
        place = ensembles.index(other)
    sets = [frozenset(members) for members in ensembles]
    for number, members in enumerate(sets):
        if members in sets[:number]:
            raise EnsembleError(f"{Ensemble(ensembles[number])} is named twice: expected every one once")
    if len(ensembles) < 2:
        raise EnsembleError(
            f"there is only {Ensemble(ensembles[0])} to compare: expected two members or ensembles or more; an "
            "ensemble is written run@step+run@step+run@step"
        )
    return ensembles, place


def _compare(
    correct: NDArray[np.bool_], labels: Sequence[str], other: int | None, drawn: IntervalRule, alpha: float
) -> tuple[Pair, ...]:
    places = {label: place for place, label in enumerate(labels)}
    if other is None:
        tests = compare_pairs(correct, labels, alpha=alpha, groups=drawn.speakers)
    else:
        tests = compare_against(correct, labels, other, alpha=alpha, groups=drawn.speakers)
    return tuple(Pair(test, mcnemar(correct[places[test.first]], correct[places[test.second]])) for test in tests)


def _iter_cautions(
    ensembles: Sequence[Sequence[str]], n_speakers: int | None, alpha: float, against: str | None
) -> Iterator[str]:
    if n_speakers is not None and (few := caution_few_groups(n_speakers, alpha=alpha)):
        yield few
    if any(len(members) > 1 for members in ensembles):
        yield "an ensemble that was chosen on these utterances looks better than it is, and its p is too low"
    if against == BEST:
        yield "the best was chosen on these utterances: it looks better than it is, and p is too low"
