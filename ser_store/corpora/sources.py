"""What `init` can make a corpus of: a published corpus by its name or page, or a table of utterances."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ser_store.common.tables import READABLE
from ser_store.corpora.building import BuiltCorpus, Reading
from ser_store.corpora.manifest import load_manifest
from ser_store.corpora.published.loading import load_published
from ser_store.corpora.published.page import Page, open_page, read_page
from ser_store.corpora.splits.draw import describe_folds, normalise_parts
from ser_store.corpora.splits.draw_names import SPLITS
from ser_store.errors import CorpusError, UnknownNameError

_PLAIN = Reading()


def load_corpus(
    corpus: str, audio: Path | None = None, *, no_audio: bool = False, reading: Reading = _PLAIN
) -> BuiltCorpus:
    """Load a corpus.

    Args:
        corpus: the name of a published corpus, its page (TOML), or a table (CSV, TSV or Parquet).
        audio: the folder of the recordings.
        no_audio: there are no recordings: the corpus is what the table says.

    Raises:
        UnknownNameError: if there is no such corpus, or none without ``audio``.
        CorpusError: as :func:`load_published` and :func:`load_manifest`, or if there is ``audio`` and ``no_audio``.
        AudioError: if a recording cannot be used (unless ``reading.skip_bad``).
    """
    if no_audio and audio is not None:
        raise CorpusError(f"got `audio` {audio} and `no_audio`: expected one of them")
    suffix = Path(corpus).suffix.lower()
    if suffix in READABLE:
        return load_manifest(Path(corpus), audio=audio, no_audio=no_audio, reading=reading)
    page = read_page(Path(corpus)) if suffix == ".toml" else open_page(corpus)
    if no_audio:
        raise CorpusError(
            f"corpus {corpus} is read from its recordings: expected a table of utterances, `corpus` FILE.csv, "
            "for a corpus with `no_audio`"
        )
    if audio is None:
        raise UnknownNameError(f"corpus {page.key} without its recordings: expected their folder as `audio`")
    return _with_published_folds(page, _with_published_split(page, load_published(page, audio, reading)))


def _with_published_split(page: Page, built: BuiltCorpus) -> BuiltCorpus:
    """With the split that was published, where the recordings say who is in which part."""
    if page.split is None or page.split not in built.corpus.columns:
        return built
    parts = normalise_parts(built.corpus.columns[page.split])
    notes = describe_folds(built.corpus.columns[page.split], parts)
    return replace(built, corpus=built.corpus.with_split(page.split, parts), notes=(*built.notes, *notes))


def _with_published_folds(page: Page, built: BuiltCorpus) -> BuiltCorpus:
    """With the published folds of speakers, but for those that `SPLITS` draws when they are asked for."""
    corpus = built.corpus
    for name, folds in page.folds.items():
        if name not in SPLITS and corpus.speakers is not None:
            fold_of = {speaker: f"fold-{fold}" for fold, speakers in enumerate(folds, start=1) for speaker in speakers}
            parts = np.array([fold_of.get(speaker, "") for speaker in corpus.speakers.tolist()], dtype=np.str_)
            corpus = corpus.with_split(name, parts)
    return replace(built, corpus=corpus)
