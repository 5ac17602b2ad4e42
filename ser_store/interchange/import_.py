"""Predictions, logits and representations from elsewhere, by utterance id, as members."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice
from ser_store.common.tables import load_table
from ser_store.corpora.building import BuiltCorpus
from ser_store.corpora.create import judge_all
from ser_store.corpora.manifest import load_manifest
from ser_store.errors import CorpusError
from ser_store.interchange.adding import Imported, add_members, create_with_members
from ser_store.interchange.answers import Answers, read_answers
from ser_store.interchange.columns import KIND_COLUMN, Facts, assign_columns, collect_facts, join_facts
from ser_store.interchange.features import ARRAYS, align_features, load_features
from ser_store.interchange.labels import choose_classes, code_answers, name_truth
from ser_store.interchange.prediction_table import load_predictions
from ser_store.interchange.scores import POOLED, Kind
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import KEY, state_fitted
from ser_store_h5.member import Member
from ser_store_h5.names import list_names
from ser_store_h5.store import Store, StoreLike

LOGGER = logging.getLogger("ser_store")
_UNKNOWN = "what the models learned from is not stated, so that figures on it carry no caution; `trained_on` states it"


def import_predictions(
    path: str | os.PathLike[str],
    *,
    store: StoreLike,
    label: str | None = None,
    classes: str | Sequence[str] = (),
    kind: Kind | None = None,
    trained_on: str | None = None,
    split: str | None = None,
    meta: str | os.PathLike[str] | None = None,
) -> Store:
    """Import predictions, logits or representations made elsewhere; return the store, made where there is none.

    Wide tables have a column ``utterance``, optionally the true labels, and one column for each member headed
    ``run@step`` with class names. Long tables have ``utterance``, ``run``, ``step`` and either ``predicted`` or one
    column for each class with numbers, of which it is found out whether they are logits, probabilities or their
    logarithms. Utterances are matched by id and numbers by class name, never by order. Columns that describe
    utterances (``speaker``, ``fold``, …) become those of a new corpus. Everything is checked before anything is
    written; members that are there already, with the same numbers, are passed over.

    With ``kind="pooled"`` the file holds representations; see :func:`ser_store.interchange.features.load_features`
    for its shapes. The store must be there, since representations bring no labels, or ``meta`` must bring them.

    What was understood of the file and may not have been meant is logged (logger ``ser_store``).

    Args:
        path: CSV or Parquet; of representations also NPZ, NPY or a folder.
        store: a store, or the path of one that is there or shall be.
        label: the column of true labels. Needed to create a store; else checked against the corpus.
        classes: all classes that may be meant, in their order. Answers outside the corpus' classes, and empty cells,
            then count as wrong; without it they are refused. Of a new store they are the classes.
        kind: what the numbers of a long table are: ``logits``, ``probabilities``, ``log-probabilities`` or
            ``scores``, numbers of which the largest decides. Default: found out for each run. ``pooled``: see above.
        trained_on: what the models were fitted on: a part of the split; ``others``: each fold was scored by a model of
            the other folds; ``nothing``: none of these utterances. It is kept in the runs, and figures on what was
            learned from carry a caution. Default: it is not known.
        split: whose part ``trained_on`` is. Default: the corpus' default split.
        meta: a table with a row for each utterance, of which a new store gets labels, speakers, split and columns, as
            ``init`` reads it without audio; joined by id. Who is missing on either side is said.

    Raises:
        CorpusError: if columns are missing or cannot be meant, ids repeat, labels are unknown or contradict the
            corpus, or representations are not one finite vector for each id.
        UnknownNameError: if an utterance is unknown.
        ExistsError: if a member is in the store already, with other numbers.
        StoreError: if the disk refuses. Whatever is raised, an interrupt too, nothing is imported then.

    >>> from pathlib import Path
    >>> import ser_store as ss
    >>> rows = ["utterance,emotion,mine@100", "u1,happy,happy", "u2,sad,happy"]
    >>> _ = Path("mine.csv").write_text("\\n".join(rows))
    >>> store = ss.import_predictions("mine.csv", store="mine.store", label="emotion", trained_on="nothing")
    >>> import numpy as np
    >>> np.savez("emotion2vec.npz", ids=["u2", "u1"], features=np.eye(2))
    >>> _ = ss.import_predictions("emotion2vec.npz", store=store, kind="pooled")
    >>> store.member_names()
    ['emotion2vec@0', 'mine@100']
    """
    done = import_file(
        path, store=store, label=label, classes=classes, kind=kind, trained_on=trained_on, split=split, meta=meta
    )
    for line in done.understood:
        LOGGER.info(line)
    return store if isinstance(store, Store) else Store(done.store)


@dataclass(frozen=True)
class _Asked:
    """What is to be imported, by :func:`import_predictions`; ``store`` is what is at ``folder``, opened."""

    path: Path
    folder: Path
    store: Store | None
    label: str | None = None
    classes: str | Sequence[str] = ()
    kind: Kind | None = None
    trained_on: str | None = None
    split: str | None = None
    meta: str | os.PathLike[str] | None = None


def import_file(path: str | os.PathLike[str], *, store: StoreLike, **options: Any) -> Imported:
    """Import a file and say how it was read; see :func:`import_predictions`, whose arguments these are."""
    folder = store.path if isinstance(store, Store) else Path(store)
    opened = store if isinstance(store, Store) else None
    if opened is None and (folder.is_file() or (folder / "corpus.h5").is_file()):
        opened = Store(folder)
    asked = _Asked(Path(path), folder, opened, **options)
    if asked.kind is not None:
        check_choice("kind of numbers", asked.kind, get_args(Kind))
    corpus, members, read = _read_file(asked)
    stated = {}
    if asked.trained_on is not None:
        stated = {KEY: state_fitted(corpus, asked.trained_on, split=asked.split).to_json()}
    details: dict[str, dict[str, Any]] = {member.run: {"source": asked.path.name, **stated} for member in members}
    for run in read.scores:
        details[run]["scores"] = read.scores[run]
    is_unknown = not stated and any(opened is None or not opened.has_run(run) for run in details)
    if opened is None:
        same = create_with_members(folder, corpus, members, details)
    else:
        same = add_members(opened, members, details)
    return replace(
        read,
        members=tuple(member.name for member in members if member.name not in same),
        created=opened is None,
        identical=same,
        understood=(*read.understood, *((_UNKNOWN,) if is_unknown else ())),
    )


# What a file holds, in the order of its corpus, and what was understood of it.
_Read = tuple[Corpus, Sequence[Member], Imported]


def _read_file(asked: _Asked) -> _Read:
    described = None if asked.meta is None else _read_meta(Path(asked.meta), asked)
    if asked.kind == POOLED and described is None:
        _refuse_labels(asked)
    there = described.corpus if described is not None else None if asked.store is None else asked.store.corpus
    if there is not None and asked.kind == POOLED:
        corpus, members, read = _read_features(asked, there)
    else:
        corpus, members, read = _read_predictions(asked, there)
    if described is None:
        return corpus, members, read
    corpus = described.corpus
    if corpus.default_split is None:
        answered = np.concatenate([member.rows for member in members])
        corpus = judge_all(corpus, np.isin(np.arange(len(corpus)), answered))
    return corpus, members, replace(read, understood=(*described.notes, *read.understood))


def _read_meta(meta: Path, asked: _Asked) -> BuiltCorpus:
    if asked.store is not None:
        raise CorpusError(
            f"there is a store at {asked.folder}, whose corpus stands: expected `meta` for a new one only; `init()` "
            f"with the table and no audio adds its columns and splits to this store"
        )
    return load_manifest(meta, no_audio=True)


def _refuse_labels(asked: _Asked) -> None:
    """Refuse what makes no sense for representations."""
    if asked.store is None:
        raise CorpusError(
            f"there is no store at {asked.folder}: expected one, since representations bring no labels; make it with "
            "`init()`, or import predictions first"
        )
    given = ["`label`"] * (asked.label is not None) + ["`classes`"] * bool(list_names(asked.classes))
    if given:
        raise CorpusError(f"{' and '.join(given)} with `kind` {POOLED}: expected none, representations have no labels")


def _read_features(asked: _Asked, corpus: Corpus) -> _Read:
    loaded, ignored = load_features(asked.path)
    members, notes = align_features(loaded, corpus, asked.path)
    read = Imported(
        store=asked.folder,
        n=len(set(np.concatenate([member.rows for member in members]).tolist())),
        ignored=ignored,
        understood=(*notes, *_describe_ignored(ignored, "representations")),
    )
    return corpus, [replace(member, provenance={"source": asked.path.name}) for member in members], read


def _describe_ignored(names: Sequence[str], noun: str) -> Iterator[str]:
    if names:
        yield f"ignored, since they are neither ids nor {noun}: {', '.join(name or '(no name)' for name in names)}"


def _read_predictions(asked: _Asked, there: Corpus | None) -> _Read:
    path, label, classes = asked.path, asked.label, list_names(asked.classes)
    if path.is_dir() or path.suffix.lower() in ARRAYS:
        raise CorpusError(
            f"{path}: expected a table of predictions, CSV or Parquet; if it holds representations, say `kind` {POOLED}"
        )
    if there is None and label is None:
        raise CorpusError(
            f"there is no store at {asked.folder}: expected `label` COLUMN, the true labels in {path.name}, to create "
            f"one (columns: {', '.join(load_table(path).frame.columns[:8])}), or `meta` TABLE, which says them"
        )
    table = load_predictions(path, label=label, corpus=there, classes=classes)
    missing: list[str] = []
    if asked.meta is not None and there is not None:
        table, missing = join_facts(table, there, Path(asked.meta))
    known, truth, notes = name_truth(table, there, classes)
    columns = assign_columns(table, known.meant, label=label)
    answers, kinds, read_as = read_answers(table, columns, kind=asked.kind)
    known = choose_classes(table, known, columns, answers, is_new=there is None)
    further = [header for header in table.further if header not in columns and not (columns and header == KIND_COLUMN)]
    facts = Facts(ignored=tuple(further)) if there is not None else collect_facts(table, further)
    corpus = there or _make_corpus(path.stem, truth, known.names, facts)
    codes, outside = code_answers(answers, corpus, known)
    pairs = list(zip(answers, codes, strict=True))
    kept = {said.member.run for said, own in pairs if own is None}
    used = set(corpus.labels.tolist())
    unlabelled = [name for place, name in enumerate(corpus.classes) if there is None and place not in used]
    aside = [*_describe_ignored(facts.ignored, "predictions")]
    if unlabelled and not classes:
        aside.append(f"no utterance is labelled {', '.join(unlabelled)}: classes all the same; `classes` names others")
    read = Imported(
        store=asked.folder,
        n=len(set(table.ids[np.concatenate([member.rows for member in table.members])].tolist())),
        scores={run: found for run, found in kinds.items() if run in kept},
        ignored=facts.ignored,
        unlabelled=tuple(unlabelled),
        understood=(*table.notes, *missing, *notes, *read_as, *facts.notes, *outside, *aside),
    )
    return corpus, [_align(said, own, corpus, path) for said, own in pairs], read


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
    return judge_all(corpus)


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
