"""FSDP: each process holds a shard of every weight, its gradient and its optimizer state, as accelerate is told to.

Layers are gathered from all processes just when they are computed, so that all must compute the same ones.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ser_store.errors import SerstoreError
from ser_store.training.checkpointing.checkpoints import Layout, find_layout

_WAY_OUT = "mend the file that `accelerate launch --config_file` names"


def is_sharded(accelerator: Any) -> bool:
    """Whether accelerate was told to shard what is trained."""
    return find_plugin(accelerator) is not None


def find_plugin(accelerator: Any) -> Any:
    """How accelerate was told to shard: its ``FullyShardedDataParallelPlugin``, or None."""
    return getattr(accelerator.state, "fsdp_plugin", None)


def read_plugin() -> Any:
    """What :func:`find_plugin` will give in a training, from the environment that ``accelerate launch`` makes.

    Raises:
        SerstoreError: for the first version of FSDP.
    """
    from accelerate.utils import FullyShardedDataParallelPlugin, parse_flag_from_env

    if not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return None
    _refuse_version(int(os.environ.get("FSDP_VERSION", "1")))  # which asks for an accelerator right away
    return FullyShardedDataParallelPlugin()


def choose_layout(plugin: Any) -> Layout:
    """How the Trainer's checkpoints will lie on disk."""
    if plugin is None:
        return Layout.PLAIN
    return Layout.FULL if plugin.state_dict_type.name == "FULL_STATE_DICT" else Layout.SHARDS


def refuse_configuration(plugin: Any, model: nn.Module) -> None:
    """Compare how accelerate is to shard with how this model can be.

    Raises:
        SerstoreError: naming the option and what it must be.
    """
    if plugin is None:
        return
    _refuse_version(plugin.fsdp_version)
    if plugin.activation_checkpointing:
        # accelerate 1.15 asks torch not to keep the state of the random generators (fsdp2_apply_ac).
        raise SerstoreError(
            "accelerate's configuration has fsdp_activation_checkpointing, which draws other dropout masks on the way "
            f"back than on the way forth: expected --gradient-checkpointing instead; {_WAY_OUT}"
        )

    known = {type(module).__name__ for module in model.modules()}
    for name in plugin.transformer_cls_names_to_wrap or ():
        if name not in known:
            raise SerstoreError(
                f"accelerate's configuration has fsdp_transformer_layer_cls_to_wrap {name}, and the model has no such "
                f"layer: expected {_name_layer(model)}, which is meant where the option is left out; {_WAY_OUT}"
            )


def _refuse_version(version: int) -> None:
    if version != 2:
        raise SerstoreError(
            f"accelerate's configuration has fsdp_version {version}: expected fsdp_version: 2; {_WAY_OUT}"
        )


def _name_layer(model: Any) -> str:
    return type(model.backbone.encoder.layers[0]).__name__


def refuse_other_layout(start: Path, accelerator: Any) -> None:
    """Compare the checkpoint that is gone on from with those that this training would write.

    Raises:
        SerstoreError: if they differ.
    """
    found, layout = find_layout(start), choose_layout(find_plugin(accelerator))
    if found is not layout:
        raise SerstoreError(
            f"{start} was written {found.value}: got a training {layout.value}; resume with the configuration of "
            "accelerate that the run was begun with"
        )


def keep_precision(accelerator: Any) -> None:
    """Leave what a model puts out as it was computed, and gradients on their way between processes in float32.

    In bf16, accelerate has both rounded to it, and the loss with them: 2.1579 would be 2.1562.
    """
    plugin = accelerator.state.fsdp_plugin
    if plugin.mixed_precision_policy is not None:
        plugin.mixed_precision_policy = replace(
            plugin.mixed_precision_policy, reduce_dtype=torch.float32, output_dtype=None
        )


def reduce_each_batch(accelerator: Any) -> None:
    """Add up the gradients of accumulated batches in shards, as they are exchanged after each.

    Exchanged after the last one alone, they would lie in each process as a whole until then.
    """
    accelerator.gradient_state.plugin_kwargs["sync_each_batch"] = True


def fit_for_shards(model: Any) -> None:
    """Change how a backbone of transformers computes, but not what, so that it can be sharded, in place.

    - Its encoder writes zeros for padding into the tensor that it is given. Where the encoder is sharded as one, that
      tensor is one of torch's, which may not be written to. (accelerate 1.15 takes encoders for a last normalisation
      that have "Norm" in their class's name, as five of the published six have.)
    - Its encoder skips layers that are dropped, in each process others, and so would wait for ever for the shards of a
      layer that another process does not compute. All layers are computed now, and the output of those that are dropped
      is passed over; their gradient is zero, as if they had been skipped.
    """
    encoder, config = model.backbone.encoder, model.backbone.config
    encoder.register_forward_pre_hook(_copy_hidden, with_kwargs=True)
    if config.layerdrop == 0:
        return
    # What transformers marks the models with that it shards itself: its encoders skip no layer then.
    encoder._is_fsdp_managed_module = True
    # WavLM's first layer makes the position bias of all, and is never dropped.
    for layer in encoder.layers[1 if config.model_type == "wavlm" else 0 :]:
        layer.register_forward_hook(_LayerDrop(config), with_kwargs=True)


def _copy_hidden(
    encoder: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A hook before an encoder, which is given hidden states ``(b, f, h)`` first."""
    if arguments:
        return (arguments[0].clone(), *arguments[1:]), named
    return arguments, {**named, "hidden_states": named["hidden_states"].clone()}


class _LayerDrop:
    """A hook after a layer, which is given and returns hidden states ``(b, f, h)`` first."""

    def __init__(self, config: Any) -> None:
        self._config = config

    def __call__(self, layer: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any], said: Any) -> Any:
        if not layer.training or torch.rand([]) >= self._config.layerdrop:
            return said
        hidden = arguments[0] if arguments else named["hidden_states"]
        if isinstance(said, tuple):
            return (_pass_over(said[0], hidden), *said[1:])
        return _pass_over(said, hidden)


def _pass_over(computed: Tensor, hidden: Tensor) -> Tensor:
    """``hidden``, with ``computed`` in its graph."""
    return torch.where(torch.zeros((), dtype=torch.bool, device=hidden.device), computed, hidden)


def may_leave_out_weights(model: Any) -> bool:
    """Whether some forward pass of training may do without a weight, which plain data parallelism has to look for."""
    config = model.backbone.config
    has_vector = getattr(model.backbone, "masked_spec_embed", None) is not None
    masks_frames = getattr(config, "apply_spec_augment", True) and config.mask_time_prob > 0
    return bool(config.layerdrop > 0 or (has_vector and not masks_frames))
