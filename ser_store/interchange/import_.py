"""Predictions and logits from elsewhere, by utterance id, as members."""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.tables import read_table
from ser_store.errors import CorpusError, ExistsError, SerstoreError, StoreError
from ser_store.evaluation.score_kinds import find_kind
from ser_store.interchange.answers import Answers, read_answers
from ser_store.interchange.columns import KIND_COLUMN, Facts, assign_columns, collect_facts, with_own_splits
from ser_store.interchange.labels import choose_classes, code_answers, name_truth
from ser_store.interchange.prediction_table import load_predictions
from ser_store.interchange.scores import check_kind
from ser_store_h5.corpus import Corpus
from ser_store_h5.disk.atomic import remove_folder
from ser_store_h5.fitted import KEY, state_fitted
from ser_store_h5.member import Member
from ser_store_h5.names import list_names
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike

IMPORTED_SPLIT = "imported"
LOGGER = logging.getLogger("ser_store")
_UNKNOWN = "what the models learned from is not stated, so that figures on it carry no caution; `trained_on` states it"


@dataclass(frozen=True)
class Imported:
    """What an import added, and how it read the file.

    Attributes:
        store: the store's folder.
        members: names of the new members.
        n: utterances in the file.
        created: whether the store was made by this import.
        identical: names of the members that were there already, with the same numbers.
        scores: the kind of numbers that is stored of each run, as its record says; none of those known by labels.
        ignored: columns that were left aside.
        unlabelled: classes of a new store that no utterance is labelled with.
        understood: one line for each thing that could have been meant otherwise.
    """

    store: Path
    members: tuple[str, ...]
    n: int
    created: bool
    identical: tuple[str, ...] = ()
    scores: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    understood: tuple[str, ...] = ()


def import_predictions(
    path: str | os.PathLike[str],
    *,
    store: StoreLike,
    label: str | None = None,
    classes: str | Sequence[str] = (),
    kind: str | None = None,
    trained_on: str | None = None,
    split: str | None = None,
) -> Store:
    """Import predictions or logits that were made elsewhere, and return the store, which is created if there is none.

    Wide files have a column ``utterance``, optionally the true labels, and one column for each member headed
    ``run@step`` with class names. Long files have ``utterance``, ``run``, ``step`` and either ``predicted`` or one
    column for each class with numbers, of which it is found out whether they are logits, probabilities or their
    logarithms. Utterances are matched by id and numbers by class name, never by order. Columns that describe
    utterances (``speaker``, ``fold``, …) become those of a new corpus. Everything is checked before anything is
    written; members that are there already, with the same numbers, are passed over.

    What was understood of the file and may not have been meant is logged (logger ``ser_store``).

    Args:
        path: CSV or Parquet.
        store: a store, or the path of one that is there or shall be.
        label: the column of true labels. Needed to create a store; else checked against the corpus.
        classes: all classes that may be meant, in their order. Answers outside the corpus' classes, and empty cells,
            then count as wrong; without it they are refused. Of a new store they are the classes.
        kind: what the numbers of a long file are: one of :data:`~ser_store.interchange.scores.KINDS`.
        trained_on: what the models were fitted on: a part of the split; ``others``: each fold was scored by a model of
            the other folds; ``nothing``: none of these utterances. It is kept in the runs, and figures on what was
            learned from carry a caution. Default: it is not known.
        split: whose part ``trained_on`` is. Default: the corpus' default split.

    Raises:
        CorpusError: if columns are missing or cannot be meant, ids repeat, or labels are unknown or contradict the
            corpus.
        UnknownNameError: if an utterance is unknown.
        ExistsError: if a member is in the store already, with other numbers.
        StoreError: if the disk refuses. Whatever is raised, an interrupt too, nothing is imported then.

    >>> from pathlib import Path
    >>> import ser_store as ss
    >>> rows = ["utterance,emotion,mine@100", "u1,happy,happy", "u2,sad,happy"]
    >>> _ = Path("mine.csv").write_text("\\n".join(rows))
    >>> store = ss.import_predictions("mine.csv", store="mine.store", label="emotion", trained_on="nothing")
    >>> store.member_names()
    ['mine@100']
    """
    done = import_table(path, store=store, label=label, classes=classes, kind=kind, trained_on=trained_on, split=split)
    for line in done.understood:
        LOGGER.info(line)
    return store if isinstance(store, Store) else Store(done.store)


def import_table(
    path: str | os.PathLike[str],
    *,
    store: StoreLike,
    label: str | None = None,
    classes: str | Sequence[str] = (),
    kind: str | None = None,
    trained_on: str | None = None,
    split: str | None = None,
) -> Imported:
    """Import a prediction file and say how it was read; see :func:`import_predictions`, whose arguments these are."""
    check_kind(kind)
    path, classes = Path(path), list_names(classes)
    folder = store.path if isinstance(store, Store) else Path(store)
    opened = store if isinstance(store, Store) else None
    if opened is None and (folder.is_file() or (folder / "corpus.h5").is_file()):
        opened = Store(folder)
    if opened is None and label is None:
        raise CorpusError(
            f"there is no store at {folder}: expected `label` COLUMN, the true labels in {path.name}, to create one "
            f"(columns: {', '.join(read_table(path).columns[:8])})"
        )
    there = None if opened is None else opened.corpus
    table = load_predictions(path, label=label, corpus=there, classes=classes)
    known, truth, notes = name_truth(table, there, classes)
    columns = assign_columns(table, known.meant, label=label)
    read = read_answers(table, columns, kind=kind)
    known = choose_classes(table, known, columns, read.answers, is_new=there is None)
    further = [header for header in table.further if header not in columns and not (columns and header == KIND_COLUMN)]
    facts = Facts(ignored=tuple(further)) if there is not None else collect_facts(table, further)
    corpus = there or _make_corpus(path.stem, truth, known.names, facts)
    codes, outside = code_answers(read.answers, corpus, known)
    members = [_align(said, own, corpus, path) for said, own in zip(read.answers, codes, strict=True)]
    kept = {said.member.run for said, own in zip(read.answers, codes, strict=True) if own is None}
    kinds = {run: kind for run, kind in read.kinds.items() if run in kept}
    stated = {} if trained_on is None else {KEY: state_fitted(corpus, trained_on, split=split).to_json()}
    details = {run: {"source": path.name, **stated} for run in dict.fromkeys(member.run for member in members)}
    for run, found in kinds.items():
        details[run] |= {"scores": found}
    is_unknown = trained_on is None and any(opened is None or not opened.has_run(run) for run in details)
    same = _add(opened, members, details) if opened is not None else _create(folder, corpus, members, details)
    used = set(corpus.labels.tolist())
    return Imported(
        store=folder,
        members=tuple(member.name for member in members if member.name not in same),
        n=len(set(table.ids.tolist())),
        created=opened is None,
        identical=same,
        scores=kinds,
        ignored=facts.ignored,
        unlabelled=tuple(name for place, name in enumerate(corpus.classes) if there is None and place not in used),
        understood=(*table.notes, *notes, *read.notes, *facts.notes, *outside, *((_UNKNOWN,) if is_unknown else ())),
    )


def _make_corpus(name: str, truth: Mapping[str, str], classes: tuple[str, ...], facts: Facts) -> Corpus:
    place = {label: index for index, label in enumerate(classes)}
    ids = sorted(truth)
    corpus = Corpus(
        name=name,
        ids=np.array(ids),
        labels=np.array([place[truth[utterance]] for utterance in ids], dtype=np.int16),
        classes=classes,
        speakers=facts.speakers,
        columns=facts.columns,
    )
    return with_own_splits(corpus.with_split(IMPORTED_SPLIT, np.full(len(corpus), "test")))


def _align(said: Answers, predicted: NDArray[np.int16] | None, corpus: Corpus, path: Path) -> Member:
    """The member in the corpus' order of utterances and classes."""
    rows = corpus.find(said.ids)
    order = np.argsort(rows)
    member, provenance = said.member, {"source": path.name}
    if predicted is not None or said.numbers is None:
        codes = None if predicted is None else predicted[order]
        return Member(member.run, member.step, rows[order], predicted=codes, provenance=provenance)
    columns = [said.classes.index(name) for name in corpus.classes]
    return Member(member.run, member.step, rows[order], said.numbers[order][:, columns], provenance=provenance)


def _add(store: Store, members: Sequence[Member], details: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Add the members that are not there; returns the names of those that are, with the same numbers."""
    there = [member for member in members if store.has_run(member.run) and member.step in store.steps(member.run)]
    other = [member.name for member in there if not _is_same(store.read_member(member.name), member)]
    if other:
        raise ExistsError(
            f"{other[0]} is in {store.path} already, with other numbers ({len(other)} of {len(members)} are): nothing "
            "was imported; rename it, or remove the old one with `rm()`"
        )
    for run, own in details.items():
        _check_run(store, run, own)
    same = {member.name for member in there}
    begun: list[str] = []  # what is being added may be there before the call that adds it returns
    try:
        for member in members:
            if member.name in same:
                continue
            if not store.has_run(member.run):
                begun.append(member.run)
                store.add_run(
                    RunRecord(run=member.run, kind="import", backbone=member.run, details=details[member.run])
                )
            begun.append(member.name)
            store.write_member(member)
    except BaseException as problem:  # a full disk or Ctrl-C: all of the file is imported, or nothing
        for name in reversed(begun[:-1] if isinstance(problem, ExistsError) else begun):
            with suppress(SerstoreError):
                store.remove(name)
        raise
    return tuple(member.name for member in there)


def _is_same(old: Member, new: Member) -> bool:
    """Whether all that the new one holds is in the old one."""
    pairs = [(old.rows, new.rows), (old.logits, new.logits), (old.predicted, new.predicted)]
    return all(given is None or (held is not None and np.array_equal(held, given)) for held, given in pairs)


def _check_run(store: Store, run: str, details: Mapping[str, Any]) -> None:
    """Refuse what is not as the run, which is there, says: the kind of its numbers, and what it was trained on."""
    if not store.has_run(run):
        return
    if KEY in details and store.run(run).details.get(KEY) != details[KEY]:
        raise StoreError(
            f"run {run} in {store.path} states otherwise what it was trained on, or does not state it: expected the "
            "same in all steps of a run; give the new one another name"
        )
    if "scores" not in details:
        return
    held, kind = find_kind(store, run), details["scores"]
    if (held == "scores") != (kind == "scores"):
        raise StoreError(
            f"run {run} in {store.path} holds {held}, and these numbers are {kind}: expected one kind in a run; give "
            f"the new one another name, or say `kind` {held}"
        )


def _create(
    store: Path, corpus: Corpus, members: Sequence[Member], details: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """A store with these members; none where that fails."""
    is_refused = True
    try:
        created = Store.create(store, corpus)
        is_refused = False
        return _add(created, members, details)
    except BaseException as problem:
        # An interrupt may come when the store is there and has not been returned yet.
        if (not is_refused or not isinstance(problem, SerstoreError)) and (store / "corpus.h5").exists():
            remove_folder(store.resolve())
        raise
