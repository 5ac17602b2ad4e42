"""A family's configuration: what of it is ours to say, and what of it decides the numbers that come out."""

import json
from fnmatch import fnmatchcase
from typing import Any

import torch
from transformers import PreTrainedConfig

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


def settle(config: Any) -> Any:
    """The same configuration of a family, with what is not for a checkpoint to say, before a module is built by it."""
    for name, value in _OURS.items():
        if getattr(config, name, value) != value:
            setattr(config, name, value)
    return config


def describe_configuration(config: PreTrainedConfig) -> dict[str, Any]:
    """What decides the forward pass of a bare model beside its weights, as JSON has it.

    Of its fields, those that are not what transformers takes where nothing is stated: releases add some.
    """
    common = {*vars(PreTrainedConfig()), *_OURS}
    usual, stated = (_to_json(one.to_dict()) for one in (type(config)(), config))
    counting = {
        name: value
        for name, value in stated.items()
        if name not in common and not any(fnmatchcase(name, idle) for idle in _IDLE)
        if name not in usual or value != usual[name]
    }
    return {**counting, "model_type": config.model_type}


def _to_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
