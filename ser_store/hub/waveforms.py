"""A fine-tuned model as one module from waveforms to logits, which other programs than Python's can run."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize


class WaveformClassifier(nn.Module):
    """Waveforms in, logits out: features, backbone, pooling and head of a classifier.

    The waveforms of a batch are of one length, so that nothing is padded and nothing masked.

    Args:
        loaded: a :class:`~ser_store.backbones.loading.LoadedModel`, whose backbone loses the parametrisation of its
            weights to what they come to.
    """

    def __init__(self, loaded: Any) -> None:
        super().__init__()
        self.backbone, self.head = loaded.model.backbone, loaded.model.classifier
        self.pooling, self.pooled_layers = loaded.model.config.pooling, loaded.model.config.pooled_layers
        self.is_whisper = loaded.is_whisper
        self.prepare: nn.Module = nn.Identity()
        if self.is_whisper:
            self.prepare = LogMel(loaded.feature_extractor)
        elif loaded.feature_extractor.do_normalize:
            self.prepare = Normalisation()
        for module in list(self.backbone.modules()):
            for name in list(getattr(module, "parametrizations", ())):
                parametrize.remove_parametrizations(module, name)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the logits ``(b, c)`` of waveforms ``(b, t)`` float32, mono at 16 kHz, full scale ±1."""
        states = self._encode(self.prepare(waveform))[-self.pooled_layers :]
        logits: Tensor = self.head(torch.cat([self._pool(one) for one in states], dim=1))
        return logits

    def _pool(self, hidden: Tensor) -> Tensor:
        if self.pooling == "max":
            return hidden.amax(dim=1)
        return hidden.sum(dim=1) if self.pooling == "sum" else hidden.mean(dim=1)

    def _encode(self, values: Tensor) -> tuple[Tensor, ...]:
        """The hidden states ``(b, f, h)``, the last ones after all normalisation."""
        if not self.is_whisper:
            said = self.backbone(values, output_hidden_states=True)
            return (*said.hidden_states[:-1], said.last_hidden_state)
        encoder = self.backbone.encoder
        hidden = functional.gelu(encoder.conv2(functional.gelu(encoder.conv1(values)))).permute(0, 2, 1)
        hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
        entering = []
        for layer in encoder.layers:
            entering.append(hidden)
            hidden = layer(hidden, None)
        return (*entering, encoder.layer_norm(hidden))


class Normalisation(nn.Module):
    """Each waveform to zero mean and unit variance, as transformers' ``Wav2Vec2FeatureExtractor`` does."""

    def forward(self, waveform: Tensor) -> Tensor:
        apart = waveform - waveform.mean(dim=1, keepdim=True)
        return apart / torch.sqrt(apart.square().mean(dim=1, keepdim=True) + 1e-7)


class LogMel(nn.Module):
    """Whisper's log-mel frames ``(b, n, m)`` by convolutions, as transformers' ``WhisperFeatureExtractor`` does.

    The Fourier transform of a window is a product with cosines and sines, which every runtime has.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.hop, self.reach = extractor.hop_length, extractor.n_fft // 2
        places = np.arange(extractor.n_fft)
        angles = 2 * np.pi * np.outer(np.arange(self.reach + 1), places) / extractor.n_fft
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * places / extractor.n_fft)
        waves = np.concatenate([np.cos(angles), np.sin(angles)]) * hann
        self.register_buffer("window", torch.tensor(waves[:, None], dtype=torch.float32))
        # The energy of a wave is the sum of both squares.
        filters = np.concatenate([extractor.mel_filters, extractor.mel_filters]).T
        self.register_buffer("filters", torch.tensor(filters, dtype=torch.float32))

    def forward(self, waveform: Tensor) -> Tensor:
        padded = functional.pad(waveform[:, None], (self.reach, self.reach), mode="reflect")
        waves = functional.conv1d(padded, self.window, stride=self.hop)[:, :, :-1]
        energies = torch.matmul(self.filters, waves.square())
        frames = energies.clamp(min=1e-10).log10()
        loudest = frames.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(frames, loudest - 8.0) + 4.0) / 4.0
