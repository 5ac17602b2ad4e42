"""Evaluation of members from the store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import CorpusError, StoreError, UnknownNameError, describe_unknown
from ser_store.intervals import wilson_interval
from ser_store.metrics import Average, Evaluation, evaluate_predictions
from ser_store_h5.corpus import Corpus
from ser_store_h5.names import format_member
from ser_store_h5.store import Store


@dataclass(frozen=True)
class MemberEvaluation:
    """One member's metrics, and the same by group where groups were asked for."""

    member: str
    classes: tuple[str, ...]
    metrics: Evaluation
    groups: dict[str, Evaluation] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        document = {"member": self.member, **_summarise(self.metrics), "classes": list(self.classes)}
        document["confusion"] = self.metrics.confusion.tolist()
        scores = self.metrics.per_class
        document["per_class"] = {
            name: {
                "precision": float(scores.precision[index]),
                "recall": float(scores.recall[index]),
                "f1": float(scores.f1[index]),
                "support": int(scores.support[index]),
            }
            for index, name in enumerate(self.classes)
        }
        document["macro_avg"] = _average_to_json(self.metrics.macro_avg)
        document["weighted_avg"] = _average_to_json(self.metrics.weighted_avg)
        if self.groups:
            document["groups"] = {group: _summarise(metrics) for group, metrics in self.groups.items()}
        return document


@dataclass(frozen=True)
class Evaluations:
    """Metrics of several members on the same utterances.

    Attributes:
        on: the part of the split.
        by: the column of the groups, or None.
        members: one entry for each member, in the order asked for.
    """

    on: str
    by: str | None
    members: tuple[MemberEvaluation, ...]

    def to_json(self) -> dict[str, Any]:
        grouped = {} if self.by is None else {"by": self.by}
        return {"on": self.on, **grouped, "members": [member.to_json() for member in self.members]}


def _summarise(metrics: Evaluation) -> dict[str, Any]:
    return {
        "n": metrics.n,
        "correct": metrics.correct,
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "ci95": list(wilson_interval(metrics.correct, metrics.n)),
    }


def _average_to_json(average: Average) -> dict[str, float]:
    return {"precision": average.precision, "recall": average.recall, "f1": average.f1}


def evaluate(
    store: Store,
    members: Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    by: str | None = None,
) -> Evaluations:
    """Metrics of members from the store.

    Args:
        members: default: every run's selected step, as far as it predicts anything.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        by: ``speaker`` or a column: the metrics again for each of its values.

    Raises:
        StoreError: if a member covers not all utterances asked for, or predicts nothing.
        UnknownNameError: if there is no such member, part or column.
    """
    corpus = store.corpus
    on = name_part(corpus, on, split)
    rows = corpus.rows(on, split=split)
    names = choose_members(store, members)
    truth = corpus.labels[rows]
    grouping = None if by is None else find_groups(corpus, by)[rows]
    evaluated = []
    for name, predicted in zip(names, store.predictions(names, rows), strict=True):
        groups = {}
        if grouping is not None:
            for group in np.unique(grouping):
                inside = grouping == group
                groups[str(group)] = evaluate_predictions(
                    truth[inside], predicted[inside], n_classes=len(corpus.classes)
                )
        metrics = evaluate_predictions(truth, predicted, n_classes=len(corpus.classes))
        evaluated.append(MemberEvaluation(name, corpus.classes, metrics, groups))
    return Evaluations(on=on, by=by, members=tuple(evaluated))


def name_part(corpus: Corpus, on: str | None, split: str | None = None) -> str:
    """The part meant by ``on``: itself; where None, ``test`` if the split has it, else ``all``."""
    if on is not None:
        return on
    return "test" if corpus.splits and "test" in corpus.part_names(split) else "all"


def choose_members(store: Store, members: Sequence[str] = (), *, steps: str = "selected") -> list[str]:
    """Full names of the members meant: those named; else of every run its selected step, or all its steps.

    A run named without a step stands for its selected step, or with ``steps="all"`` for all of them. Members that
    hold no predictions are left out unless they are named.

    Raises:
        StoreError: if the store has no member that predicts anything, or one is named twice.
        UnknownNameError: if there is no such member.
    """
    if steps not in ("selected", "all"):
        raise UnknownNameError(describe_unknown("choice of steps", steps, ["selected", "all"]))
    chosen = []
    for name in members:
        run, step = store.resolve(name)
        if steps == "all" and "@" not in name:
            chosen += store.member_names(run)
        else:
            chosen.append(format_member(run, step))
    if members:
        twice = sorted({name for name in chosen if chosen.count(name) > 1})
        if twice:
            raise StoreError(f"{twice[0]} is named twice: expected every member once")
        return chosen
    for run in store.runs():
        if not store.steps(run):
            continue
        names = store.member_names(run) if steps == "all" else [format_member(run, store.selected_step(run))]
        chosen += [name for name in names if store.describe_member(name).can_vote]
    if not chosen:
        raise StoreError(
            f"{store.path} has no member that predicts anything: make one with `serstore finetune`, `serstore head` or "
            "`serstore import`"
        )
    return chosen


def find_groups(corpus: Corpus, by: str) -> NDArray[np.str_]:
    """The group of every utterance, ``(n,)`` str, by ``speaker``, the label, or a column.

    Raises:
        UnknownNameError: listing the columns there are.
        CorpusError: if the column has a value of its own for nearly every utterance.
    """
    groupings: dict[str, NDArray[Any]] = dict(corpus.columns)
    groupings["label"] = np.array(corpus.classes)[corpus.labels]
    if corpus.speakers is not None:
        groupings["speaker"] = corpus.speakers
    if by not in groupings:
        raise UnknownNameError(describe_unknown("column", by, sorted(groupings)))
    groups = groupings[by].astype(np.str_)
    if len(np.unique(groups)) > max(50, len(corpus) // 4):
        raise CorpusError(f"column {by} has {len(np.unique(groups))} values: expected one that groups the utterances")
    return groups
