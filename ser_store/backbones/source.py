"""Where a backbone comes from: what a name means, and which folder has its configuration and weights."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from ser_store.backbones.catalogue import Backbone, lookup
from ser_store.backbones.checkpoint import load_config
from ser_store.backbones.description import INITS, Init
from ser_store.backbones.hub import fetch_checkpoint
from ser_store.common.checks import check_choice
from ser_store.errors import ModelError, UnknownNameError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Source:
    """A backbone that was found.

    Attributes:
        key: the catalogue's key, else the hub id or the folder's name.
        config: of its family, or of a saved classifier.
        folder: has the weights and the feature extractor, or None where nothing is read from disk.
        origin: ``hub_id``, ``revision``, ``folder`` (each a string or None) and ``init``.
    """

    key: str
    config: Any
    folder: Path | None
    origin: dict[str, Any]


def find_source(name: str, *, init: Init, checkpoint: Path | None) -> Source:
    """Find the backbone that ``name`` means, and fetch its files if need be.

    Args:
        name: key of the catalogue, hub id or local folder; the first two with ``@`` and a revision of the hub (branch,
            tag or commit) where it is not to be the catalogue's, or the latest.
        init: ``pretrained`` or ``random``.
        checkpoint: a local folder with the weights, instead of those that the name means.

    Raises:
        ModelError: if there are no weights, or others than the name says.
        UnknownNameError: if the name means nothing, or for an unknown ``init``.
    """
    check_choice("init", init, INITS)
    if checkpoint is not None and init == "random":
        raise ModelError(f"got both a checkpoint, {checkpoint}, and random initialisation: expected one of the two")
    local = Path(name).expanduser()
    name, _, revision = (name, "", "") if local.is_dir() else name.partition("@")
    entry = _find_entry(name, known_otherwise=local.is_dir() or _HUB_ID.fullmatch(name) is not None)
    if checkpoint is not None:
        key = entry.key if entry else local.name if local.is_dir() else name
        return _from_folder(key, checkpoint, entry=entry)
    if entry is None and local.is_dir():
        return _from_folder(local.name, local, init=init)
    if entry is not None and (entry.kind == "tiny" or init == "random"):
        config = AutoConfig.for_model(entry.architecture, **entry.config)
        return Source(entry.key, config, None, _describe_origin("random", hub_id=entry.hub_id))
    return _from_hub(name, entry, init, revision=revision or None)


def _find_entry(name: str, *, known_otherwise: bool) -> Backbone | None:
    try:
        entry = lookup(name)
    except UnknownNameError:
        if known_otherwise:
            return None
        raise
    if entry.kind == "acoustic":
        raise ModelError(
            f"{entry.key} is a feature set without weights, it cannot be trained: expected a transformer; "
            f"`extract()` caches it"
        )
    return entry


def _from_folder(key: str, folder: Path, *, init: Init = "pretrained", entry: Backbone | None = None) -> Source:
    if not folder.is_dir():
        raise ModelError(f"no such folder: {folder}; expected a checkpoint with config.json and its weights")
    config = load_config(folder)
    backbone = getattr(config, "backbone_config", config)
    found = (backbone.model_type, backbone.hidden_size, backbone.num_hidden_layers)
    if entry is not None and found != (entry.architecture, entry.hidden_size, entry.num_hidden_layers):
        raise ModelError(
            f"{folder} holds a {found[0]} of {found[2]} layers by {found[1]}: expected for {entry.key} a "
            f"{entry.architecture} of {entry.num_hidden_layers} by {entry.hidden_size}; name the folder itself as model"
        )
    origin = _describe_origin(init, hub_id=entry.hub_id if entry else None, folder=str(folder.resolve()))
    return Source(key, config, folder, origin)


def _from_hub(name: str, entry: Backbone | None, init: Init, *, revision: str | None) -> Source:
    hub_id = name if entry is None or entry.hub_id is None else entry.hub_id
    revision = revision or (entry.revision if entry else None)
    fetched = fetch_checkpoint(hub_id, revision=revision, with_weights=init == "pretrained")
    config = load_config(fetched.folder)
    origin = _describe_origin(init, hub_id=hub_id, revision=fetched.revision)
    return Source(entry.key if entry else hub_id, config, fetched.folder, origin)


def _describe_origin(
    init: Init, *, hub_id: str | None = None, revision: str | None = None, folder: str | None = None
) -> dict[str, Any]:
    return {"hub_id": hub_id, "revision": revision, "folder": folder, "init": init}
