"""Splits: which utterances a model is trained on, and which it is evaluated on."""

import re

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.building import MEASURED_COLUMNS
from ser_store.corpora.splits.draw_names import Draw, read_draw
from ser_store.corpora.splits.speakers import (
    draw_speakers,
    fold_as_emobox,
    fold_speakers,
    leave_one_speaker_out,
    list_splits_apart,
)
from ser_store.corpora.splits.train_eval_rows import check_trainable
from ser_store.corpora.texts import is_missing, normalise_text, unite_spellings
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Column, Corpus, StrArray

_USUAL_PART = re.compile(r"train|valid|test|fold-[0-9]+")
_USUAL_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev", "development"), "valid"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def add_split(corpus: Corpus, name: str, *, seed: int | None = None, folds: int | None = None) -> Corpus:
    """Return the corpus with one more split, called as :func:`~ser_store.corpora.splits.draw_names.name_split` says.

    Args:
        name: one of ``SPLITS``, the name of one that was drawn otherwise (``paper-7``), a column of the corpus, whose
            values are the parts, or a split that the corpus has.
        seed: default: 101 for ``paper`` and ``paper-valid``, 0 for ``speaker``, ``speaker-folds``, ``twin`` and
            ``kfold``; the others leave nothing to chance.
        folds: how many, for ``speaker-folds`` (default: 6, or one per speaker where there are fewer) and ``kfold``
            (default: 5).

    Raises:
        UnknownNameError: if ``name`` is none of these.
        CorpusError: if the corpus does not hold what the split needs: speakers, twins, enough of every class, parts to
            train on and to evaluate; or if it has a split of this name with other parts.

    >>> import ser_store as ss
    >>> add_split(ss.open_example().corpus, "emobox").part_names("emobox")
    ['fold-1', 'fold-2', 'fold-3', 'fold-4', 'fold-5', 'fold-6']
    """
    draw = read_draw(corpus, name, seed=seed, folds=folds)
    if draw is not None:
        return assign_split(corpus, draw.name, _draw_parts(corpus, draw))
    parts = _column_parts(corpus, name) if name in corpus.columns else corpus.splits[name]
    assigned = assign_split(corpus, name, parts)
    check_trainable(assigned, name)
    return assigned


def assign_split(corpus: Corpus, name: str, parts: StrArray) -> Corpus:
    """Return the corpus with the split ``name``, unless it has one of this name with other parts.

    Raises:
        CorpusError: if it has: how many utterances are in another part, and the first of them.
    """
    there = corpus.splits.get(name)
    if there is None:
        return corpus.with_split(name, parts)
    moved = np.flatnonzero(there != parts)
    if len(moved):
        first = moved[0]
        was, now = (f"in {part[first]}" if part[first] else "outside" for part in (there, parts))
        raise CorpusError(
            f"split {name!r} is there with other parts: {len(moved)} of {len(parts)} utterances differ, the first is "
            f"{str(corpus.ids[first])!r} ({was} there, {now} here); a name belongs to one split, since models are "
            "trained by it: rename the column, choose another seed, or make another `store`"
        )
    return corpus


def twin_groups(corpus: Corpus) -> NDArray[np.int64] | None:
    """Return the group of twins that every utterance belongs to, ``(n,)``: repetitions of one another.

    Twins have the same speaker, label and further columns, apart from ``repetition``, what was measured and
    fractions; on RAVDESS the same actor, emotion, intensity and statement. None where the corpus has no speakers
    or no column ``repetition``.
    """
    speakers = corpus.speaker_groups()
    if speakers is None or "repetition" not in corpus.columns:
        return None
    described = [
        values.tolist()
        for column, values in corpus.columns.items()
        if column not in {"repetition", *MEASURED_COLUMNS} and values.dtype.kind != "f"
    ]
    groups: dict[tuple[object, ...], int] = {}
    keys = zip(speakers.tolist(), corpus.labels.tolist(), *described, strict=True)
    return np.array([groups.setdefault(key, len(groups)) for key in keys], dtype=np.int64)


def normalise_part(name: str) -> str:
    """Return one name per part: ``train``, ``valid``, ``test``, ``fold-N`` for numbers, any other name as it is.

    >>> [normalise_part(name) for name in ("Training", "dev", "eval", "3.0", "fold_03", "fold-3", "speakers A", "nan")]
    ['train', 'valid', 'test', 'fold-3', 'fold-3', 'fold-3', 'speakers A', '']
    """
    name = "" if is_missing(name) else normalise_text(name)
    number = re.fullmatch(r"(?:fold[ _-]?)?(\d+)(?:\.0+)?", name.lower(), re.ASCII)
    if number is not None:
        return f"fold-{int(number[1])}"
    return _USUAL_PARTS.get(name.lower(), name)


def normalise_parts(values: Column) -> StrArray:
    """Return the part that each value means, ``(n,)`` str, as by :func:`normalise_part`.

    Where none is a usual one, as with sessions by name, the parts are folds: ``fold-1`` … in the order of the names.

    >>> normalise_parts(np.array(["Ses10", "Ses2", "Ses2"])).tolist()
    ['fold-2', 'fold-1', 'fold-1']
    """
    parts, _ = unite_spellings([normalise_part(str(value)) for value in values.tolist()])
    names = sorted(set(parts) - {""}, key=_by_numbers)
    if not any(_USUAL_PART.fullmatch(name) for name in names):
        folds = {name: f"fold-{place}" for place, name in enumerate(names, start=1)}
        parts = [folds.get(part, "") for part in parts]
    return np.array(parts, dtype=np.str_)


def _by_numbers(name: str) -> list[str | int]:
    """A key that sorts Ses2 before Ses10: text and numbers in turn."""
    return [int(piece) if place % 2 else piece for place, piece in enumerate(re.split(r"([0-9]+)", name))]


def describe_folds(values: Column, parts: StrArray) -> tuple[str, ...]:
    """Return a line that says which fold is what, where :func:`normalise_parts` gave names of folds to other values."""
    named: dict[str, str] = {}
    for value, part in zip(values.tolist(), parts.tolist(), strict=True):
        if part and normalise_part(str(value)) != part:
            named.setdefault(part, str(value))
    ordered = sorted(named, key=_by_numbers)
    return (f"the folds are {', '.join(f'{part}: {named[part]}' for part in ordered)}",) if named else ()


def _draw_parts(corpus: Corpus, draw: Draw) -> StrArray:
    seed, folds = draw.seed or 0, draw.folds or 0
    if draw.kind == "speaker":
        return draw_speakers(corpus, seed=seed)
    if draw.kind == "speaker-folds":
        return fold_speakers(corpus, folds=folds, seed=seed)
    if draw.kind == "loso":
        return leave_one_speaker_out(corpus)
    if draw.kind == "emobox":
        return fold_as_emobox(corpus)
    if draw.kind == "twin":
        return _twin_parts(corpus, seed=seed)
    if draw.kind == "kfold":
        return _stratified_folds(corpus, seed=seed, folds=folds)
    return _paper_parts(corpus, draw.kind, seed=seed, valid=draw.kind == "paper-valid")


def _paper_parts(corpus: Corpus, name: str, *, seed: int, valid: bool) -> StrArray:
    parts = np.full(len(corpus), "train")
    train, test = _hold_out(corpus, name, np.arange(len(corpus)), corpus.labels, share=0.2, seed=seed)
    parts[test] = "test"
    if valid:
        _, carved = _hold_out(corpus, name, train, corpus.labels[train], share=0.125, seed=seed)
        parts[carved] = "valid"
    return parts


def _twin_parts(corpus: Corpus, *, seed: int) -> StrArray:
    groups = twin_groups(corpus)
    if groups is None:
        raise CorpusError(
            "split 'twin' needs speakers and a column 'repetition': expected them in the manifest; add them, or choose "
            f"the split {list_splits_apart(corpus) or 'kfold'}"
        )
    group_ids, first = np.unique(groups, return_index=True)
    _, test = _hold_out(corpus, "twin", group_ids, corpus.labels[first], share=0.2, seed=seed)
    return np.where(np.isin(groups, test), "test", "train")


def _hold_out(
    corpus: Corpus, name: str, items: NDArray[np.int64], labels: NDArray[np.int16], *, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``items`` without, and with only, a ``share`` of them that has every class in its proportion."""
    from sklearn.model_selection import train_test_split

    try:
        # By name: the draw depends on the order of the classes, and the published one is alphabetical.
        kept, held = train_test_split(
            items, test_size=share, random_state=seed, stratify=np.array(corpus.classes)[labels]
        )
    except ValueError as problem:
        raise _too_small(corpus, name, labels, needed=max(2, round(1 / share))) from problem
    return kept, held


def _stratified_folds(corpus: Corpus, *, seed: int, folds: int) -> StrArray:
    from sklearn.model_selection import StratifiedKFold

    if folds < 2:
        raise CorpusError(f"split 'kfold' got {folds} folds: expected at least 2")
    if np.bincount(corpus.labels, minlength=len(corpus.classes)).min() < folds:
        raise _too_small(corpus, "kfold", corpus.labels, needed=folds)
    parts = np.empty(len(corpus), dtype=f"<U{len(f'fold-{folds}')}")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(splitter.split(corpus.labels, corpus.labels), start=1):
        parts[held] = f"fold-{fold}"
    return parts


def _too_small(corpus: Corpus, name: str, labels: NDArray[np.int16], *, needed: int) -> CorpusError:
    counts = np.bincount(labels, minlength=len(corpus.classes))
    rarest = int(counts.argmin())
    return CorpusError(
        f"split {name!r} cannot be stratified: class {corpus.classes[rarest]!r} has {counts[rarest]} of {len(labels)} "
        f"to draw from, expected at least {needed} of every class; add recordings, merge classes or give a column "
        f"'split' in the manifest"
    )


def _column_parts(corpus: Corpus, name: str) -> StrArray:
    values = corpus.columns[name]
    if values.dtype.kind == "f":
        known = values[~np.isnan(values.astype(np.float64))].astype(np.float64)
        if not np.array_equal(known, np.round(known)):
            raise CorpusError(f"column {name!r} holds fractions: expected the names or numbers of the parts of a split")
    parts = normalise_parts(values)
    number = len(set(parts.tolist()) - {""})
    if not 2 <= number <= max(2, len(corpus) // 2):
        raise CorpusError(
            f"column {name!r} has {number} different values for {len(corpus)} utterances: expected at least 2, and far "
            f"fewer than utterances, to be the parts of a split"
        )
    return parts
