"""What a model of one corpus is worth on another: the figures of each pair, and what they look like."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.across.sites import Site
from ser_store.common.display import Block, Percent, Result, Table, format_interval
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.evaluation.tables.evaluation import describe_methods, tabulate_accuracies
from ser_store.evaluation.uncertainty import choose_rule, find_accuracy_intervals, find_balanced_intervals
from ser_store.metrics import caution_absent_classes, compute_balanced_accuracy
from ser_store.metrics.absent_classes import caution_one_class
from ser_store.statistics.bootstrap import Interval

_FIGURES = ("train", "test", "member", "n", "accuracy", "balanced_accuracy")


@dataclass(frozen=True, repr=False)
class CrossedPair(Result):
    """The figures of a model that learned in one corpus on the utterances of one.

    Attributes:
        train: the corpus that it learned in.
        test: the corpus that it is judged on; of the same, utterances that it has not learned from.
        member: the head, or the member of the test corpus' store.
        n: utterances judged on, all of classes that every corpus has.
        correct: of them answered right.
        accuracy: share of right answers.
        balanced_accuracy: mean recall over the classes that occur.
        interval: of the accuracy.
        balanced_interval: of the balanced accuracy.
        cautions: why the figures may mislead.
    """

    train: str
    test: str
    member: str
    n: int
    correct: int
    accuracy: float
    balanced_accuracy: float
    interval: Interval
    balanced_interval: Interval
    cautions: tuple[str, ...] = ()

    def describe(self) -> Iterator[Block]:
        """Yield a line."""
        balanced = f"{Percent(self.balanced_accuracy)} {format_interval(self.balanced_interval.bounds)}"
        yield (
            f"{self.member} of {self.train} on {self.n} utterances of {self.test}: balanced accuracy {balanced}, "
            f"accuracy {Percent(self.accuracy)} {format_interval(self.interval.bounds)}"
        )

    def records(self) -> list[dict[str, Any]]:
        """Return one row."""
        return [self.to_json()]

    def to_json(self) -> dict[str, Any]:
        """Return its entry in the document of ``serstore cross --json``."""
        figures = {name: getattr(self, name) for name in _FIGURES}
        return {**figures, "ci95": list(self.interval.bounds), "cautions": list(self.cautions)}


@dataclass(frozen=True, repr=False)
class Crossed(Result):
    """The figures of every train corpus on every test corpus.

    Attributes:
        classes: those that all corpora have, the only ones in training and in testing.
        pairs: row by row: a train corpus on each test corpus.
        notes: how the figures were found.
    """

    classes: tuple[str, ...]
    pairs: tuple[CrossedPair, ...]
    notes: tuple[str, ...] = ()

    def list_cautions(self) -> tuple[str, ...]:
        """Return the cautions of all pairs, each once, with the pairs that it holds for."""
        held: dict[str, list[str]] = {}
        for one in self.pairs:
            for caution in one.cautions:
                held.setdefault(caution, []).append(f"{one.train} on {one.test}")
        everywhere = len(self.pairs)
        return tuple(
            caution if len(where) == everywhere else f"{', '.join(where)}: {caution}" for caution, where in held.items()
        )

    def describe(self) -> Iterator[Block]:
        """Yield the table of balanced accuracies, and one with all figures."""
        trains, tests = ([*dict.fromkeys(getattr(one, side) for one in self.pairs)] for side in ("train", "test"))
        found = {(one.train, one.test): Percent(one.balanced_accuracy) for one in self.pairs}
        yield f"{len(self.classes)} classes that all have: {', '.join(self.classes)}"
        header = ["balanced accuracy: trained on, tested on", *tests]
        yield Table(header, [[train, *(found.get((train, test), "–") for test in tests)] for train in trains])
        yield ""
        figures, cells = tabulate_accuracies(self.pairs, self.pairs)
        rows = [[one.train, one.test, one.member, *own] for one, own in zip(self.pairs, cells, strict=True)]
        yield Table(["trained on", "tested on", "member", *figures], rows, keys=3)
        yield f"\n95% intervals: {describe_methods([one.interval for one in self.pairs])}"
        yield from self.notes

    def caption(self) -> str:
        """Return what is judged, and by what."""
        members = ", ".join(dict.fromkeys(one.member for one in self.pairs))
        return f"{members} of each corpus on each, on the {len(self.classes)} classes that all have"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each pair."""
        return [
            {
                **{name: getattr(one, name) for name in _FIGURES},
                "low": one.interval.low,
                "high": one.interval.high,
                "cautions": list(one.cautions),
            }
            for one in self.pairs
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore cross --json``."""
        return {"classes": list(self.classes), "rows": [one.to_json() for one in self.pairs]}


def judge_pair(
    train: Site, test: Site, member: str, rows: Rows, predicted: NDArray[np.int16], cautions: Sequence[str]
) -> CrossedPair:
    """Return the figures of what a model says of some utterances.

    Args:
        member: what the model is called.
        rows: of the test corpus, all of classes that every corpus has.
        predicted: ``(m,)`` among these classes; -1 for any other answer.
        cautions: that are known already.
    """
    truth = test.truth(rows)
    rule, n_classes = choose_rule(test.corpus.speaker_groups(rows)), len(test.classes)
    [interval] = find_accuracy_intervals((predicted == truth)[None], rule)
    [balanced_interval] = find_balanced_intervals(truth, predicted[None], n_classes=n_classes, rule=rule)
    found = [*cautions, *caution_one_class([member], predicted[None], test.classes)]
    found += caution_absent_classes(truth, test.classes, predicted=predicted)
    found += [interval.caution] if interval.caution else []
    return CrossedPair(
        train=train.name,
        test=test.name,
        member=member,
        n=len(rows),
        correct=int((predicted == truth).sum()),
        accuracy=float((predicted == truth).mean()),
        balanced_accuracy=compute_balanced_accuracy(truth, predicted, n_classes=n_classes),
        interval=interval,
        balanced_interval=balanced_interval,
        cautions=tuple(found),
    )
