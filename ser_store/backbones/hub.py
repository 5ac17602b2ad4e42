"""Checkpoints of the Hugging Face hub, by way of its cache, as local folders."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from ser_store.errors import ModelError
from ser_store_h5.errors import describe_problem
from ser_store_h5.places.hub_files import HubFiles, RefusedError

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
WAY_OUT = "give a folder with its weights as `checkpoint`, or start from random ones: `init` random"
_SHA256 = re.compile("[0-9a-f]{64}")
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
    problem = HubFiles(hub_id, revision).find_problem("config.json")
    offline = bool(problem)
    # Under the name of its branch, so that the cache knows the branch when there is no network.
    files = HubFiles(hub_id, revision, offline=offline)
    config = _fetch(files, "config.json")
    if config is None:
        way_out = WAY_OUT if with_weights else WAY_OUT_WITHOUT_CONFIG
        raise ModelError(f"{files.describe_absence(problem or 'it has no config.json')}: {way_out}")
    commit = config.parent.name
    files = HubFiles(hub_id, commit, offline=offline)
    _fetch(files, "preprocessor_config.json")
    _fetch(files, "processor_config.json")
    if with_weights and not _fetch_weights(files):
        where = f"in the Hugging Face cache, and cannot be fetched ({problem})" if problem else "on the hub"
        raise ModelError(f"no weights of {hub_id} are {where}: expected one of {', '.join(WEIGHT_FILES)}; {WAY_OUT}")
    return HubCheckpoint(config.parent, commit)


def _fetch(files: HubFiles, name: str) -> Path | None:
    try:
        return files.fetch(name)
    except RefusedError as reason:
        raise ModelError(f"{name} of {files.repository} cannot be fetched ({reason}): {WAY_OUT}") from reason


def _fetch_weights(files: HubFiles) -> bool:
    for name in WEIGHT_FILES:
        path = _fetch(files, name)
        if path is None:
            continue
        divided = name.endswith(".index.json")
        for part in [_fetch_shard(files, shard) for shard in _read_index(path)] if divided else [path]:
            _refuse_damage(part)
        return True
    return False


def _fetch_shard(files: HubFiles, name: str) -> Path:
    path = _fetch(files, name)
    if path is None:
        where = "in the Hugging Face cache" if files.offline else "on the hub"
        raise ModelError(f"{name} of {files.repository} is not {where}, though its index names it: {WAY_OUT}")
    return path


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
