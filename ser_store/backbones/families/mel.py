"""Whisper's log-mel frames of an utterance as long as it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import BatchFeature, WhisperFeatureExtractor

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.backbones.description import Context
from ser_store.errors import AudioError


def make_mel_frames(
    samples: NDArray[np.float32], extractor: WhisperFeatureExtractor, *, context: Context = "utterance"
) -> NDArray[np.float32]:
    """Return the log-mel frames of one utterance, ``(m, n)`` float32, m frames of n bins.

    Args:
        samples: ``(t,)``, mono at 16 kHz.
        extractor: has the number of bins.
        context: ``utterance`` for its t // 160 frames, ``full`` for as many as Whisper has positions for, or a
            multiple, of which those after the utterance are silence.

    Raises:
        AudioError: if the utterance is too short for a frame.
    """
    shortest = extractor.n_fft // 2 + 1  # the first frame mirrors half a window
    if len(samples) < shortest:
        raise AudioError(
            f"an utterance of {len(samples)} samples is shorter than one frame: expected at least {shortest} samples "
            "at 16 kHz; leave the recording out"
        )
    to_windows = {"padding": "longest", "pad_to_multiple_of": extractor.n_samples}
    padding: dict[str, Any] = to_windows if context == "full" else {"padding": "do_not_pad"}
    given = {"sampling_rate": SAMPLE_RATE, "truncation": False, **padding}
    frames = WhisperFeatureExtractor.__call__(extractor, samples, **given).input_features[0]
    return np.ascontiguousarray(np.transpose(frames), dtype=np.float32)


class UtteranceMelExtractor(WhisperFeatureExtractor):
    """What makes of utterances what a fine-tuned Whisper of this package takes: their own frames, and a mask.

    transformers' own fills up to thirty seconds with silence, of which the model would hear more than of the utterance.
    """

    def __call__(
        self,
        raw_speech: NDArray[np.float32] | Sequence[Any],
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        **_: Any,
    ) -> BatchFeature:
        """Return ``input_values`` ``(b, m, n)`` float32, padded with zeros, and ``attention_mask`` ``(b, m)``.

        Args:
            raw_speech: the samples of an utterance, or of several.
            sampling_rate: of the samples, which has to be 16 kHz.
            return_tensors: ``pt`` or ``np``.

        Raises:
            AudioError: if an utterance is too short, or sampled at another rate.
        """
        if sampling_rate not in (None, self.sampling_rate):
            raise AudioError(f"samples at {sampling_rate} Hz: expected {self.sampling_rate} Hz; resample them first")
        utterances = [raw_speech] if np.ndim(raw_speech[0]) == 0 else raw_speech
        frames = [make_mel_frames(np.asarray(one, dtype=np.float32), self) for one in utterances]
        longest = max(map(len, frames))
        values = np.stack([np.pad(own, ((0, longest - len(own)), (0, 0))) for own in frames])
        mask = np.array([[place < len(own) for place in range(longest)] for own in frames], dtype=np.int64)
        return BatchFeature({"input_values": values, "attention_mask": mask}, tensor_type=return_tensors)
