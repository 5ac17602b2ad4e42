"""Checkpoints of the Hugging Face hub, by way of its cache, as local folders."""

import errno
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import CRITICAL
from pathlib import Path

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, OfflineModeIsEnabled
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import logging

from ser_store.backbones.checkpoint import describe_problem
from ser_store.errors import ModelError

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
WAY_OUT = "give a folder with its weights as `checkpoint`, or start from random ones: `init` random"
_ADVICE = {
    # The hub says the same of what is private and of what is not there.
    401: "not there, or private: see `hf auth login`",
    403: "not open to you: accept its terms on its page, then `hf auth login`",
    404: "the hub has no such model, revision or file",
    429: "too many requests: wait, or log in with `hf auth login`",
    500: "the hub itself has a problem: try again later",
}
_DISK_PROBLEMS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}
_SHA256 = re.compile("[0-9a-f]{64}")
_SHORT_HASH = re.compile("[0-9a-f]{6,39}")
WAY_OUT_WITHOUT_CONFIG = "name a local folder with its config.json instead, or a backbone that `models()` lists"


@dataclass(frozen=True)
class HubCheckpoint:
    """A checkpoint in the cache: its folder, and the commit on the hub that it is."""

    folder: Path
    revision: str


def fetch_checkpoint(hub_id: str, *, revision: str | None = None, with_weights: bool = True) -> HubCheckpoint:
    """Fetch a model's configuration, feature extractor and weights from the hub, or from the cache without network.

    Raises:
        ModelError: if it can neither be fetched nor found in the cache, or its weights are not those on the hub.
    """
    problem = _find_problem(hub_id, revision)
    offline = bool(problem)
    # Under the name of its branch, so that the cache knows the branch when there is no network.
    config = _Fetcher(hub_id, revision, offline).fetch("config.json")
    if config is None:
        reason = problem or "it has no config.json"
        way_out = WAY_OUT if with_weights else WAY_OUT_WITHOUT_CONFIG
        name = f"{hub_id}@{revision}" if revision else hub_id
        if revision and _SHORT_HASH.fullmatch(revision):
            reason = f"{reason}; a commit takes all its 40 digits"
        elif revision and reason.startswith("404"):
            reason = f"{reason}; the newest is {hub_id}@main"
        others = _list_cached(hub_id)
        cached = f", which has {', '.join(others)}" if others else ""
        raise ModelError(f"{name} cannot be fetched ({reason}) and is not in the Hugging Face cache{cached}: {way_out}")
    commit = config.parent.name
    fetcher = _Fetcher(hub_id, commit, offline)
    fetcher.fetch("preprocessor_config.json")
    fetcher.fetch("processor_config.json")
    if with_weights and not fetcher.fetch_weights():
        where = f"in the Hugging Face cache, and cannot be fetched ({problem})" if problem else "on the hub"
        raise ModelError(f"no weights of {hub_id} are {where}: expected one of {', '.join(WEIGHT_FILES)}; {WAY_OUT}")
    return HubCheckpoint(config.parent, commit)


def _list_cached(hub_id: str) -> list[str]:
    """The branches and tags of ``hub_id`` that the cache has, as a model is named."""
    refs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=hub_id, repo_type="model") / "refs"
    return [f"{hub_id}@{path.relative_to(refs).as_posix()}" for path in sorted(refs.rglob("*")) if path.is_file()]


def _find_problem(hub_id: str, revision: str | None) -> str:
    """What the hub or the network has against ``hub_id``, or nothing."""
    # One request without retries: left to itself, the hub's client tries for 23 seconds per file without network.
    try:
        get_hf_file_metadata(hf_hub_url(hub_id, "config.json", revision=revision))
    except Exception as refused:  # noqa: BLE001 - the HTTP client, and so its errors, differs between hub releases
        return describe_refusal(refused)
    return ""


def describe_refusal(refused: Exception) -> str:
    """Say why a request to the hub failed, and what to do about it where that is known."""
    if isinstance(refused, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set"
    if isinstance(refused, OSError) and refused.errno in _DISK_PROBLEMS:
        return f"{constants.HF_HUB_CACHE}: {refused.strerror}; HF_HOME names another place for it"
    status = getattr(getattr(refused, "response", None), "status_code", None)
    advice = None if status is None else _ADVICE.get(min(status, 500))
    return describe_problem(refused) if advice is None else f"{status}: {advice}"


@dataclass(frozen=True)
class _Fetcher:
    hub_id: str
    revision: str | None
    offline: bool

    def fetch(self, name: str) -> Path | None:
        """Return the file in the cache, fetched if need be; None if there is none."""
        try:
            with _quiet_client():
                return Path(hf_hub_download(self.hub_id, name, revision=self.revision, local_files_only=self.offline))
        except EntryNotFoundError as missing:
            # The local kind says that it is not in the cache, which online means that the connection broke.
            if self.offline or not isinstance(missing, LocalEntryNotFoundError):
                return None
            reason = describe_refusal(missing.__cause__ if isinstance(missing.__cause__, Exception) else missing)
        except Exception as refused:  # noqa: BLE001 - as above; and what is wrong with the disk
            reason = describe_refusal(refused)
        raise ModelError(f"{name} of {self.hub_id} cannot be fetched ({reason}): {WAY_OUT}")

    def fetch_weights(self) -> bool:
        for name in WEIGHT_FILES:
            path = self.fetch(name)
            if path is None:
                continue
            divided = name.endswith(".index.json")
            for part in [self._fetch_shard(shard) for shard in _read_index(path)] if divided else [path]:
                _refuse_damage(part)
            return True
        return False

    def _fetch_shard(self, name: str) -> Path:
        path = self.fetch(name)
        if path is None:
            where = "in the Hugging Face cache" if self.offline else "on the hub"
            raise ModelError(f"{name} of {self.hub_id} is not {where}, though its index names it: {WAY_OUT}")
        return path


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Without a line for each of the client's attempts: what the last of them met is stated."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _read_index(path: Path) -> list[str]:
    """The files that an index divides the weights among."""
    try:
        return sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelError(f"{path} is no index of weights ({describe_problem(problem)}): {WAY_OUT}") from problem


def _refuse_damage(path: Path) -> None:
    """Compare a large file with the SHA-256 that the cache names it by, as the hub had it; its client does not."""
    stored = path.resolve()
    if not _SHA256.fullmatch(stored.name):
        return
    with stored.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != stored.name:
        raise ModelError(
            f"{path} is not what the hub has, its SHA-256 is {found}: expected {stored.name}; remove {stored}, and it "
            "is fetched again"
        )
