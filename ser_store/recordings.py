"""Where the recordings of a corpus are now."""

from pathlib import Path

from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus


def resolve_audio(corpus: Corpus, audio: Path | None) -> Path:
    """The folder of the recordings: the one given, else where they lay when the corpus was made.

    Raises:
        CorpusError: if the corpus has no recordings, or the folder is not there.
    """
    if corpus.paths is None:
        raise CorpusError(
            f"corpus {corpus.name} was made from predictions and has no recordings: expected one made from audio; "
            "`serstore init --audio DIR --store PATH` makes a store that can train"
        )
    folder = audio or Path(corpus.audio_root or ".")
    if not folder.is_dir():
        raise CorpusError(f"the recordings are not in {folder}: no such folder; say where they are with --audio DIR")
    return folder
