"""The audit of a store's split and recordings."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ser_store.corpora.audit import Audit, compute_audit, find_bad_files
from ser_store.progress import Progress, silent
from ser_store_h5.store import Store


@dataclass(frozen=True)
class StoreAudit:
    """The split's audit, and the recordings that are missing, unreadable or changed (None if none were looked for)."""

    audit: Audit
    bad_files: list[str] | None

    def to_json(self) -> dict[str, Any]:
        return {**self.audit.to_json(), "bad_files": self.bad_files}


def audit(
    path: Path, *, split: str | None = None, audio: Path | None = None, progress: Progress = silent
) -> StoreAudit:
    """Audit a split of the store's corpus, and its recordings where they can be found.

    Args:
        split: default: the corpus' default split.
        audio: the folder of the recordings, where it is not the one the corpus was made from.

    Raises:
        UnknownNameError: if the corpus has no such split.
    """
    corpus = Store(path).corpus
    folder = audio or (Path(corpus.audio_root) if corpus.audio_root else None)
    # Without the training extra there is nothing to decode with; the rest of the audit needs no audio.
    can_look = audio is not None or (folder is not None and folder.is_dir() and find_spec("soundfile") is not None)
    looked_at = corpus.paths is not None and can_look
    bad_files = find_bad_files(corpus, folder, progress=progress) if looked_at and folder is not None else None
    return StoreAudit(compute_audit(corpus, split=split), bad_files)
