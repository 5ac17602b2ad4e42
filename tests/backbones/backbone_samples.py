"""Small models of every family, with weights that make attention and norms matter, and noise to feed them."""

from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig, WhisperFeatureExtractor

from ser_store.backbones.model import SpeechClassifier, build_config
from ser_store.inference.features import extract_features

CLASSES = ("angry", "calm", "happy")
# Seven convolutions as in the published models, two layers, nothing random in training.
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embedding_groups": 4,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
}
SMALL_WHISPER = {
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "final_dropout": 0.0,
}
NORMS: dict[str, dict[str, Any]] = {
    "group": {"feat_extract_norm": "group"},
    "group-stable": {"feat_extract_norm": "group", "do_stable_layer_norm": True},
    "layer": {"feat_extract_norm": "layer", "conv_bias": True},
    "layer-stable": {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    f"{family}-{norm}": (family, fields)
    for family in ("wav2vec2", "hubert", "unispeech", "wavlm")
    for norm, fields in NORMS.items()
}
VARIANTS["data2vec-audio"] = ("data2vec-audio", {"num_conv_pos_embeddings": 3})
VARIANTS["hubert-batch"] = ("hubert", {"conv_pos_batch_norm": True, **NORMS["layer"]})
VARIANTS["wav2vec2-adapter"] = ("wav2vec2", {"add_adapter": True, "adapter_attn_dim": 8, **NORMS["layer-stable"]})
VARIANTS["whisper"] = ("whisper", {})


def make_config(variant: str, **fields: Any) -> PreTrainedConfig:
    family, own = VARIANTS[variant]
    return AutoConfig.for_model(family, **{**(SMALL_WHISPER if family == "whisper" else SMALL), **own, **fields})


def make_model(variant: str, *, seed: int = 0, pooling: str = "mean", **fields: Any) -> SpeechClassifier:
    """A model whose weights are far from their initialisation, where all attention is alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = SpeechClassifier(build_config(make_config(variant, **fields), CLASSES, pooling=pooling))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.15 * torch.randn(parameter.shape, generator=generator)
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer += torch.rand(buffer.shape, generator=generator)
    return model.eval()


def make_utterances(*sample_counts: int, seed: int = 0) -> list[Tensor]:
    """Noise of unit variance whose level changes with time, as speech has it."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(count, generator=generator) * (1 + torch.sin(torch.linspace(0, 9, count)))
        for count in sample_counts
    ]


def prepare(model: Any, utterances: list[Tensor]) -> list[Tensor]:
    """What the model takes of utterances: log-mel frames ``(m, 80)`` for Whisper, else the samples."""
    if model.backbone.config.model_type != "whisper":
        return utterances
    extractor = WhisperFeatureExtractor()
    return [torch.from_numpy(extract_features(samples.numpy(), extractor)) for samples in utterances]


def pad(utterances: list[Tensor], *, with_value: float = 0.0) -> tuple[Tensor, Tensor]:
    """Values ``(b, t)`` and attention mask ``(b, t)``."""
    length = max(map(len, utterances))
    mask = torch.stack([(torch.arange(length) < len(samples)).long() for samples in utterances])
    values = torch.nn.utils.rnn.pad_sequence(utterances, batch_first=True, padding_value=with_value)
    return values, mask
