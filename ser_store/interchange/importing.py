"""Predictions and logits from elsewhere, by utterance id, as members."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser_store.errors import CorpusError, ExistsError, SerstoreError, describe_unknown
from ser_store.interchange.prediction_table import PredictionTable, Said, load_predictions
from ser_store.interchange.tables import read_table
from ser_store_h5.atomic import remove_folder
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

IMPORTED_SPLIT = "imported"


@dataclass(frozen=True)
class Imported:
    """What an import added.

    Attributes:
        store: the store's folder.
        members: names of the new members.
        n: utterances in the file.
        created: whether the store was made by this import.
        ignored: columns that were left aside.
        unlabelled: classes of a new store that no utterance is labelled with.
    """

    store: Path
    members: tuple[str, ...]
    n: int
    created: bool
    ignored: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()


def import_predictions(path: Path, *, store: Path, label: str | None = None) -> Imported:
    """Import a prediction file; creates the store where there is none and the file has the true labels.

    Wide files have a column ``utterance``, optionally the true labels, and one column for each member headed
    ``run@step`` with class names. Long files have ``utterance``, ``run``, ``step`` and either ``predicted`` or one
    column for each class with logits. Utterances are matched by id and logits by class name, never by order.
    Everything is checked before anything is written.

    Args:
        path: CSV or Parquet.
        label: the column of true labels. Needed to create a store; else checked against the corpus.

    Raises:
        CorpusError: if columns are missing or cannot be meant, ids repeat, or labels are unknown or contradict the
            corpus.
        UnknownNameError: if an utterance is unknown.
        ExistsError: if a member is in the store already.
        StoreError: if the disk refuses. Whatever is raised, an interrupt too, nothing is imported then.
    """
    opened = Store(store) if store.is_file() or (store / "corpus.h5").is_file() else None
    if opened is None and label is None:
        raise CorpusError(
            f"there is no store at {store}: expected --label COLUMN, the true labels in {path.name}, to create one "
            f"(columns: {', '.join(read_table(path).columns[:8])})"
        )
    known = frozenset() if opened is None else frozenset([*opened.corpus.ids.tolist(), *opened.corpus.classes])
    table = load_predictions(path, label=label, known=known)
    corpus = _make_corpus(table) if opened is None else opened.corpus
    _check_truth(corpus, table)
    _check_classes(corpus, table)
    members = [_align(said, corpus, path) for said in table.members]
    if opened is None:
        _create(store, corpus, members, path)
    else:
        _add(opened, members, path)
    used = set(corpus.labels.tolist())
    return Imported(
        store=store,
        members=tuple(member.name for member in members),
        n=len(table.ids),
        created=opened is None,
        ignored=table.ignored,
        unlabelled=tuple(name for place, name in enumerate(corpus.classes) if opened is None and place not in used),
    )


def _make_corpus(table: PredictionTable) -> Corpus:
    from ser_store.corpora.ravdess import describe_ravdess_ids

    truth = table.truth or {}
    # Predicted labels are no source of classes: a misspelt one would become a class of its own.
    classes = tuple(sorted(set(truth.values()) | {name for said in table.members for name in said.classes}))
    place = {name: index for index, name in enumerate(classes)}
    described = describe_ravdess_ids(table.ids.tolist())
    speakers, columns = described if described else (None, {})
    corpus = Corpus(
        name=table.path.stem,
        ids=table.ids,
        labels=np.array([place[truth[utterance]] for utterance in table.ids.tolist()], dtype=np.int16),
        classes=classes,
        speakers=speakers,
        columns=columns,
    )
    return corpus.with_split(IMPORTED_SPLIT, np.full(len(corpus), "test"))


def _check_truth(corpus: Corpus, table: PredictionTable) -> None:
    if table.truth is None:
        return
    rows = corpus.find(table.ids)
    for utterance, row in zip(table.ids.tolist(), rows.tolist(), strict=True):
        expected, said = corpus.classes[int(corpus.labels[row])], table.truth[utterance]
        if said != expected:
            raise CorpusError(
                f"{table.path}: utterance {utterance} is labelled {said}: expected {expected}, as in this store; is it "
                "the store of another corpus?"
            )


def _check_classes(corpus: Corpus, table: PredictionTable) -> None:
    """All members are looked at, so that one reading of the message mends the whole file."""
    path, known = table.path, set(corpus.classes)
    if known <= set(table.ignored):
        raise CorpusError(f"{path} has predicted and logits: expected either; drop the column predicted, or the logits")
    strange = [(said, sorted(set(said.labels.tolist()) - known)) for said in table.members if said.labels is not None]
    strange = [(said, labels) for said, labels in strange if labels]
    if strange:
        said, labels = strange[0]
        others = ", ".join(said.name for said, _ in strange[1:])
        more = f"; unknown labels also in {others}" if others else ""
        raise CorpusError(f"{path}: {said.name}: {describe_unknown('label', labels[0], corpus.classes)}{more}")
    for said in table.members:
        if said.logits is not None and set(said.classes) != known:
            raise CorpusError(
                f"{path} has logits for {', '.join(said.classes)}: expected one column for each of "
                f"{', '.join(corpus.classes)}"
            )


def _align(said: Said, corpus: Corpus, path: Path) -> Member:
    """The member in the corpus' order of utterances and classes."""
    rows = corpus.find(said.ids)
    order = np.argsort(rows)
    provenance = {"source": path.name}
    if said.logits is not None:
        columns = [said.classes.index(name) for name in corpus.classes]
        return Member(said.run, said.step, rows[order], said.logits[order][:, columns], provenance=provenance)
    names = [] if said.labels is None else said.labels[order].tolist()
    place = {name: index for index, name in enumerate(corpus.classes)}
    predicted = np.array([place[name] for name in names], dtype=np.int16)
    return Member(said.run, said.step, rows[order], predicted=predicted, provenance=provenance)


def _add(store: Store, members: Sequence[Member], path: Path) -> None:
    there = [member.name for member in members if store.has_run(member.run) and member.step in store.steps(member.run)]
    if there:
        raise ExistsError(
            f"{there[0]} is in {store.path} already ({len(there)} of {len(members)} are): nothing was imported; rename "
            f"the column, or remove the old one with `serstore rm {there[0]}`"
        )
    begun: list[str] = []  # what is being added may be there before the call that adds it returns
    try:
        for member in members:
            if not store.has_run(member.run):
                begun.append(member.run)
                details = {"source": path.name}
                store.add_run(RunRecord(run=member.run, kind="import", backbone=member.run, details=details))
            begun.append(member.name)
            store.write_member(member)
    except BaseException as problem:  # a full disk or Ctrl-C: all of the file is imported, or nothing
        for name in reversed(begun[:-1] if isinstance(problem, ExistsError) else begun):
            with suppress(SerstoreError):
                store.remove(name)
        raise


def _create(store: Path, corpus: Corpus, members: Sequence[Member], path: Path) -> None:
    """A store with these members; none where that fails."""
    is_refused = True
    try:
        created = Store.create(store, corpus)
        is_refused = False
        _add(created, members, path)
    except BaseException as problem:
        # An interrupt may come when the store is there and has not been returned yet.
        if (not is_refused or not isinstance(problem, SerstoreError)) and (store / "corpus.h5").exists():
            remove_folder(store.resolve())
        raise
