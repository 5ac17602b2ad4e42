"""What an extraction is known by, and how to ask for the same of other recordings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_store.common.provenance import list_differences
from ser_store.errors import ModelError
from ser_store_h5.runs import RunRecord

# What must agree for numbers to be the ones that would be computed, and how to call it.
IDENTITY = {
    "model_digest": "model weights",
    "attention": "attention",
    "preprocessing": "preprocessing",
    "pooling": "pooling",
    "layers": "layers",
    "precision": "precision",
    "window_seconds": "windows",
    "speed": "speed",
    "classes": "classes",
}


def list_identity_differences(held: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Return in what two members were not computed alike, by their provenance; the recordings apart."""
    differing = [word for key, word in IDENTITY.items() if held.get(key) != asked.get(key)]
    configuration = asked.get("configuration", {})
    if configuration and "configuration" not in held:
        differing.append("or unknown configuration")
    return differing + list_differences(held.get("configuration", configuration), configuration)


def list_options(record: RunRecord, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of :func:`ser_store.extract` that give the same of other recordings.

    Args:
        record: of the run.
        provenance: of its member.

    Raises:
        ModelError: if it is no extraction of a frozen backbone or feature set.

    >>> list_options(RunRecord("mfcc", "frozen", "mfcc", details={"origin": {"feature_set": "mfcc"}}), {})
    {'model': 'mfcc', 'run': 'mfcc'}
    """
    origin = record.details.get("origin")
    if record.kind != "frozen" or not isinstance(origin, Mapping):
        raise ModelError(
            f"run {record.run} is of kind {record.kind}: expected an extraction of a frozen backbone or feature set, "
            "which can be made again for other recordings"
        )
    options: dict[str, Any] = {"model": record.backbone, "run": record.run}
    if "feature_set" in origin:
        return options
    if origin.get("revision") and "@" not in record.backbone:
        options["model"] = f"{record.backbone}@{origin['revision']}"
    if origin.get("folder") and not Path(record.backbone).is_dir():
        options["checkpoint"] = origin["folder"]
    pooling = str(provenance.get("pooling", "mean"))
    options["pooling" if pooling in ("mean", "sum", "max") else "statistics"] = pooling
    options |= {key: origin[key] for key in ("init", "seed") if key in origin}
    options |= {key: provenance[key] for key in ("layers", "precision", "window_seconds", "speed") if key in provenance}
    if "whisper_context" in record.details:
        options["whisper_context"] = record.details["whisper_context"]
    return options
