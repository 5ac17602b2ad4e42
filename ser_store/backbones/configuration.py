"""A family's configuration: what of it is ours to say, and what of it decides the numbers that come out."""

import json
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import torch
from transformers import PreTrainedConfig, WhisperConfig

_OURS = {
    # The representation is that of the transformer: wav2vec2's optional convolutional adapter sees padding.
    "add_adapter": False,
    "gradient_checkpointing": False,  # the recipe's to say, and of old configurations
    "output_attentions": False,
    "output_hidden_states": False,
    "return_dict": True,
    "dtype": torch.float32,
}
# What training draws, what other heads and pretraining read, and how weights begin. All else counts, known or not.
_IDLE = (
    *("_*", "*_dropout", "*_token_id", "*codevector*", "adapter_kernel_size", "adapter_stride", "apply_spec_augment"),
    *("classifier_proj_size", "contrastive_*", "ctc_*", "diversity_*", "initializer_range", "layerdrop", "mask_*"),
    *("num_adapter_layers", "num_ctc_classes", "num_negatives", "output_hidden_size", "replace_prob", "tdnn_*"),
    *("use_weighted_layer_sum", "vocab_size", "xvector_output_dim"),
)
# Whisper's, whatever its size.
SAMPLES_PER_MEL_FRAME = 160
# Of Whisper, whose decoder is left out.
_IDLE_OF_WHISPER = (
    *("begin_suppress_tokens", "decoder_*", "dropout", "encoder_layerdrop", "init_std", "is_encoder_decoder"),
    *("max_target_positions", "median_filter_width", "suppress_tokens", "tie_word_embeddings", "use_cache"),
)


class WhisperEncoderConfig(WhisperConfig):
    """Whisper's configuration under the names that the other families have."""

    attribute_map: ClassVar[dict[str, str]] = {
        **WhisperConfig.attribute_map,
        "layerdrop": "encoder_layerdrop",
        "initializer_range": "init_std",
    }


def settle(config: Any) -> Any:
    """Set what is not for a checkpoint to say in a family's configuration, before a module is built by it."""
    if config.model_type == "whisper" and not isinstance(config, WhisperEncoderConfig):
        config = WhisperEncoderConfig.from_dict(config.to_dict())
    for name, value in _OURS.items():
        if getattr(config, name, value) != value:
            setattr(config, name, value)
    return config


def describe_configuration(config: PreTrainedConfig) -> dict[str, Any]:
    """Return what decides the forward pass of a bare model beside its weights, ready for JSON.

    Of its fields, those that are not what transformers takes where nothing is stated: releases add some.
    """
    common = {*vars(PreTrainedConfig()), *_OURS}
    idle = (*_IDLE, *_IDLE_OF_WHISPER) if config.model_type == "whisper" else _IDLE
    usual, stated = (_to_json(one.to_dict()) for one in (type(config)(), config))
    counting = {
        name: value
        for name, value in stated.items()
        if name not in common and not any(fnmatchcase(name, pattern) for pattern in idle)
        if name not in usual or value != usual[name]
    }
    return {**counting, "model_type": config.model_type}


def _to_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
