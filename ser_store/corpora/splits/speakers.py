"""Splits that keep speakers apart."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.published.fields import describe_name
from ser_store.corpora.published.page import open_page
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus, StrArray

FEW = 5
"""Fewer utterances of a class than this are few: one answer then moves the class' recall by 25 points or more."""
# The most even of so many is nearly surely among the best twentieth of all; those of other seeds still differ.
_DRAWS = 200
# Where none of these has enough of every class in every part, so many are tried until one has.
_MAX_DRAWS = 1_000


def draw_speakers(corpus: Corpus, *, seed: int) -> StrArray:
    """Return the split ``speaker``, ``(n,)`` str: the most even of the seed's draws, of equals the first.

    About a sixth of the speakers of each sex are in valid and in test each, the unknown ones outside. The most even
    draw has the fewest classes missing from parts, then the fewest that are few there (``FEW``), then the parts nearest
    to their share of every class. It is not the best there is: few speakers can be drawn in so few ways that every seed
    would come to the same one.

    Raises:
        CorpusError: if speakers are unknown or fewer than three.
    """
    speakers = _known_speakers(corpus, "speaker", at_least=3)
    known = np.flatnonzero(speakers != "")
    names, first = np.unique(speakers[known], return_index=True)
    sexes = np.asarray(corpus.columns["sex"])[known[first]].astype(np.str_) if "sex" in corpus.columns else None
    if sexes is None or np.unique(sexes, return_counts=True)[1].min() < 3:
        sexes = np.full(len(names), "")  # too few of one sex to have one in every part
    return _assign(corpus, _choose_most_even(_iter_speaker_draws(sexes, seed), _count_classes(corpus)))


def list_splits_apart(corpus: Corpus) -> str:
    """Return the splits that can keep this corpus' speakers apart, in words; empty where none can."""
    return ("", "", "speaker-folds", "speaker or speaker-folds")[min(count_speakers(corpus), 3)]


def _count_classes(corpus: Corpus) -> NDArray[np.int64]:
    """Utterances of every known speaker, ascending, and every class that they have, ``(n_speakers, n_classes)``."""
    speakers = np.asarray(corpus.speakers)
    known = np.flatnonzero(speakers != "")
    names, inverse = np.unique(speakers[known], return_inverse=True)
    counts = np.zeros((len(names), len(corpus.classes)), dtype=np.int64)
    np.add.at(counts, (inverse, corpus.labels[known]), 1)
    return counts[:, counts.sum(axis=0) > 0]


def _assign(corpus: Corpus, part_of: StrArray) -> StrArray:
    """The part of every utterance, from that of every known speaker; those of the unknown are outside."""
    speakers = np.asarray(corpus.speakers)
    known = np.flatnonzero(speakers != "")
    parts = np.full(len(corpus), "", dtype=part_of.dtype)
    parts[known] = part_of[np.unique(speakers[known], return_inverse=True)[1]]
    return parts


def _iter_speaker_draws(sexes: StrArray, seed: int) -> Iterator[StrArray]:
    """Draw the part of every speaker, of each sex alike; ``sexes`` are all the same where they do not count."""
    rng = np.random.default_rng(seed)
    while True:
        part_of = np.full(len(sexes), "train")
        for sex in np.unique(sexes):
            drawn = rng.permutation(np.flatnonzero(sexes == sex))
            size = max(1, round(len(drawn) / 6))
            part_of[drawn[:size]], part_of[drawn[size : 2 * size]] = "test", "valid"
        yield part_of


def _iter_fold_draws(n_speakers: int, folds: int, seed: int = 0) -> Iterator[StrArray]:
    """As many speakers in each fold: in their order first where the seed is 0, then in any other."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(n_speakers) if seed else np.arange(n_speakers)
    while True:
        fold_of = np.empty(n_speakers, dtype=f"<U{len(f'fold-{folds}')}")
        for fold, own in enumerate(np.array_split(order, folds), start=1):
            fold_of[own] = f"fold-{fold}"
        yield fold_of
        order = rng.permutation(n_speakers)


def _choose_most_even(draws: Iterator[StrArray], counts: NDArray[np.int64]) -> StrArray:
    """The draw with the fewest classes missing from parts, then few there, then nearest to their shares; or the first.

    Args:
        draws: the part of every speaker, without end.
        counts: utterances of every speaker and class, ``(n_speakers, n_classes)``.
    """
    best, least = next(draws), None
    for number, part_of in enumerate(chain([best], draws), start=1):
        inside = np.unique(part_of)[:, None] == part_of
        found, share = inside @ counts, inside.sum(axis=1, keepdims=True) * counts.sum(axis=0)
        # In ascending order, so that the same parts by other names are just as uneven.
        unevenness = float(np.sort((found * len(counts) - share) ** 2 / share, axis=None).sum())
        rating = (int((found == 0).sum()), int((found < FEW).sum()), unevenness)
        if least is None or rating < least:
            best, least = part_of, rating
        if unevenness == 0 or number >= (_MAX_DRAWS if least[1] else _DRAWS):
            break
    return best


def fold_speakers(corpus: Corpus, *, folds: int, seed: int = 0) -> StrArray:
    """Return the split ``speaker-folds``, ``(n,)`` str: as many speakers in each fold, the unknown outside.

    The most even of the seed's orders is taken, rated as :func:`draw_speakers` rates, of equals the first: with the
    seed 0 that in which they are.

    Raises:
        CorpusError: if speakers are unknown, or fewer than folds.
    """
    speakers = _known_speakers(corpus, "speaker-folds", at_least=2)
    number = len(set(speakers.tolist()) - {""})
    if not 2 <= folds <= number:
        raise CorpusError(f"split 'speaker-folds' got {folds} folds: expected 2 to {number}, one speaker each")
    return _assign(corpus, _choose_most_even(_iter_fold_draws(number, folds, seed), _count_classes(corpus)))


def leave_one_speaker_out(corpus: Corpus) -> StrArray:
    """Return the split ``loso``, ``(n,)`` str: a fold for each speaker, in their order, the unknown outside.

    Raises:
        CorpusError: if speakers are unknown or fewer than two.
    """
    speakers = _known_speakers(corpus, "loso", at_least=2)
    number = len(set(speakers.tolist()) - {""})
    return _assign(corpus, next(_iter_fold_draws(number, number)))


def fold_as_emobox(corpus: Corpus) -> StrArray:
    """Return the split ``emobox``, ``(n,)`` str: the six published folds of RAVDESS, four test actors each.

    The actors are those of the ids, so it is the same split whatever a manifest calls the speakers. From Ma et al.
    2024, EmoBox: Multilingual Multi-corpus Speech Emotion Recognition Toolkit and Benchmark, arXiv 2406.07162.

    Raises:
        CorpusError: if an utterance is not one of RAVDESS, or all actors are in one fold.
    """
    page = open_page("ravdess")
    fold_of = {actor: f"fold-{fold}" for fold, actors in enumerate(page.folds["emobox"], start=1) for actor in actors}
    told = [describe_name(page, utterance) for utterance in corpus.ids.tolist()]
    parts = [fold_of[str(fields["speaker"])] for fields in told if fields is not None]
    if len(parts) < len(told):
        raise CorpusError(
            f"split 'emobox' is made of the actors of RAVDESS, and {str(corpus.ids[told.index(None)])!r} is not the id "
            f"of an utterance of it: expected ids such as 03-01-05-02-01-01-12; choose the split "
            f"{list_splits_apart(corpus) or 'kfold'}"
        )
    if len(set(parts)) < 2:
        raise CorpusError(
            f"split 'emobox' has all these actors in {parts[0]}: expected actors of two folds or more; choose the "
            f"split {list_splits_apart(corpus) or 'kfold'}"
        )
    return np.array(parts, dtype=np.str_)


def count_speakers(corpus: Corpus) -> int:
    """Return how many different speakers are known."""
    return 0 if corpus.speakers is None else len(set(corpus.speakers.tolist()) - {""})


def _known_speakers(corpus: Corpus, name: str, *, at_least: int) -> StrArray:
    number = count_speakers(corpus)
    if corpus.speakers is None or not number:
        raise CorpusError(
            f"split {name!r} needs to know who speaks: expected a column 'speaker' in the manifest; add it, or choose "
            f"the split kfold, which does not keep speakers apart"
        )
    if number < at_least:
        raise CorpusError(
            f"split {name!r} needs at least {at_least} speakers: the corpus has {number}; choose the split "
            f"{list_splits_apart(corpus) or 'kfold: one speaker cannot be kept apart'}"
        )
    return corpus.speakers


def describe_unknown_speakers(corpus: Corpus) -> tuple[str, ...]:
    """Return a line that says how many speakers are unknown, where others are known, and what becomes of them."""
    if corpus.speakers is None or not corpus.known_speakers:
        return ()
    unknown = corpus.ids[corpus.speakers == ""].tolist()
    if not unknown:
        return ()
    return (
        f"the speaker of {len(unknown)} of {len(corpus)} utterances is unknown (first: {unknown[0]}): each of them "
        f"counts as a speaker of its own, and is outside of splits by speaker",
    )
