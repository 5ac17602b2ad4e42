"""What made a member, made ready once more: it gives of other recordings what the member holds of its corpus."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

from ser_store.backbones.description import Pooling, Statistic
from ser_store.errors import ModelError, require
from ser_store.extraction.network import Passes, prepare_network
from ser_store.extraction.sources import (
    Extractor,
    prepare_backbone,
    prepare_checkpoint,
    prepare_feature_set,
)
from ser_store.inference.transforms import play
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

_WAY_OUT = "name the folder that has them with `checkpoint`"
# What must be as it was, and how to call it; the rest is set to what it was.
_SAME = {"model_digest": "weights", "preprocessing": "preprocessing", "configuration": "configuration"}


def prepare_again(
    store: Store, member: str, passes: Passes, *, layers: Collection[int | None], checkpoint: Path | None
) -> Extractor:
    """Return what gives the representations and logits of an extracted or fine-tuned member for ``passes``' recordings.

    Args:
        store: has the member.
        member: its name.
        passes: of which layers, statistics and windows, and the precision where none is stated, become the member's.
        layers: that are wanted of those it has; None for the last.
        checkpoint: a folder with the weights, where they do not lie where they did.

    Raises:
        ModelError: if its weights are not there any more, or are others.
        MissingExtraError: without the ``train`` extra.
    """
    run, step = store.resolve(member)
    record, made = store.run(run), store.describe_member(member).provenance
    passes = replace(passes, recordings=play(passes.recordings, made.get("speed", 1)))
    features = find_feature_set(store, member)
    require("torch" if features else "transformers")
    if features:
        return _check_same(prepare_feature_set(store, features, run=run, passes=passes), made)
    pooling = str(made["pooling"]).split(",")
    is_plain = len(pooling) == 1 and pooling[0] in get_args(Pooling)
    held = made.get("layers", ())
    repeated = replace(
        passes,
        precision=passes.precision or made["precision"],
        layers=tuple(sorted({max(held) if one is None else one for one in layers})) if held else "last",
        statistics=() if is_plain else cast(tuple[Statistic, ...], tuple(pooling)),
        window_seconds=made.get("window_seconds", math.inf),
    )
    if record.kind == "finetune":
        return _check_same(prepare_checkpoint(store, run, step=step, checkpoint=checkpoint, passes=repeated), made)
    known = _prepare_frozen(store, record, repeated, checkpoint, pooling=pooling[0] if is_plain else "mean")
    return _check_same(known, made)


def find_feature_set(store: Store, member: str) -> str | None:
    """Return the key of the acoustic feature set that made a member; None where a network did."""
    record = store.run(store.resolve(member)[0])
    key = record.details.get("origin", {}).get("feature_set") if record.kind == "frozen" else None
    return None if key is None else str(key)


def find_classifier(name: str) -> tuple[Path, tuple[str, ...]]:
    """Return folder and classes of the fine-tuned classifier that a folder or hub id means, fetched if need be.

    Raises:
        ModelError: if there is none, or it is no classifier of ours.
        MissingExtraError: without the ``train`` extra.
    """
    require("transformers")
    from ser_store.backbones.source import find_source
    from ser_store.common.auto_classes import MODEL_TYPE

    source = find_source(name, init="pretrained", checkpoint=None)
    if source.folder is None or source.config.model_type != MODEL_TYPE:
        raise ModelError(
            f"{name} is a bare {source.config.model_type}, which answers nothing: expected a classifier that "
            "`finetune()` saved or `push_to_hub()` published"
        )
    return source.folder, tuple(source.config.classes)


def prepare_classifier(folder: Path, name: str, passes: Passes) -> Extractor:
    """Return what gives the logits of a classifier as ``finetune()`` saves it, which no store need know."""
    from ser_store.backbones.loading import load_classifier

    loaded = load_classifier(folder)
    precision = passes.precision or "fp32"
    identity, compute = prepare_network(loaded, passes, member=name, with_logits=True, precision=precision)
    return Extractor(RunRecord(loaded.backbone_key, "finetune", loaded.backbone_key), 0, identity, compute)


def _prepare_frozen(
    store: Store, record: RunRecord, passes: Passes, checkpoint: Path | None, *, pooling: str
) -> Extractor:
    origin: Mapping[str, Any] = record.details.get("origin", {})
    folder, revision = origin.get("folder"), origin.get("revision")
    name = record.backbone
    if checkpoint is not None:
        name = str(checkpoint)
    elif folder is not None:
        if not Path(folder).is_dir():
            raise ModelError(f"run {record.run} was extracted with the weights in {folder}, which is gone: {_WAY_OUT}")
        name = str(folder)
    elif revision and "@" not in name and origin.get("init") == "pretrained":
        name = f"{name}@{revision}"
    options = {
        "init": "pretrained" if checkpoint else origin.get("init", "pretrained"),
        "seed": origin.get("seed", 0),
        "pooling": pooling,
        "context": record.details.get("whisper_context", "utterance"),
    }
    return prepare_backbone(store, name, run=record.run, passes=passes, **options)


def _check_same(extractor: Extractor, made: Mapping[str, Any]) -> Extractor:
    """Refuse what gives other numbers than the member was made of.

    Raises:
        ModelError: saying what differs.
    """
    found = {key: word for key, word in _SAME.items() if key in made and made[key] != extractor.identity.get(key)}
    if found:
        raise ModelError(
            f"{extractor.name} was made by a model of other {' and '.join(found.values())} than the one that is there "
            f"now: expected the same; {_WAY_OUT}"
        )
    return extractor
