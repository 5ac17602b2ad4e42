"""``evaluate``: the figures of members and ensembles on one part of the split."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ser_store.common.display import Block, Result
from ser_store.evaluation.choice.covering import choose_covering
from ser_store.evaluation.choice.ensemble_names import (
    EnsembleRule,
    VotingRule,
    describe_fits,
    load_members,
)
from ser_store.evaluation.choice.exclusion import are_named, choose_classes
from ser_store.evaluation.choice.member_choice import Steps, name_part
from ser_store.evaluation.folds import FoldFigures, find_fold_figures
from ser_store.evaluation.leakage import find_cautions, summarize_cautions
from ser_store.evaluation.score_kinds import LOSSES, caution_scores
from ser_store.evaluation.seeds import SeedFigures, gather_seeds
from ser_store.evaluation.slices import Slices, find_groups, slice_members, tabulate_gaps, tabulate_groups
from ser_store.evaluation.tables import PLAIN, caption_utterances, tabulate_evaluations, tabulate_member
from ser_store.evaluation.uncertainty import (
    IntervalKind,
    choose_rule,
    describe_accuracy,
    find_accuracy_intervals,
    find_balanced_intervals,
    find_intervals,
)
from ser_store.metrics import Evaluation, caution_absent_classes, evaluate_outcomes
from ser_store.metrics.absent_classes import caution_one_class, caution_unanswered
from ser_store.metrics.calibration import ProbabilityScores, describe_probabilities, evaluate_logits
from ser_store.metrics.confusion import Normalisation, count_outcomes, normalise_confusion
from ser_store.statistics.bootstrap import Interval
from ser_store.voting.checks import Tie
from ser_store_h5.names import PLUS, list_names
from ser_store_h5.store import StoreLike, open_store

_CHOSEN = "an ensemble that was chosen on these utterances looks better than it is"


@dataclass(frozen=True, repr=False)
class MemberEvaluation(Result):
    """One member's metrics, and the same by group where groups were asked for.

    Attributes:
        member: the member's full name.
        classes: class names in order.
        metrics: every metric of the confusion matrix.
        interval: of the accuracy.
        probabilities: top-2 accuracy, log-loss, Brier and calibration error; None where the member holds labels only.
            Of an SVM head, which holds decision values, they are those of the softmax of these; None of an ensemble
            that votes.
        intervals: of every figure by its name; empty for members that were not named.
        balanced_interval: of the balanced accuracy.
        sliced: the same for each group of utterances; None where no groups were asked for.
        cautions: why this member's figures may mislead.
        folds: of a member whose folds are scored by models of their own, the accuracy of each; else None.
    """

    member: str
    classes: tuple[str, ...]
    metrics: Evaluation
    interval: Interval
    balanced_interval: Interval
    probabilities: ProbabilityScores | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    sliced: Slices | None = None
    cautions: tuple[str, ...] = ()
    folds: FoldFigures | None = None

    def to_json(self, *, normalise: Normalisation | None = None) -> dict[str, Any]:
        metrics = self.metrics
        document: dict[str, Any] = {
            "member": self.member,
            **describe_accuracy(metrics, self.interval, self.balanced_interval),
        }
        document |= {"classes": list(self.classes), "confusion": metrics.confusion.tolist()}
        if normalise is not None:
            document["confusion_normalised"] = normalise_confusion(metrics.confusion, normalise).tolist()
            document["normalised_over"] = normalise
        document |= {**metrics.describe_figures(self.classes), **describe_probabilities(self.probabilities)}
        if self.intervals:
            document["intervals"] = {name: list(interval.bounds) for name, interval in self.intervals.items()}
            cautions = {name: interval.caution for name, interval in self.intervals.items() if interval.caution}
            document |= {"interval_cautions": cautions} if cautions else {}
        if self.sliced is not None:
            document["groups"] = {one.group: one.to_json(self.classes) for one in self.sliced.slices}
            document["gap"] = self.sliced.describe_gap()
        if self.folds is not None:
            document |= self.folds.to_json()
        return {**document, "cautions": list(self.cautions)}

    def describe(self, names: Mapping[str, str] = PLAIN, *, normalise: Normalisation | None = None) -> Iterator[Block]:
        """Yield all figures, the classes, the confusion matrix and the groups; see :meth:`Evaluations.describe`."""
        yield from tabulate_member(self, names, normalise=normalise)
        if self.sliced is not None:
            yield from tabulate_groups(self.member, self.sliced, names)

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each class: ``class``, ``precision``, ``recall``, ``f1``, ``support``."""
        scores = self.metrics.per_class
        return [
            {
                "class": name,
                **dict(zip(("precision", "recall", "f1"), scores.list_scores(place), strict=True)),
                "support": int(scores.support[place]),
            }
            for place, name in enumerate(self.classes)
        ]


@dataclass(frozen=True, repr=False)
class Evaluations(Result):
    """Metrics of several members on the same utterances.

    Attributes:
        on: the part of the split.
        split: the split; None where the corpus has none.
        by: the column of the groups, or None.
        members: one entry for each member, in the order asked for.
        cautions: why the figures may mislead; empty if there is no known reason.
        loss_cautions: the same of log-loss, Brier score and calibration error, for whoever shows these.
        seeds: of members whose runs differ in nothing but the seed, how far they differ.
    """

    on: str
    split: str | None
    by: str | None
    members: tuple[MemberEvaluation, ...]
    cautions: tuple[str, ...] = ()
    loss_cautions: tuple[str, ...] = ()
    seeds: tuple[SeedFigures, ...] = ()

    def list_cautions(self) -> tuple[str, ...]:
        """Return the cautions, those of log-loss among them where it is printed: of members that were named."""
        return (*self.cautions, *(self.loss_cautions if any(one.intervals for one in self.members) else ()))

    def describe(self, names: Mapping[str, str] = PLAIN, *, normalise: Normalisation | None = None) -> Iterator[Block]:
        """Yield what ``serstore evaluate`` prints: one line for each member, and those that were named in full.

        Args:
            names: what the metrics are called, as :func:`ser_store.evaluation.tables.name_metrics` gives it.
            normalise: show confusions as shares: of the ``true`` class, the ``predicted`` class, or ``all``.
        """
        yield from tabulate_evaluations(self, names)
        named = [member for member in self.members if member.intervals]
        if self.by is not None and not named:
            yield from tabulate_gaps({one.member: one.sliced for one in self.members if one.sliced is not None})
        for member in named:
            yield from member.describe(names, normalise=normalise)

    def caption(self) -> str:
        folds = "; of members with folds, each fold by models that have not met it"
        n = self.members[0].metrics.n
        pooled = folds if any(one.folds is not None for one in self.members) else ""
        return f"figures {caption_utterances(self.on, self.split, n)}{pooled}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each member: its figures, and the 95% interval of its accuracy."""
        return [
            {
                "member": one.member,
                "n": one.metrics.n,
                "correct": one.metrics.correct,
                "accuracy": one.metrics.accuracy,
                "low": one.interval.low,
                "high": one.interval.high,
                "balanced_accuracy": one.metrics.balanced_accuracy,
                "macro_f1": one.metrics.macro_avg.f1,
                "weighted_f1": one.metrics.weighted_avg.f1,
                "kappa": one.metrics.kappa,
                "mcc": one.metrics.mcc,
                **{
                    name: None if one.probabilities is None else getattr(one.probabilities, name)
                    for name in ("top2", "log_loss", "brier", "ece")
                },
            }
            for one in self.members
        ]

    def to_json(self, *, normalise: Normalisation | None = None) -> dict[str, Any]:
        """Return the document of ``serstore evaluate --json``, with confusion as shares over ``normalise`` as well."""
        asked = {"on": self.on, "split": self.split, **({} if self.by is None else {"by": self.by})}
        members = [member.to_json(normalise=normalise) for member in self.members]
        seeds = {"seeds": [one.to_json() for one in self.seeds]} if self.seeds else {}
        return {**asked, "members": members, **seeds, "cautions": [*self.cautions, *self.loss_cautions]}


def evaluate(
    store: StoreLike,
    members: str | Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    by: str | None = None,
    interval: IntervalKind = "auto",
    steps: Steps = "selected",
    rule: EnsembleRule = "hard",
    tie: Tie = "lowest",
    exclude: str | Sequence[str] = (),
    classes: Sequence[str] = (),
) -> Evaluations:
    """Evaluate members and ensembles: accuracy and the other metrics, with confidence intervals.

    Args:
        store: a store, or its path.
        members: members such as ``xlsr53@1100``, runs, ensembles such as ``a@1+b@2+c@3``, or patterns such as
            ``hubert-*``; a string is one name. Default, and of patterns those that they fit: the selected step of every
            run, where it can be read, predicts anything and covers the part.
            Members that are named get an interval for every figure, others for the accuracy alone. A single one that
            is named is evaluated on what it covers of the part.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        split: the split that ``on`` is a part of. Default: the store's default split.
        by: ``speaker``, ``label`` or a column: give the metrics for each of its values too.
        interval: how 95% intervals are found: ``wilson`` (of the accuracy; bootstrap for the rest), ``bootstrap`` (of
            utterances), ``speaker`` (bootstrap that resamples whole speakers), or ``auto``: by speaker where three or
            more are known, else ``wilson``.
        steps: ``selected``, or ``all`` steps of runs that are named alone or not at all.
        rule: how ensembles vote: ``hard``, ``soft`` or ``soft-log``; or by weights that are fitted without the speaker
            that they score, as :func:`ser_store.vote` has them: ``pool``, ``stack`` or ``greedy-pool``.
        tie: how their hard votes break ties: ``lowest``, ``confidence``, ``best`` or ``abstain``.
        exclude: members, runs or patterns such as ``hubert-*`` that are left out.
        classes: evaluate on the utterances of these classes alone. Default: of all.

    Returns:
        One evaluation for each member, in the order named, and cautions: why figures may mislead, and what was left
        out.

    Raises:
        StoreError: if a member that is named cannot be read, does not cover the utterances asked for or predicts
            nothing.
        UnknownNameError: if there is no such member, part, split, column, interval or rule.
        CorpusError: if intervals by speaker are asked for and no speakers are known.

    >>> import ser_store as ss
    >>> found = ss.evaluate(ss.open_example(), "xlsr53")
    >>> found.members[0].metrics.correct, found.members[0].metrics.n
    (267, 288)
    """
    store = open_store(store)
    members = list_names(members)
    voting = VotingRule(rule, tie, split)
    corpus = store.corpus
    on = name_part(corpus, on, split)
    rows, without = choose_classes(corpus, corpus.rows(on, split=split), classes)
    chosen = choose_covering(store, members, rows, on=on, steps=steps, exclude=list_names(exclude))
    names, rows, in_full = chosen.names, chosen.rows, are_named(members)
    groups = None if by is None else find_groups(corpus, by)[rows]
    speakers = corpus.speaker_groups(rows)
    intervals_by = choose_rule(speakers, interval)
    truth, n_classes = corpus.labels[rows], len(corpus.classes)
    shared: dict[str, Any] = {"n_classes": n_classes, "rule": intervals_by}
    predicted, logits = load_members(store, names, rows, rule=voting)
    outcomes = count_outcomes(truth, predicted, n_classes=n_classes)
    intervals = find_accuracy_intervals(predicted == truth, intervals_by)
    balanced = find_balanced_intervals(truth, predicted, **shared)
    sliced: Sequence[Slices | None] = [None] * len(names)
    if by is not None and groups is not None:
        sliced = slice_members(
            truth, predicted, groups, by=by, logits=logits, speakers=speakers, balanced=in_full, **shared
        )
    of_members = find_cautions(store, [member for name in names for member in name.split(PLUS)], rows)
    cautions = {name: tuple(one for member in name.split(PLUS) for one in of_members[member]) for name in names}
    evaluated = tuple(
        MemberEvaluation(
            member=name,
            classes=corpus.classes,
            metrics=evaluate_outcomes(outcomes[place]),
            interval=intervals[place],
            balanced_interval=balanced[place],
            probabilities=None if own is None else evaluate_logits(truth, own),
            intervals=find_intervals(truth, predicted[place], logits=own, **shared) if in_full else {},
            sliced=sliced[place],
            cautions=tuple(map(str, cautions[name])),
            folds=find_fold_figures(store, name, rows, predicted[place] == truth),
        )
        for place, (name, own) in enumerate(zip(names, logits, strict=True))
    )
    scored = [one.member for one in evaluated if one.probabilities is not None and PLUS not in one.member]
    return Evaluations(
        on=on,
        split=split or corpus.default_split,
        by=by,
        members=evaluated,
        cautions=(
            *without,
            *chosen.cautions,
            *describe_fits(corpus, names, rows, on=on, rule=voting),
            *summarize_cautions(cautions.values()),
            *caution_absent_classes(truth, corpus.classes, predicted=predicted),
            *caution_one_class(names, predicted, corpus.classes),
            *caution_unanswered(names, predicted),
            *((_CHOSEN,) if any(PLUS in name for name in names) else ()),
            *dict.fromkeys(one.caution for one in intervals if one.caution),
        ),
        loss_cautions=caution_scores(store, scored, of=LOSSES),
        seeds=gather_seeds(store, {one.member: one.metrics.accuracy for one in evaluated}),
    )
