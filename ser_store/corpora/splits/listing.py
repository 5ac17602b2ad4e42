"""``splits``: the splits of a store, and which of them is meant where none is named."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ser_store.common.display import Block, Result, Table
from ser_store.corpora.splits.cautions import caution_split
from ser_store.corpora.splits.draw import add_split, describe_folds
from ser_store.corpora.splits.draw_names import name_kind, name_repeats, name_split
from ser_store.errors import SerstoreError, StoreError, UnknownNameError, describe_unknown, list_some
from ser_store_h5.corpus import Corpus
from ser_store_h5.store import Store, StoreLike, open_store

# A table names so many parts of a split.
_SHOWN = 6


@dataclass(frozen=True)
class SplitPart:
    """One part of a split.

    Attributes:
        part: its name, such as ``train`` or ``fold-1``.
        n: utterances.
        speakers: the known ones, ascending.
        classes: how many utterances are of each class, zero included.
    """

    part: str
    n: int
    speakers: tuple[str, ...]
    classes: dict[str, int]


@dataclass(frozen=True, repr=False)
class SplitDescription(Result):
    """One split.

    Attributes:
        name: what it is called.
        default: whether it is meant where none is named.
        kind: how it was drawn, such as ``speaker`` or ``kfold``; ``column`` of one that a column holds, else ``given``.
        parts: in their order.
        outside: utterances that are in none of them.
    """

    name: str
    default: bool
    kind: str
    parts: tuple[SplitPart, ...]
    outside: int

    def describe(self) -> Iterator[Block]:
        """Yield a line, the speakers of each part, and a table of the classes in each part."""
        yield f"split {self.name} ({self.kind}{', the default' if self.default else ''})"
        for part in self.parts:
            yield f"{part.part}: {part.n} utterances of {', '.join(part.speakers) or 'unknown speakers'}"
        if self.outside:
            yield f"outside: {self.outside} utterances"
        yield ""
        yield Table(
            ["class", *(part.part for part in self.parts)],
            [[name, *(part.classes[name] for part in self.parts)] for name in self.parts[0].classes],
        )

    def describe_parts(self) -> str:
        """Return how many utterances are in which part, in one line."""
        sizes = sorted({part.n for part in self.parts})
        if len(self.parts) > _SHOWN:
            of = " to ".join(map(str, dict.fromkeys((sizes[0], sizes[-1]))))
            return f"{len(self.parts)} parts of {of}, {self.parts[0].part} … {self.parts[-1].part}"
        return ", ".join(f"{part.n} {part.part}" for part in self.parts)

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each class in each part."""
        return [{"part": part.part, "class": name, "n": n} for part in self.parts for name, n in part.classes.items()]

    def to_json(self) -> dict[str, Any]:
        """Return the entry of ``serstore splits --json``."""
        parts = {one.part: {"n": one.n, "speakers": list(one.speakers), "classes": one.classes} for one in self.parts}
        return {"name": self.name, "default": self.default, "kind": self.kind, "parts": parts}


@dataclass(frozen=True, repr=False)
class Splits(Result):
    """The splits of a store.

    Attributes:
        splits: one entry for each, or the one that was to be described.
        cautions: why figures by one that was added may mislead.
        notes: what it was called, and which of its folds is what.
    """

    splits: tuple[SplitDescription, ...]
    cautions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def describe(self) -> Iterator[Block]:
        """Yield a table with a line for each split."""
        rows = [[one.name, "default" if one.default else "", one.kind, one.describe_parts()] for one in self.splits]
        yield Table(["split", "", "kind", "parts"], rows) if rows else "no splits: `splits()` with `add` makes one"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each part of each split."""
        return [
            {"split": one.name, "default": one.default, "kind": one.kind, "part": part.part, "n": part.n}
            for one in self.splits
            for part in one.parts
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore splits --json``."""
        told = {"splits": [one.to_json() for one in self.splits], "cautions": list(self.cautions)}
        return {**told, "notes": list(self.notes)}


def splits(
    store: StoreLike,
    describe: str | None = None,
    *,
    add: str | None = None,
    seed: int | None = None,
    folds: int | None = None,
    repeats: int | None = None,
    default: str | None = None,
    remove: str | None = None,
) -> Splits:
    """List the splits of a store; add one, remove one, or choose the one that is meant where none is named.

    Args:
        store: a store, or its path.
        describe: list this split alone.
        add: a split to draw (see :data:`ser_store.corpora.splits.draw_names.SPLITS`), or a column whose values are the
            parts.
        seed: of the split to add; one that is not its own becomes part of its name: ``paper-7``.
        folds: how many, of a split into folds to add; part of its name likewise: ``kfold-10-folds``.
        repeats: draw so many splits, by the seeds that follow: ``speaker``, ``speaker-1``, …
        default: the split that questions mean where they name none.
        remove: a split that no run was made by, and that is not the default.

    Raises:
        UnknownNameError: if there is no such split.
        CorpusError: if the corpus or the column does not hold what the split needs, or has another of its name.
        StoreError: if the split to remove is in use, or the store is packed.

    >>> import ser_store as ss
    >>> store = ss.Store.create("my.store", ids=list("abcd"), labels=["sad", "happy"] * 2, speakers=list("xxyy"))
    >>> [part.n for part in ss.splits(store, add="speaker-folds").splits[0].parts]
    [2, 2]
    """
    store = open_store(store)
    corpus, cautions, notes = store.corpus, tuple[str, ...](), tuple[str, ...]()
    if add is None and (seed, folds, repeats) != (None, None, None):
        raise SerstoreError("`seed`, `folds` and `repeats` are those of a split to `add`: expected one to be named")
    if add is not None:
        names = [name_split(corpus, add, seed=seed, folds=folds)]
        if repeats is not None:
            names = name_repeats(corpus, add, repeats, seed=seed, folds=folds)
        for name in names:
            corpus = add_split(corpus, name)
            cautions += caution_split(corpus, name)
        notes = describe_folds(corpus.columns[names[0]], corpus.parts(names[0])) if names[0] in corpus.columns else ()
        if names != [add]:
            called = f"the splits are called {', '.join(names)}" if repeats else f"the split is called {names[0]}"
            notes = (f"{called}, after {'their' if repeats else 'its'} seed or number of folds", *notes)
    if default is not None:
        corpus = replace(corpus, default_split=_find_split(corpus, default))
    if remove is not None:
        corpus = _without(store, corpus, _find_split(corpus, remove))
    shown = list(corpus.splits) if describe is None else [_find_split(corpus, describe)]
    if corpus is not store.corpus:
        store.update_corpus(corpus)
    return Splits(tuple(_describe(corpus, name) for name in shown), cautions, notes)


def _find_split(corpus: Corpus, name: str) -> str:
    if name not in corpus.splits:
        raise UnknownNameError(describe_unknown("split", name, corpus.splits, way_out="`add` makes another"))
    return name


def _without(store: Store, corpus: Corpus, name: str) -> Corpus:
    """The corpus without a split, which neither a run nor a question can mean any more."""
    if name == corpus.default_split and len(corpus.splits) > 1:
        raise StoreError(f"{name} is the default split: expected another one; choose another `default` first")
    users = [run for run in store.runs() if name in (store.run(run).details.get(key) for key in ("split", "cv"))]
    if users:
        raise StoreError(
            f"split {name} cannot be removed: runs {list_some(users)} were made by it, and a name "
            "belongs to one split; remove them first with `rm()`"
        )
    left = {other: parts for other, parts in corpus.splits.items() if other != name}
    return replace(corpus, splits=left, default_split=corpus.default_split if left else None)


def _describe(corpus: Corpus, name: str) -> SplitDescription:
    parts = corpus.parts(name)
    return SplitDescription(
        name=name,
        default=name == corpus.default_split,
        kind=name_kind(corpus, name),
        parts=tuple(_describe_part(corpus, part, parts == part) for part in corpus.part_names(name)),
        outside=int(np.count_nonzero(parts == "")),
    )


def _describe_part(corpus: Corpus, part: str, inside: Any) -> SplitPart:
    counts = np.bincount(corpus.labels[inside], minlength=len(corpus.classes)).tolist()
    speakers = set() if corpus.speakers is None else set(corpus.speakers[inside].tolist()) - {""}
    classes = dict(zip(corpus.classes, counts, strict=True))
    return SplitPart(part, int(np.count_nonzero(inside)), tuple(sorted(speakers)), classes)
