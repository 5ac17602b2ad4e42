"""Several stores side by side: the classes that all have, and what a model of one corpus is worth on another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Block, Percent, Result, Table, format_count, format_interval
from ser_store.corpora.label_map import LabelMap
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.corpora.texts import match_names
from ser_store.errors import CorpusError, StoreError
from ser_store.evaluation.tables import describe_methods, tabulate_accuracies
from ser_store.evaluation.uncertainty import choose_rule, find_accuracy_intervals, find_balanced_intervals
from ser_store.metrics import caution_absent_classes, compute_balanced_accuracy
from ser_store.metrics.absent_classes import caution_one_class
from ser_store.statistics.bootstrap import Interval
from ser_store_h5.corpus import Corpus, order_classes
from ser_store_h5.store import Store, StoreLike, open_store


@dataclass(frozen=True, eq=False)
class Site:
    """One of several corpora.

    Attributes:
        name: of the corpus; of its store's folder where two corpora are called alike.
        store: that has it.
        codes: of each class of the corpus its index among the classes of all, ``(c,)`` int16; -1 where it is none.
        classes: those of all.
    """

    name: str
    store: Store
    codes: NDArray[np.int16]
    classes: tuple[str, ...]

    @property
    def corpus(self) -> Corpus:
        return self.store.corpus

    def truth(self, rows: Rows) -> NDArray[np.int16]:
        """Return the labels of some utterances as classes of all, ``(m,)``; -1 where theirs is none of them."""
        return np.asarray(self.codes[self.corpus.labels[rows]], dtype=np.int16)

    def keep(self, rows: Rows) -> Rows:
        """Return those of some utterances whose class all corpora have."""
        return rows[self.truth(rows) >= 0]

    def answer(self, member: str, rows: Rows) -> NDArray[np.int16]:
        """Return what a member chooses among the classes of all, ``(m,)``; -1 where it says another class alone."""
        said = self.store.answers([member], rows)[0]
        if said.ndim == 1:
            return np.asarray(np.where(said < 0, -1, self.codes[said]), dtype=np.int16)
        summed = np.full((len(rows), len(self.classes)), -np.inf)
        for place, code in enumerate(self.codes.tolist()):
            if code >= 0:
                summed[:, code] = np.logaddexp(summed[:, code], said[:, place])
        return np.asarray(summed.argmax(axis=1), dtype=np.int16)


def open_sites(stores: Sequence[StoreLike], labels: LabelMap | None = None) -> list[Site]:
    """Open several stores on the classes that all of them have, by name or by a label map.

    Raises:
        CorpusError: if fewer than two classes are shared.
        StoreError: if there are fewer than two stores, or one is named twice.
    """
    opened = [open_store(one) for one in stores]
    if len(opened) < 2 or len({one.path for one in opened}) < len(opened):
        said = ", ".join(str(one.path) for one in opened) or "none"
        raise StoreError(f"got the stores {said}: expected two or more different ones")
    meant = [list(one.corpus.classes) if labels is None else labels.apply(one.corpus.classes) for one in opened]
    first = [name for name in meant[0] if name is not None]
    found = [match_names([name for name in own if name is not None], first) for own in meant]
    classes = order_classes(set(first).intersection(*(own.values() for own in found)))
    if len(classes) < 2:
        shared = format_count(len(classes), "class") if classes else "no class"
        told = "; ".join(f"{one.corpus.name} has {', '.join(one.corpus.classes)}" for one in opened)
        raise CorpusError(
            f"the corpora share {shared}: {told}: expected at least two; `labels` with a label map says "
            "which mean the same"
        )
    places = {name: place for place, name in enumerate(classes)}
    return [
        Site(name, store, np.array([places.get(by_name.get(one or "", ""), -1) for one in own], np.int16), classes)
        for name, store, own, by_name in zip(name_sites(opened), opened, meant, found, strict=True)
    ]


def name_sites(stores: Sequence[Store]) -> list[str]:
    """Return a name for each corpus, all different: its own, else its store's, else the store's path."""
    ways = ([one.corpus.name for one in stores], [one.path.stem for one in stores], [str(one.path) for one in stores])
    return next(names for names in ways if len(set(names)) == len(names))


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
