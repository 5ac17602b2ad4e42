"""Predictions and logits from elsewhere, by utterance id, as members."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import CorpusError, ExistsError, StoreError, describe_unknown
from ser_store.tables import read_table
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.names import format_member, parse_member
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
    """

    store: Path
    members: tuple[str, ...]
    n: int
    created: bool


@dataclass(frozen=True)
class _Said:
    """One member as the file gives it: labels ``(m,)`` str or logits ``(m, c)``, for ids ``(m,)`` in any order."""

    run: str
    step: int
    ids: NDArray[np.str_]
    labels: NDArray[np.str_] | None = None
    logits: NDArray[np.float32] | None = None
    classes: tuple[str, ...] = ()


def import_predictions(path: Path, *, store: Path, label: str | None = None) -> Imported:
    """Import a prediction file; creates the store where there is none and the file has the true labels.

    Wide files have a column ``utterance``, optionally the true labels, and one column for each member headed
    ``run@step`` with class names. Long files have ``utterance``, ``run``, ``step`` and either ``predicted`` or one
    column for each class with logits. Utterances are matched by id, never by order.

    Args:
        path: CSV or Parquet.
        label: the column of true labels. Needed to create a store; else checked against the corpus.

    Raises:
        CorpusError: if columns are missing, ids repeat, or labels contradict the corpus.
        UnknownNameError: if an utterance or a class is unknown.
        ExistsError: if a member is in the store already; nothing is imported then.
    """
    table = read_table(path)
    if "utterance" not in table.columns:
        raise CorpusError(f"{path} has the columns {', '.join(table.columns[:8])}: expected one called utterance")
    if label is not None and label not in table.columns:
        raise CorpusError(f"{path}: {describe_unknown('column', label, table.columns)}")
    created = not (store / "corpus.h5").is_file()
    if created and label is None:
        raise CorpusError(
            f"there is no store at {store}: expected --label COLUMN, the true labels in {path.name}, to create one "
            f"(columns: {', '.join(table.columns[:8])})"
        )
    ids = _strings(table, "utterance", path)
    is_long = {"run", "step"} <= set(table.columns)
    said = _read_long(table, ids, label, path) if is_long else _read_wide(table, ids, label, path)
    labels = None if label is None else _unique_labels(ids, _strings(table, label, path), path)
    corpus = _make_corpus(path, labels, said) if created and labels else Store(store).corpus
    if labels and not created:
        _check_labels(corpus, labels, path)
    members = [_align(one, corpus, path) for one in said]
    opened = Store.create(store, corpus) if created else Store(store)
    _add(opened, members, path)
    names = tuple(member.name for member in members)
    return Imported(store=store, members=names, n=len(set(ids.tolist())), created=created)


def _strings(table: Any, column: str, path: Path) -> NDArray[np.str_]:
    series = table[column]
    if series.null_count():
        place = int(series.is_null().arg_max())
        raise CorpusError(f"{path}: column {column} is empty in row {place + 1}: expected a value in every row")
    return np.array([str(value) for value in series.to_list()], dtype=np.str_)


def _read_wide(table: Any, ids: NDArray[np.str_], label: str | None, path: Path) -> list[_Said]:
    headers = [header for header in table.columns if header not in ("utterance", label)]
    if not headers:
        raise CorpusError(f"{path} has no column of predictions: expected one or more headed run@step")
    _refuse_repeated(ids, path)
    said = []
    for header in headers:
        run, step = parse_member(header) if "@" in header else (header, None)
        if step is None:
            raise CorpusError(
                f"{path}: column {header!r} is not headed run@step: if it holds the true labels, say --label {header}; "
                f"if it holds predictions, rename it, to {header}@0 where the step is unknown"
            )
        said.append(_Said(run, step, ids, labels=_strings(table, header, path)))
    return said


def _read_long(table: Any, ids: NDArray[np.str_], label: str | None, path: Path) -> list[_Said]:
    runs, steps = _strings(table, "run", path), _strings(table, "step", path)
    if not all(step.isascii() and step.isdigit() for step in np.unique(steps).tolist()):
        bad = next(step for step in steps.tolist() if not step.isdigit())
        raise CorpusError(f"{path}: step {bad!r}: expected whole numbers of at least 0")
    classes = tuple(sorted(set(table.columns) - {"utterance", "run", "step", "predicted", label}))
    if "predicted" not in table.columns and len(classes) < 2:
        raise CorpusError(f"{path}: expected a column predicted, or one column of logits for each class")
    labels = _strings(table, "predicted", path) if "predicted" in table.columns else None
    logits = None if labels is not None else _numbers(table, classes, path)
    members = np.char.add(np.char.add(runs, "@"), steps)
    said = []
    for name in np.unique(members).tolist():
        inside = members == name
        run, step = parse_member(name)
        _refuse_repeated(ids[inside], path, name)
        mine = None if labels is None else labels[inside]
        said.append(_Said(run, step or 0, ids[inside], mine, None if logits is None else logits[inside], classes))
    return said


def _numbers(table: Any, columns: Sequence[str], path: Path) -> NDArray[np.float32]:
    try:
        numbers = np.column_stack([table[column].cast(float).to_numpy() for column in columns]).astype(np.float32)
    except Exception as problem:
        raise CorpusError(f"{path}: the columns {', '.join(columns)} must hold logits: expected numbers") from problem
    if not np.isfinite(numbers).all():
        raise CorpusError(f"{path}: the logits hold empty cells, NaN or infinity: expected finite numbers")
    return numbers


def _refuse_repeated(ids: NDArray[np.str_], path: Path, member: str = "") -> None:
    unique, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        where = f" of {member}" if member else ""
        raise CorpusError(
            f"{path}: utterance {unique[counts > 1][0]!s} stands in {counts.max()} rows{where}: expected every id once"
        )


def _unique_labels(ids: NDArray[np.str_], labels: NDArray[np.str_], path: Path) -> dict[str, str]:
    """Id to true label; in a long file, which names an utterance once for each member, all must agree."""
    found: dict[str, str] = {}
    for utterance, said in zip(ids.tolist(), labels.tolist(), strict=True):
        if found.setdefault(utterance, said) != said:
            raise CorpusError(f"{path}: utterance {utterance} is labelled both {found[utterance]} and {said}")
    return found


def _make_corpus(path: Path, labels: dict[str, str], said: Sequence[_Said]) -> Corpus:
    from ser_store.corpora.ravdess import describe_ravdess_ids

    ids = np.array(sorted(labels), dtype=np.str_)
    # Predicted labels are no source of classes: a misspelt one would become a class of its own.
    classes = tuple(sorted(set(labels.values()) | {name for one in said for name in one.classes}))
    described = describe_ravdess_ids(ids.tolist())
    speakers, columns = described if described else (None, {})
    corpus = Corpus(
        name=path.stem,
        ids=ids,
        labels=np.array([classes.index(labels[utterance]) for utterance in ids.tolist()], dtype=np.int16),
        classes=classes,
        speakers=speakers,
        columns=columns,
    )
    return corpus.with_split(IMPORTED_SPLIT, np.full(len(ids), "test"))


def _check_labels(corpus: Corpus, labels: dict[str, str], path: Path) -> None:
    ids = sorted(labels)
    for utterance, row in zip(ids, corpus.find(ids).tolist(), strict=True):
        expected = corpus.classes[int(corpus.labels[row])]
        if labels[utterance] != expected:
            raise CorpusError(
                f"{path}: utterance {utterance} is labelled {labels[utterance]}: expected {expected}, as in "
                "this store; is it the store of another corpus?"
            )


def _align(said: _Said, corpus: Corpus, path: Path) -> Member:
    """The member in the corpus' order of utterances and classes."""
    rows = corpus.find(said.ids)
    order = np.argsort(rows)
    provenance = {"source": path.name}
    if said.logits is not None:
        if said.classes != tuple(sorted(corpus.classes)):
            raise CorpusError(
                f"{path} has logits for {', '.join(said.classes)}: expected one column for each of "
                f"{', '.join(corpus.classes)}"
            )
        columns = [said.classes.index(name) for name in corpus.classes]
        return Member(said.run, said.step, rows[order], said.logits[order][:, columns], provenance=provenance)
    if said.labels is None:
        raise StoreError(f"{path}: member {said.run} has neither labels nor logits")
    place = {name: index for index, name in enumerate(corpus.classes)}
    unknown = sorted(set(said.labels.tolist()) - set(place))
    if unknown:
        member = format_member(said.run, said.step)
        raise CorpusError(f"{path}: {member}: {describe_unknown('label', unknown[0], corpus.classes)}")
    predicted = np.array([place[name] for name in said.labels[order].tolist()], dtype=np.int16)
    return Member(said.run, said.step, rows[order], predicted=predicted, provenance=provenance)


def _add(store: Store, members: Sequence[Member], path: Path) -> None:
    there = [member.name for member in members if store.has_run(member.run) and member.step in store.steps(member.run)]
    if there:
        raise ExistsError(
            f"{there[0]} is in {store.path} already ({len(there)} of {len(members)} are): nothing was imported; rename "
            f"the column, or remove the old one with `serstore rm {there[0]}`"
        )
    for member in members:
        if not store.has_run(member.run):
            store.add_run(RunRecord(run=member.run, kind="import", backbone=member.run, details={"source": path.name}))
        store.write_member(member)
