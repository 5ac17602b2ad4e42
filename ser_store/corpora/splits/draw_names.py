"""What a split that is drawn is called: by its kind, its seed and its number of folds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ser_store.common.checks import check_number
from ser_store.corpora.splits.speakers import count_speakers
from ser_store.errors import CorpusError, UnknownNameError, describe_unknown
from ser_store_h5.corpus import Corpus

SPLITS: Mapping[str, str] = {
    "paper": "the published 80:20 train and test, stratified by label (seed 101); speakers are on both sides",
    "paper-valid": "as paper, with an eighth of train carved out as valid",
    "speaker": "train, valid and test (a sixth of the speakers each) without a speaker on two sides; of many "
    "draws the one with the most even classes",
    "speaker-folds": "folds of whole speakers (default 6; RAVDESS: four actors each, in their order unless a seed is "
    "named), classes as even as may be",
    "loso": "leave one speaker out: a fold for each speaker, in their order",
    "emobox": "the six published folds of RAVDESS (EmoBox), four actors each, other than in speaker-folds",
    "twin": "80:20 train and test with both takes of an utterance on one side, stratified by label",
    "kfold": "folds stratified by label (default 5); speakers are in several folds",
}
"""What ``add_split`` in :mod:`.draw` makes, in one line each. Any column of the corpus can be a split too."""

PAPER_SEED = 101
_DEFAULT_SEEDS = {
    **dict.fromkeys(("paper", "paper-valid"), PAPER_SEED),
    **dict.fromkeys(("speaker", "speaker-folds", "twin", "kfold"), 0),
}
_DEFAULT_FOLDS = {"speaker-folds": 6, "kfold": 5}
_DRAWN_NAME = re.compile(
    rf"({'|'.join(sorted(SPLITS, key=len, reverse=True))})(?:-([0-9]{{1,9}})-folds)?(?:-([0-9]{{1,10}}))?"
)


def name_split(corpus: Corpus, name: str, *, seed: int | None = None, folds: int | None = None) -> str:
    """Return what ``add_split`` in :mod:`.draw` calls the split; its arguments and errors are the same.

    The name belongs to one assignment, so a seed or a number of folds that is not the default is part of it:
    ``paper-7``, ``kfold-10-folds``, ``kfold-10-folds-7``.

    >>> import ser_store as ss
    >>> name_split(ss.open_example().corpus, "kfold", folds=10, seed=7)
    'kfold-10-folds-7'
    """
    draw = read_draw(corpus, name, seed=seed, folds=folds)
    return name if draw is None else draw.name


def name_repeats(
    corpus: Corpus, name: str, repeats: int, *, seed: int | None = None, folds: int | None = None
) -> list[str]:
    """Return the names of several draws of one split, by the seeds that follow its own.

    Raises:
        CorpusError: if the split leaves nothing to chance, or there are fewer than two repeats.

    >>> import ser_store as ss
    >>> name_repeats(ss.open_example().corpus, "kfold", 3)
    ['kfold', 'kfold-1', 'kfold-2']
    """
    check_number("repeats", repeats, CorpusError, least=2, whole=True)
    draw = read_draw(corpus, name, seed=seed, folds=folds)
    if draw is None or draw.seed is None:
        drawn = ", ".join(_DEFAULT_SEEDS)
        raise CorpusError(f"`repeats` of split {name!r}, which is always the same: expected one of {drawn}")
    return [name_split(corpus, draw.kind, seed=draw.seed + one, folds=draw.folds) for one in range(repeats)]


def name_kind(corpus: Corpus, name: str) -> str:
    """Return how a split of the corpus was drawn, a key of ``SPLITS``; else ``column`` or ``given``."""
    drawn = _DRAWN_NAME.fullmatch(name)
    return "column" if name in corpus.columns else "given" if drawn is None else drawn[1]


@dataclass(frozen=True)
class Draw:
    """How a split is drawn; None where it has no seed or no number of folds."""

    kind: str
    seed: int | None
    folds: int | None
    name: str


def read_draw(corpus: Corpus, name: str, *, seed: int | None, folds: int | None) -> Draw | None:
    """Read how to draw the split; None if it is a column or a split that is there.

    Raises:
        UnknownNameError: if it is none of all these.
        CorpusError: if it has no such seed or number of folds, or its name says another.
    """
    if name in SPLITS and name in corpus.columns:
        raise CorpusError(f"{name!r} is a column, and a split that is drawn: expected one of them; rename the column")
    drawn = None if name in corpus.columns else _DRAWN_NAME.fullmatch(name)
    if drawn is None and name not in corpus.columns and name not in corpus.splits:
        known = dict.fromkeys([*SPLITS, *corpus.splits, *corpus.columns])
        raise UnknownNameError(describe_unknown("split", name, known, way_out="or name a column"))
    kind, named_folds, named_seed = (name, None, None) if drawn is None else drawn.groups()
    default_seed, default_folds = _DEFAULT_SEEDS.get(kind), _DEFAULT_FOLDS.get(kind)
    if kind == "speaker-folds":
        default_folds = min(_DEFAULT_FOLDS[kind], count_speakers(corpus))
    seed = _settle("seed", name, given=seed, named=named_seed, default=default_seed)
    folds = _settle("number of folds", name, given=folds, named=named_folds, default=default_folds)
    if seed is not None and not 0 <= seed < 2**32:
        raise CorpusError(f"seed {seed} is out of range: expected 0 to {2**32 - 1}")
    if drawn is None:
        return None
    suffix = f"-{folds}-folds" if folds != default_folds else ""
    suffix += f"-{seed}" if seed != default_seed else ""
    return Draw(kind, seed, folds, kind + suffix)


def _settle(what: str, split: str, *, given: int | None, named: str | None, default: int | None) -> int | None:
    """The one number that is given, or in the split's name, or the default."""
    stated = {given, None if named is None else int(named)} - {None}
    if stated and default is None:
        raise CorpusError(f"split {split!r} has no {what}, got {stated.pop()}: expected none; leave it out")
    if len(stated) > 1:
        raise CorpusError(f"split {split!r} has another {what} in its name than {given}: expected one; leave one out")
    return stated.pop() if stated else default
