"""What training and extraction are timed on: a store over real recordings, or over synthetic ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ser_store.corpora.create import init
from ser_store.corpora.synthetic import write_synthetic_corpus
from ser_store_h5.progress import Progress, silent
from ser_store_h5.store import Store

SYNTHETIC_SPEAKERS = 3


@contextmanager
def scratch_store(audio: Path | None, *, folder: Path | None, progress: Progress = silent) -> Iterator[Store]:
    """A store with the paper's split over RAVDESS recordings, or over 180 synthetic ones; it goes in the end.

    Args:
        audio: the recordings; None for synthetic ones.
        folder: where it lies for a while, checkpoints included. Default: the system's temporary folder.
    """
    with TemporaryDirectory(dir=folder, prefix=".serstore-bench-") as scratch:
        if audio is None:
            audio = Path(scratch) / "audio"
            write_synthetic_corpus(audio, speakers=SYNTHETIC_SPEAKERS, progress=progress)
        path = Path(scratch) / "measured.store"
        yield init(path, corpus="ravdess", audio=audio, split="paper", progress=progress).store
