"""A new store from a corpus, or one more split for a store that is there."""

from dataclasses import dataclass, replace
from pathlib import Path

from ser_store.corpora.manifest import load_manifest
from ser_store.corpora.ravdess import load_ravdess
from ser_store.corpora.splits import add_split, describe_folds
from ser_store.errors import UnknownNameError, describe_unknown
from ser_store.progress import Progress, silent
from ser_store_h5.corpus import Corpus
from ser_store_h5.store import Store

CORPORA = ("ravdess",)


@dataclass(frozen=True)
class Initialized:
    """What ``init`` did.

    Attributes:
        store: the store.
        split: the split that was added.
        created: whether the store was made now, or gained a split.
        skipped: one line for each recording left out.
        ignored: files that are not part of the corpus.
        notes: one line for each thing that was understood and may not have been meant.
    """

    store: Store
    split: str | None
    created: bool
    skipped: tuple[str, ...]
    ignored: int
    notes: tuple[str, ...] = ()


def init(
    path: Path,
    *,
    corpus: str,
    audio: Path | None = None,
    split: str | None = None,
    seed: int | None = None,
    folds: int | None = None,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> Initialized:
    """Make a store for a corpus; where the store is there and holds the same corpus, add a split to it.

    Args:
        path: the store's folder.
        corpus: ``ravdess``, or a CSV or Parquet manifest.
        audio: the folder of the recordings.
        split: name of a split (see :data:`ser_store.corpora.splits.SPLITS`) or of a column. Default: the manifest's
            own ``split`` column where it has one, else ``paper``.
        skip_bad: leave bad recordings out instead of refusing.

    Raises:
        CorpusError: if the corpus contradicts itself or has too few utterances for the split.
        AudioError: naming the first bad recording.
        StoreError: if the store holds another corpus.
    """
    if corpus == "ravdess":
        if audio is None:
            raise UnknownNameError("corpus ravdess without its recordings: expected --audio DIR, their folder")
        built = load_ravdess(audio, skip_bad=skip_bad, progress=progress)
    elif Path(corpus).suffix.lower() in (".csv", ".parquet"):
        built = load_manifest(Path(corpus), audio=audio, skip_bad=skip_bad, progress=progress)
    else:
        raise UnknownNameError(describe_unknown("corpus", corpus, [*CORPORA, "FILE.csv", "FILE.parquet"]))
    described, notes = built.corpus, built.notes
    if split is not None or not described.splits:
        split = split or "paper"
        described = replace(add_split(described, split, seed=seed, folds=folds), default_split=split)
        if split in described.columns:
            notes += describe_folds(described.columns[split], described.parts(split))
    created = not (path / "corpus.h5").is_file()
    if created:
        store = Store.create(path, described)
    else:
        store = Store(path)
        is_same = described.digest == store.corpus.digest
        store.update_corpus(_combine(store.corpus, described) if is_same else described)
    return Initialized(
        store=store,
        split=split or described.default_split,
        created=created,
        skipped=built.skipped,
        ignored=built.ignored,
        notes=notes,
    )


def _combine(there: Corpus, described: Corpus) -> Corpus:
    """The corpus as described now, with the splits that it had before; the newest split becomes the default."""
    return replace(described, splits={**there.splits, **described.splits})
