"""The small classifiers on pooled representations that are trained with a backbone."""

import torch
from torch import Tensor, nn
from torch.nn import functional

# Where all utterances of a speaker are alike, they differ in nothing.
_LEAST_VARIANCE = 1e-12


class ClassificationHead(nn.Module):
    """``dropout → dense → tanh → dropout → out_proj``, in float32 whatever the precision around it.

    In half precision, logits lie on a grid on which the first place is often shared.

    The head of the published recipe: that of RoBERTa's sequence classification in transformers, which the widely
    copied ``Wav2Vec2ForSpeechClassification`` for speech emotion recognition took over.
    """

    def __init__(self, hidden_size: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(hidden_size, classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the logits ``(b, c)`` float32 of pooled representations ``(b, h)``."""
        with torch.autocast(pooled.device.type, enabled=False):
            hidden = torch.tanh(_apply(self.dense, self.dropout(pooled.float())))
            return _apply(self.out_proj, self.dropout(hidden))


class LinearHead(nn.Module):
    """``standardise → dropout → out_proj``, in float32: a linear probe, which training may begin from.

    ``mean`` and ``scale`` ``(h,)`` of the standardisation are set once, and are not trained.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, hidden_size: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(hidden_size))
        self.register_buffer("scale", torch.ones(hidden_size))
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(hidden_size, classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the logits ``(b, c)`` float32 of pooled representations ``(b, h)``."""
        with torch.autocast(pooled.device.type, enabled=False):
            standardised = (pooled.float() - self.mean.float()) / self.scale.float()
            return _apply(self.out_proj, self.dropout(standardised))


class SpeakerHead(nn.Module):
    """``standardise over the batch → dropout → out_proj``, in float32, of a batch whose utterances are of one speaker.

    What it hears of an utterance is how it differs from the others of its speaker. One alone differs from none: its
    logits are NaN, but in training, where it stands at the speaker's mean.
    """

    def __init__(self, hidden_size: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(hidden_size, classes)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the logits ``(b, c)`` float32 of pooled representations ``(b, h)``."""
        with torch.autocast(pooled.device.type, enabled=False):
            variance, mean = torch.var_mean(pooled.float(), dim=0, correction=0)
            standardised = (pooled.float() - mean) / (variance + _LEAST_VARIANCE).sqrt()
            logits = _apply(self.out_proj, self.dropout(standardised))
        return logits if self.training or len(pooled) > 1 else torch.full_like(logits, torch.nan)


def _apply(layer: nn.Linear, values: Tensor) -> Tensor:
    """In float32, also where the weights are held, or gathered by FSDP, in half precision."""
    if layer.weight.dtype == torch.float32:
        applied: Tensor = layer(values)
        return applied
    return functional.linear(values, layer.weight.float(), layer.bias.float())
