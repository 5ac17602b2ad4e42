"""A freshly built classifier as its recipe wants it, before the first step."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.loading import LoadedModel
from ser_store.backbones.lora import add_adapters
from ser_store.backbones.model import SpeechClassifier, SpeechClassifierConfig
from ser_store.errors import ModelError, SerstoreError
from ser_store.inference.features import describe_preprocessing
from ser_store.inference.frozen_states import FrozenStates, digest_frozen, find_frozen_folder
from ser_store.recipes.masking import mask, read_masking
from ser_store.recipes.recipe import Recipe
from ser_store.training.optimizer import freeze

# Lengths between these need no graph of their own, and attention kernels of a GPU want multiples of 8.
_FRAME_MULTIPLE = 16
_MOST_GRAPHS = 16  # of one piece of code; torch gives up after eight
_COMPILERS = ("g++", "clang++", "c++", "cl")


def prepare(model: Any, recipe: Recipe) -> None:
    """Masking, frozen parameters, attention, gradient checkpointing and compiled layers, in place.

    Raises:
        ModelError: if the backbone has no attention of this kind, or it is not installed.
        SerstoreError: if the recipe does not fit the backbone.
    """
    mask(model, recipe.masking, seed=recipe.seed)
    skipped = read_masking(model).layerdrop
    if recipe.pooled_layers > 1 and skipped:
        raise SerstoreError(
            f"`pooled_layers` is {recipe.pooled_layers} and layers are skipped with `layerdrop` {skipped}, of which "
            "there is nothing to pool: expected 0; choose `layerdrop` 0"
        )
    freeze(model, recipe)
    if recipe.lora is not None:
        alpha = 2 * recipe.lora if recipe.lora_alpha is None else recipe.lora_alpha
        add_adapters(model, rank=recipe.lora, alpha=alpha, frozen_layers=recipe.frozen_layers, seed=recipe.seed)
    if recipe.attn_implementation is not None:
        set_attention(model, recipe.attn_implementation)
    if recipe.gradient_checkpointing:
        # Renamed in the course of transformers 5; without arguments both names do the same.
        model_type: Any = type(model)
        getattr(model_type, "activation_checkpointing_enable", model_type.gradient_checkpointing_enable)(model)
    if recipe.torch_compile:
        compile_layers(model)


def count_parameters(config: SpeechClassifierConfig, recipe: Recipe) -> tuple[int, int]:
    """Count all parameters of a classifier, and those of them that the recipe trains; no memory is taken for them."""
    with torch.device("meta"):
        model = SpeechClassifier(config)
        prepare(model, recipe)
    counts = [(one.numel(), one.requires_grad) for one in model.parameters()]
    return sum(count for count, _ in counts), sum(count for count, is_trained in counts if is_trained)


def open_frozen_states(store: Path, loaded: LoadedModel, recipe: Recipe) -> FrozenStates | None:
    """Have a prepared model enter above its frozen layers; returns what keeps what those say, beside the store.

    None where the recipe does not ask for it.

    Raises:
        SerstoreError: if the model masks channels of what the frozen layers hear, or pools frozen layers.
    """
    if not recipe.cache_frozen:
        return None
    features = read_masking(loaded.model).mask_feature_prob
    if features:
        raise SerstoreError(
            f"`cache_frozen` is on and `mask_feature_prob` is {features}, which hides from the frozen layers something "
            "else in each epoch: expected 0; `mask_time_prob` masks what they say"
        )
    above = loaded.model.config.backbone_config.num_hidden_layers - recipe.frozen_layers
    if recipe.pooled_layers > above + 1:
        raise SerstoreError(
            f"`cache_frozen` is on and `pooled_layers` is {recipe.pooled_layers}: expected at most {above + 1}, the "
            f"layers above the {recipe.frozen_layers} frozen ones and what enters them"
        )
    loaded.model.entry_layer = recipe.frozen_layers
    identity = f"{digest_frozen(loaded.model)} {describe_preprocessing(loaded.feature_extractor)}"
    return FrozenStates(find_frozen_folder(store), identity=identity, precision=recipe.precision)


def set_attention(model: Any, attention: str) -> None:
    """Have a classifier's backbone compute its attention by this implementation, in place.

    Raises:
        ModelError: if the backbone has no such attention, or it is not installed.
    """
    backbone = model.backbone
    family = backbone.config.model_type
    try:
        with quiet_transformers():
            backbone.set_attn_implementation(attention)
    except (ImportError, ValueError) as problem:
        reason = " ".join(str(problem).split())[:160]
        raise ModelError(
            f"attention {attention} cannot be had for {family} here ({reason}): choose eager or sdpa, or leave "
            "`attn_implementation` out"
        ) from problem
    if backbone.config._attn_implementation != attention:
        raise ModelError(f"{family} has an attention of its own and not {attention}: leave `attn_implementation` out")


def compile_layers(model: Any, *, backend: str = "inductor") -> None:
    """Have torch compile the layers of a classifier's transformer, in place; names of weights stay as they are.

    The layers do nearly all of the work, and all of them share one graph for training and one for evaluation, whatever
    the length and the size of a batch, and one more each for batches of a single utterance. For that, all batches get
    a mask, padded or not, and a multiple of 16 frames. Of WavLM, whose first layer differs, there are twice as many.
    The whole model cannot be compiled so: it counts frames and makes masks in
    Python, where every length asks for another graph, and those that inductor makes for the rest fail on a CPU
    (``assert_size_stride``, torch 2.11).

    Args:
        model: a :class:`~ser_store.backbones.model.SpeechClassifier`.
        backend: of ``torch.compile``.

    Raises:
        SerstoreError: if there is no C++ compiler, which the default backend needs.
    """
    if backend == "inductor" and not any(map(shutil.which, (os.environ.get("CXX", ""), *_COMPILERS))):
        raise SerstoreError(
            f"`torch_compile` found no C++ compiler: expected one of {', '.join(_COMPILERS)} on the PATH; install one, "
            "name it by CXX, or leave `torch_compile` out"
        )
    limits: Any = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, _MOST_GRAPHS)
    model.frame_multiple, model.backbone.always_masked = _FRAME_MULTIPLE, True
    for layer in model.backbone.encoder.layers:
        layer.compile(backend=backend, dynamic=True)


def copy_before_encoder(model: Any) -> None:
    """Give the encoder of a backbone hidden states of its own, into which it writes zeros for padding, in place.

    Where the encoder is sharded as one, those that it is given are torch's, which may not be written to. (accelerate
    1.15 takes encoders for a last normalisation that have "Norm" in their class's name, as five of the published six.)
    """
    model.backbone.encoder.register_forward_pre_hook(_copy_hidden, with_kwargs=True)


def _copy_hidden(
    encoder: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A hook before an encoder, which is given hidden states ``(b, f, h)`` first."""
    if arguments:
        return (arguments[0].clone(), *arguments[1:]), named
    return arguments, {**named, "hidden_states": named["hidden_states"].clone()}


def may_leave_out_weights(model: Any) -> bool:
    """Whether some forward pass of training may do without a weight, which plain data parallelism has to look for."""
    config = model.backbone.config
    has_vector = getattr(model.backbone, "masked_spec_embed", None) is not None
    masks_frames = getattr(config, "apply_spec_augment", True) and config.mask_time_prob > 0
    return bool(config.layerdrop > 0 or (has_vector and not masks_frames))
