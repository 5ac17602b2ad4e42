"""What a model takes of an utterance: normalised samples, or Whisper's log-mel frames."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.backbones.description import Context
from ser_store.backbones.families.mel import make_mel_frames

_NORMALISED = "16 kHz mono, each utterance normalised by the model's feature extractor, v1"
_MEL = "16 kHz mono, log-mel frames of each utterance by the model's feature extractor, v1"


def describe_preprocessing(extractor: Any) -> str:
    """Say what happens to the samples before the model sees them, for a member's provenance."""
    return _MEL if _makes_mel(extractor) else _NORMALISED


def extract_features(
    samples: NDArray[np.float32], extractor: Any, *, context: Context = "utterance"
) -> NDArray[np.float32]:
    """Make what a model takes of one utterance: normalised samples ``(n,)``, or ``(m, b)`` log-mel frames, float32.

    Args:
        extractor: the model's, as :mod:`ser_store.backbones.checkpoint` loads it.
        context: of log-mel frames, see :func:`~ser_store.backbones.families.mel.make_mel_frames`.

    Raises:
        AudioError: if the utterance is too short for a log-mel frame.
    """
    if not _makes_mel(extractor):
        # One utterance at a time: normalisation over a padded batch would depend on who else is in it.
        return np.asarray(extractor(samples, sampling_rate=SAMPLE_RATE).input_values[0], dtype=np.float32)
    return make_mel_frames(samples, extractor, context=context)


def count_samples_per_value(extractor: Any) -> int:
    """Return the samples between one value, or log-mel frame, and the next."""
    return int(extractor.hop_length) if _makes_mel(extractor) else 1


def _makes_mel(extractor: Any) -> bool:
    return bool(extractor.model_input_names[0] == "input_features")
