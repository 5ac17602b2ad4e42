"""A freshly built classifier as its recipe wants it, before the first step."""

from typing import Any

from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.errors import ModelError
from ser_store.recipes.masking import mask
from ser_store.recipes.recipe import Recipe
from ser_store.training.compiling import compile_layers
from ser_store.training.optimizer import freeze


def prepare(model: Any, recipe: Recipe) -> None:
    """Masking, frozen parameters, attention, gradient checkpointing and compiled layers, in place.

    Raises:
        ModelError: if the backbone has no attention of this kind, or it is not installed.
        SerstoreError: if the recipe does not fit the backbone.
    """
    mask(model, recipe.masking, seed=recipe.seed)
    freeze(model, recipe)
    if recipe.attention is not None:
        set_attention(model, recipe.attention)
    if recipe.gradient_checkpointing:
        # Renamed in the course of transformers 5; without arguments both names do the same.
        model_type: Any = type(model)
        getattr(model_type, "activation_checkpointing_enable", model_type.gradient_checkpointing_enable)(model)
    if recipe.compile:
        compile_layers(model)


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
            "--attention out"
        ) from problem
    if backbone.config._attn_implementation != attention:
        raise ModelError(
            f"{family} has an attention of its own and not {attention}: leave --attention out for this backbone"
        )
