"""Files of the Hugging Face hub, by way of its cache: fetched where they are new, found where there is no network."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import CRITICAL
from pathlib import Path
from typing import Literal

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import logging

from ser_store_h5.errors import describe_problem

RepositoryKind = Literal["model", "dataset"]
_ADVICE = {
    # The hub says the same of what is private and of what is not there.
    401: "not there, or private: see `hf auth login`",
    403: "not open to you: accept its terms on its page, then `hf auth login`",
    404: "the hub has no such {kind}, revision or file",
    413: "more than the hub takes",
    429: "too many requests: wait, or log in with `hf auth login`",
    500: "the hub itself has a problem: try again later",
}
_SHORT_HASH = re.compile("[0-9a-f]{6,39}")
_DISK_PROBLEMS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}


class RefusedError(Exception):
    """A file that the hub has, or may have, and that cannot be had; the text says why in a few words."""


@dataclass(frozen=True)
class HubFiles:
    """The files of a repository.

    Attributes:
        repository: its id, ``owner/name``.
        revision: a branch, tag or commit; default: the newest.
        kind: ``model`` or ``dataset``.
        offline: whether only the cache is asked.
    """

    repository: str
    revision: str | None = None
    kind: RepositoryKind = "model"
    offline: bool = False

    def find_problem(self, name: str) -> str:
        """Return what the hub or the network has against giving a file, or nothing."""
        # One request without retries: left to itself, the hub's client tries for 23 seconds per file without network.
        try:
            get_hf_file_metadata(hf_hub_url(self.repository, name, repo_type=self.kind, revision=self.revision))
        except Exception as refused:  # noqa: BLE001 - the HTTP client, and so its errors, differs between hub releases
            return describe_refusal(refused, self.kind)
        return ""

    def fetch(self, name: str) -> Path | None:
        """Return a file in the cache, fetched if need be; None if there is none.

        Raises:
            RefusedError: if it cannot be fetched, or not be kept.
        """
        try:
            with _quiet_client():
                path = hf_hub_download(
                    self.repository, name, repo_type=self.kind, revision=self.revision, local_files_only=self.offline
                )
                return Path(path)
        except EntryNotFoundError as missing:
            # The local kind says that it is not in the cache, which online means that the connection broke.
            if self.offline or not isinstance(missing, LocalEntryNotFoundError):
                return None
            refused: Exception = missing.__cause__ if isinstance(missing.__cause__, Exception) else missing
        except Exception as problem:  # noqa: BLE001 - as above; and what is wrong with the disk
            refused = problem
        raise RefusedError(describe_refusal(refused, self.kind)) from refused

    def describe_absence(self, reason: str) -> str:
        """Return a line that says that neither the hub nor the cache gives a file, and which revisions would do."""
        name = f"{self.repository}@{self.revision}" if self.revision else self.repository
        if self.revision and _SHORT_HASH.fullmatch(self.revision):
            reason = f"{reason}; a commit takes all its 40 digits"
        elif self.revision and reason.startswith("404"):
            reason = f"{reason}; the newest is {self.repository}@main"
        others = self._list_cached()
        cached = f", which has {', '.join(others)}" if others else ""
        return f"{name} cannot be fetched ({reason}) and is not in the Hugging Face cache{cached}"

    def _list_cached(self) -> list[str]:
        """The branches and tags that the cache has, as a repository is named: ``owner/name@main``."""
        refs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.repository, repo_type=self.kind) / "refs"
        found = sorted(path for path in refs.rglob("*") if path.is_file())
        return [f"{self.repository}@{path.relative_to(refs).as_posix()}" for path in found]


def describe_refusal(refused: Exception, kind: RepositoryKind = "model") -> str:
    """Say why a request to the hub failed, and what to do about it where that is known."""
    if isinstance(refused, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(refused, OSError) and refused.errno in _DISK_PROBLEMS:
        return f"{constants.HF_HUB_CACHE}: {refused.strerror}; HF_HOME names another place for it"
    status = read_status(refused)
    advice = None if status is None else _ADVICE.get(min(status, 500))
    return describe_problem(refused) if advice is None else f"{status}: {advice.format(kind=kind)}"


def read_status(refused: Exception) -> int | None:
    """Return the status that the hub answered with; None where it gave no answer."""
    return getattr(getattr(refused, "response", None), "status_code", None)


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Without a line for each of the client's attempts: what the last of them met is stated."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
