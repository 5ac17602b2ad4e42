"""Where numbers came from: versions, hardware, and which recordings."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.corpus import Corpus

_PACKAGES = (
    "ser-store",
    "numpy",
    "h5py",
    "torch",
    "torchaudio",
    "transformers",
    "accelerate",
    "scikit-learn",
    "soundfile",
    "opensmile",
)


def list_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that numbers depend on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def list_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the fields in which two configurations of a model differ, each with both values."""
    both = {name: [_show(one, name) for one in (before, now)] for name in sorted(before.keys() | now.keys())}
    return [f"{name} ({there}, now {here})" for name, (there, here) in both.items() if there != here]


def _show(configuration: Mapping[str, Any], name: str) -> str:
    return json.dumps(configuration[name]) if name in configuration else "its default"


def describe_hardware() -> dict[str, Any]:
    """Return processor, cores and accelerators. Loads torch, so call it only where torch is loaded anyway."""
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count(), "gpus": gpus}


def digest_recordings(corpus: Corpus, rows: NDArray[np.integer[Any]]) -> str | None:
    """Return the SHA-256 (hex) over the audio digests of the utterances ``rows``; None for a corpus without audio."""
    if corpus.audio_digests is None:
        return None
    return hashlib.sha256(np.ascontiguousarray(corpus.audio_digests[rows]).tobytes()).hexdigest()
