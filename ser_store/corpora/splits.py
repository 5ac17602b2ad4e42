"""Splits: which utterances a model learns from, and which it is tried on."""

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.building import MEASURED_COLUMNS
from ser_store.corpora.texts import is_missing, normalise_text, unite_spellings
from ser_store.errors import CorpusError, UnknownNameError, describe_unknown
from ser_store_h5.corpus import Column, Corpus, StrArray

SPLITS: Mapping[str, str] = {
    "paper": "the published 80:20 train and test, stratified by label (seed 101); speakers are on both sides",
    "paper-valid": "as paper, with an eighth of train carved out as valid",
    "speaker": "train, valid and test without a speaker on two sides; about a sixth of the speakers each",
    "speaker-folds": "folds of whole speakers in their order (default 6; RAVDESS: four actors each)",
    "twin": "80:20 train and test with both takes of an utterance on one side, stratified by label",
    "kfold": "folds stratified by label (default 5); speakers are in several folds",
}
"""What :func:`add_split` makes, in one line each. Any column of the corpus can be a split too."""

PAPER_SEED = 101
_SPEAKER_FOLDS = 6
_STRATIFIED_FOLDS = 5
_USUAL_PART = re.compile(r"train|valid|test|fold-[0-9]+")
_USUAL_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev", "development"), "valid"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def add_split(corpus: Corpus, name: str, *, seed: int | None = None, folds: int | None = None) -> Corpus:
    """The corpus with the split ``name``: one of ``SPLITS``, or a column of the corpus, whose values are the parts.

    Args:
        seed: default: 101 for ``paper`` and ``paper-valid``, else 0. No chance is in ``speaker-folds`` and columns.
        folds: how many, for ``speaker-folds`` (default: 6, or one per speaker where there are fewer) and ``kfold``
            (default: 5).

    Raises:
        UnknownNameError: if ``name`` is neither a split nor a column.
        CorpusError: if the corpus does not hold what the split needs: speakers, twins, enough of every class.
    """
    if folds is not None and name not in {"speaker-folds", "kfold"}:
        raise CorpusError(f"split {name!r} has no number of folds, got {folds}: expected speaker-folds or kfold")
    if seed is not None and not 0 <= seed < 2**32:
        raise CorpusError(f"seed {seed} is out of range: expected 0 to {2**32 - 1}")
    if name == "paper":
        parts = _paper_parts(corpus, name, seed=PAPER_SEED if seed is None else seed, valid=False)
    elif name == "paper-valid":
        parts = _paper_parts(corpus, name, seed=PAPER_SEED if seed is None else seed, valid=True)
    elif name == "speaker":
        parts = _speaker_parts(corpus, seed=seed or 0)
    elif name == "speaker-folds":
        parts = _speaker_folds(corpus, folds=folds)
    elif name == "twin":
        parts = _twin_parts(corpus, seed=seed or 0)
    elif name == "kfold":
        parts = _stratified_folds(corpus, seed=seed or 0, folds=_STRATIFIED_FOLDS if folds is None else folds)
    elif name in corpus.columns:
        parts = _column_parts(corpus, name)
    elif name in corpus.splits:  # the manifest's own
        return corpus
    else:
        raise UnknownNameError(
            describe_unknown("split", name, [*SPLITS, *corpus.splits, *corpus.columns], way_out="or name a column")
        )
    return corpus.with_split(name, parts)


def twin_groups(corpus: Corpus) -> NDArray[np.int64] | None:
    """The group of twins that every utterance belongs to, ``(n,)``: repetitions of one another.

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


def describe_unknown_speakers(corpus: Corpus) -> tuple[str, ...]:
    """A line that says how many speakers are unknown, where others are known, and what becomes of them."""
    if corpus.speakers is None or not corpus.known_speakers:
        return ()
    unknown = corpus.ids[corpus.speakers == ""].tolist()
    if not unknown:
        return ()
    return (
        f"the speaker of {len(unknown)} of {len(corpus)} utterances is unknown (first: {unknown[0]}): each of them "
        f"counts as a speaker of its own, and is outside of splits by speaker",
    )


def normalise_part(name: str) -> str:
    """One name per part: ``train``, ``valid``, ``test``, ``fold-N`` for numbers, any other name as it is.

    >>> [normalise_part(name) for name in ("Training", "dev", "eval", "3.0", "fold_03", "fold-3", "speakers A", "nan")]
    ['train', 'valid', 'test', 'fold-3', 'fold-3', 'fold-3', 'speakers A', '']
    """
    name = "" if is_missing(name) else normalise_text(name)
    number = re.fullmatch(r"(?:fold[ _-]?)?(\d+)(?:\.0+)?", name.lower(), re.ASCII)
    if number is not None:
        return f"fold-{int(number[1])}"
    return _USUAL_PARTS.get(name.lower(), name)


def normalise_parts(values: Column) -> StrArray:
    """:func:`normalise_part` of every value, ``(n,)`` str.

    Where none is a usual one, as with sessions by name, the parts are folds: ``fold-1`` … in the order of the names.
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
    """A line that says which fold is what, where :func:`normalise_parts` gave names of folds to other values."""
    named: dict[str, str] = {}
    for value, part in zip(values.tolist(), parts.tolist(), strict=True):
        if part and normalise_part(str(value)) != part:
            named.setdefault(part, str(value))
    ordered = sorted(named, key=_by_numbers)
    return (f"the folds are {', '.join(f'{part}: {named[part]}' for part in ordered)}",) if named else ()


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
            "the split speaker or kfold"
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


def _speaker_parts(corpus: Corpus, *, seed: int) -> StrArray:
    speakers = _known_speakers(corpus, "speaker", at_least=3)
    names, first = np.unique(speakers, return_index=True)
    sexes = np.asarray(corpus.columns["sex"])[first].astype(np.str_) if "sex" in corpus.columns else None
    if sexes is None or np.unique(sexes, return_counts=True)[1].min() < 3:
        sexes = np.full(len(names), "")  # too few of one sex to have one in every part
    rng = np.random.default_rng(seed)
    part_of = dict.fromkeys(names.tolist(), "train")
    for sex in np.unique(sexes):
        drawn = rng.permutation(names[sexes == sex]).tolist()
        size = max(1, round(len(drawn) / 6))
        part_of |= dict.fromkeys(drawn[:size], "test") | dict.fromkeys(drawn[size : 2 * size], "valid")
    return np.array([part_of[speaker] for speaker in speakers.tolist()], dtype=np.str_)


def _speaker_folds(corpus: Corpus, *, folds: int | None) -> StrArray:
    speakers = _known_speakers(corpus, "speaker-folds", at_least=2)
    names = np.unique(speakers)
    wanted = min(_SPEAKER_FOLDS, len(names)) if folds is None else folds
    if not 2 <= wanted <= len(names):
        raise CorpusError(f"split 'speaker-folds' got {wanted} folds: expected 2 to {len(names)}, one speaker each")
    fold_of = {
        speaker: f"fold-{fold}"
        for fold, run in enumerate(np.array_split(names, wanted), start=1)
        for speaker in run.tolist()
    }
    return np.array([fold_of[speaker] for speaker in speakers.tolist()], dtype=np.str_)


def _known_speakers(corpus: Corpus, name: str, *, at_least: int) -> StrArray:
    if corpus.speakers is None:
        raise CorpusError(
            f"split {name!r} needs to know who speaks: expected a column 'speaker' in the manifest; add it, or choose "
            f"the split kfold"
        )
    number = len(np.unique(corpus.speakers))
    if number < at_least:
        raise CorpusError(
            f"split {name!r} needs at least {at_least} speakers: the corpus has {number}; choose the split kfold"
        )
    return corpus.speakers


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
