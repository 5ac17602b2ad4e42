"""What `init` can make a corpus of: a published corpus by its name or page, or a table of utterances."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ser_store.common.tables import READABLE
from ser_store.corpora.building import BuiltCorpus
from ser_store.corpora.label_map import LabelMap
from ser_store.corpora.manifest import load_manifest
from ser_store.corpora.published.loading import load_published
from ser_store.corpora.published.page import Page, open_page, read_page
from ser_store.corpora.splits.draw import describe_folds, normalise_parts
from ser_store.corpora.splits.draw_names import SPLITS
from ser_store.errors import CorpusError, UnknownNameError
from ser_store_h5.progress import Progress, silent


@dataclass(frozen=True)
class Source:
    """What a corpus is made of.

    Attributes:
        corpus: the name of a published corpus, its page (TOML), or a table (CSV, TSV or Parquet).
        audio: the folder of the recordings.
        no_audio: there are no recordings: the corpus is what the table says.
        labels: what the labels mean; default: what they say.
        skip_bad, strict: see :func:`ser_store.corpora.building.build_corpus`.
    """

    corpus: str
    audio: Path | None = None
    no_audio: bool = False
    labels: LabelMap | None = None
    skip_bad: bool = False
    strict: bool = False


def load_corpus(source: Source, *, progress: Progress = silent) -> BuiltCorpus:
    """Load the corpus of a source.

    Raises:
        UnknownNameError: if there is no such corpus, or none without ``audio``.
        CorpusError: as :func:`load_published` and :func:`load_manifest`, or if there is ``audio`` and ``no_audio``.
        AudioError: if a recording cannot be used (unless ``skip_bad``).
    """
    if source.no_audio and source.audio is not None:
        raise CorpusError(f"got `audio` {source.audio} and `no_audio`: expected one of them")
    suffix = Path(source.corpus).suffix.lower()
    how: dict[str, Any] = {
        "labels": source.labels,
        "skip_bad": source.skip_bad,
        "strict": source.strict,
        "progress": progress,
    }
    if suffix in READABLE:
        return load_manifest(Path(source.corpus), audio=source.audio, no_audio=source.no_audio, **how)
    page = read_page(Path(source.corpus)) if suffix == ".toml" else open_page(source.corpus)
    if source.no_audio:
        raise CorpusError(
            f"corpus {source.corpus} is read from its recordings: expected a table of utterances, `corpus` FILE.csv, "
            "for a corpus with `no_audio`"
        )
    if source.audio is None:
        raise UnknownNameError(f"corpus {page.key} without its recordings: expected their folder as `audio`")
    built = load_published(page, source.audio, **how)
    return _with_published_folds(page, _with_published_split(page, built))


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
