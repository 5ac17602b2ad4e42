"""Checkpoints of the Hugging Face hub, by way of its cache, as local folders."""

import json
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from ser_store.backbones.checkpoint import describe_problem
from ser_store.errors import ModelError

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
WAY_OUT = "give a folder with its weights by --checkpoint DIR, or start from random ones with --init random"
_ADVICE = {
    # The hub says the same of what is private and of what is not there.
    401: "not there, or private: see `hf auth login`",
    403: "not open to you: accept its terms on its page, then `hf auth login`",
    404: "the hub has no such model, revision or file",
    429: "too many requests: wait, or log in with `hf auth login`",
    500: "the hub itself has a problem: try again later",
}
WAY_OUT_WITHOUT_CONFIG = "name a local folder with its config.json instead, or a backbone of `serstore models`"


@dataclass(frozen=True)
class HubCheckpoint:
    """A checkpoint in the cache: its folder, and the commit on the hub that it is."""

    folder: Path
    revision: str


def fetch_checkpoint(hub_id: str, *, revision: str | None = None, with_weights: bool = True) -> HubCheckpoint:
    """Configuration, feature extractor and (``with_weights``) weights of ``hub_id``; from the cache without network.

    Raises:
        ModelError: if it can neither be fetched nor found in the cache.
    """
    problem = _find_problem(hub_id, revision)
    offline = bool(problem)
    # Under the name of its branch, so that the cache knows the branch when there is no network.
    config = _Fetcher(hub_id, revision, offline).fetch("config.json")
    if config is None:
        reason = problem or "it has no config.json"
        way_out = WAY_OUT if with_weights else WAY_OUT_WITHOUT_CONFIG
        raise ModelError(f"{hub_id} cannot be fetched ({reason}) and is not in the Hugging Face cache: {way_out}")
    commit = config.parent.name
    fetcher = _Fetcher(hub_id, commit, offline)
    fetcher.fetch("preprocessor_config.json")
    fetcher.fetch("processor_config.json")
    if with_weights and not fetcher.fetch_weights():
        where = f"in the Hugging Face cache, and cannot be fetched ({problem})" if problem else "on the hub"
        raise ModelError(f"no weights of {hub_id} are {where}: expected one of {', '.join(WEIGHT_FILES)}; {WAY_OUT}")
    return HubCheckpoint(config.parent, commit)


def _find_problem(hub_id: str, revision: str | None) -> str:
    """What the hub or the network has against ``hub_id``, or nothing."""
    # One request without retries: left to itself, the hub's client tries for 23 seconds per file without network.
    try:
        get_hf_file_metadata(hf_hub_url(hub_id, "config.json", revision=revision))
    except Exception as refused:  # noqa: BLE001 - the HTTP client, and so its errors, differs between hub releases
        return describe_refusal(refused)
    return ""


def describe_refusal(refused: Exception) -> str:
    """What the hub or the network had against a request, with what to do about it where that is known."""
    status = getattr(getattr(refused, "response", None), "status_code", None)
    advice = None if status is None else _ADVICE.get(min(status, 500))
    return describe_problem(refused) if advice is None else f"{status}: {advice}"


@dataclass(frozen=True)
class _Fetcher:
    hub_id: str
    revision: str | None
    offline: bool

    def fetch(self, name: str) -> Path | None:
        """The file in the cache, fetched if need be; None if there is none."""
        try:
            return Path(hf_hub_download(self.hub_id, name, revision=self.revision, local_files_only=self.offline))
        except EntryNotFoundError as missing:
            # The local kind says that it is not in the cache, which online means that the connection broke.
            if self.offline or not isinstance(missing, LocalEntryNotFoundError):
                return None
            reason = describe_problem(missing)
        except Exception as refused:  # noqa: BLE001 - as above; and what is wrong with the disk
            reason = describe_refusal(refused)
        raise ModelError(f"{name} of {self.hub_id} cannot be fetched ({reason}): {WAY_OUT}")

    def fetch_weights(self) -> bool:
        for name in WEIGHT_FILES:
            path = self.fetch(name)
            if path is None:
                continue
            if name.endswith(".index.json"):
                shards = sorted(set(json.loads(path.read_text())["weight_map"].values()))
                return all(self.fetch(shard) is not None for shard in shards)
            return True
        return False
