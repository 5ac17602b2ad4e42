"""What of a model is trained, how fast, and against which loss."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Trainer

from ser_store.errors import SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store.recipes.validation import check_names

_LAYER = re.compile(r"backbone\.encoder\.layers\.(\d+)\.")


def freeze(model: Any, recipe: Recipe) -> None:
    """Leave the feature encoder, or the first transformer layers and all below them, as they are, in place.

    Dropout and layer drop stay on in what is frozen.

    Raises:
        SerstoreError: if the backbone has fewer layers.
    """
    count = len(model.backbone.encoder.layers)
    if recipe.frozen_layers > count:
        raise SerstoreError(
            f"`frozen_layers` is {recipe.frozen_layers}: expected at most the {count} layers of the backbone"
        )
    if recipe.freeze_feature_encoder or recipe.frozen_layers:
        freeze_convolutions(model.backbone)
    if recipe.frozen_layers:
        for name, parameter in model.named_parameters():
            if _find_depth(name, model) <= recipe.frozen_layers:
                parameter.requires_grad_(False)


def freeze_convolutions(backbone: Any) -> None:
    if backbone.config.model_type == "whisper":
        backbone.freeze_feature_encoder()
    else:
        backbone.feature_extractor._freeze_parameters()


def make_optimizer_groups(model: Any, recipe: Recipe) -> list[dict[str, Any]]:
    """AdamW's parameter groups with layer-wise learning rates, the head's first.

    With L transformer layers and a decay δ, the head and what lies above the last layer learn with η, layer l (1 to L)
    with η·δ^(L + 1 - l), and everything below the first layer with η·δ^(L + 1). Weight decay leaves out biases and
    normalisations, as the Trainer does. The head may have a rate of its own.

    Sources: Howard & Ruder, ACL 2018 (discriminative fine-tuning); Clark et al., ELECTRA, ICLR 2020 (the decay).

    Returns:
        Groups with ``params``, ``lr`` and ``weight_decay``; each parameter that is trained is in exactly one.
    """
    layers = len(model.backbone.encoder.layers)
    # The method asks nothing of the trainer that it belongs to.
    decaying = set(Trainer.get_decay_parameter_names(None, model))
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth = layers + 2 if name.startswith("classifier.") else _find_depth(name, model)
            groups.setdefault((depth, name in decaying), []).append(parameter)
    return [
        {
            "params": groups[depth, decays],
            "lr": _find_rate(depth, layers, recipe),
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for depth, decays in sorted(groups, reverse=True)
    ]


def _find_rate(depth: int, layers: int, recipe: Recipe) -> float:
    """The peak learning rate at a depth, see :func:`_find_depth`; the head is one deeper than what is above all."""
    if depth > layers + 1:
        return recipe.head_learning_rate or recipe.learning_rate
    return recipe.learning_rate * recipe.layer_decay ** (layers + 1 - depth)


def _find_depth(name: str, model: Any) -> int:
    """0 for what lies below the transformer layers, 1 to L for these, L + 1 for what lies above them."""
    layers = len(model.backbone.encoder.layers)
    found = _LAYER.match(name)
    if found is not None:
        return int(found[1]) + 1
    # Normalised after the last layer where layer norm comes first in each, and before the first layer elsewhere.
    is_last = name.startswith("backbone.encoder.layer_norm.") and _is_stable(model.backbone.config)
    return layers + 1 if is_last or not name.startswith("backbone.") else 0


def _is_stable(config: Any) -> bool:
    return config.model_type == "whisper" or bool(getattr(config, "do_stable_layer_norm", False))


class Loss:
    """Cross entropy with class weights and label smoothing: torch's, with its weighted mean.

    ``loss(logits (b, c), labels (b,))`` is a scalar in float32. The mean of a batch is that of its parts weighted by
    :meth:`weigh`, which matters where a batch is computed in parts.
    """

    def __init__(self, class_weights: Tensor | None, *, label_smoothing: float) -> None:
        self._weights = class_weights
        self._smoothing = label_smoothing

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights = self._place_weights(logits.device)
        return functional.cross_entropy(logits.float(), labels, weights, label_smoothing=self._smoothing)

    def weigh(self, labels: Tensor) -> float | Tensor:
        """What these utterances count in a mean: the sum of their classes' weights, where they are, or their number."""
        weights = self._place_weights(labels.device)
        return float(len(labels)) if weights is None else weights[labels].sum()

    def _place_weights(self, device: torch.device) -> Tensor | None:
        """Bring the weights to the device once."""
        if self._weights is not None and self._weights.device != device:
            self._weights = self._weights.to(device)
        return self._weights


def make_loss(recipe: Recipe, class_counts: Mapping[str, int]) -> Loss:
    """The loss a recipe asks for.

    Args:
        class_counts: training utterances of each class, in the order of the logits. ``balanced`` weights a class by
            n / (classes × its count), as scikit-learn does.

    Raises:
        UnknownNameError: for weights of a class that the corpus does not have.
        SerstoreError: if the weights are to be balanced and a class has no training utterance.
    """
    weights = _compute_class_weights(recipe.class_weights, class_counts)
    return Loss(weights, label_smoothing=recipe.label_smoothing_factor)


def _compute_class_weights(stated: str | Mapping[str, float], counts: Mapping[str, int]) -> Tensor | None:
    if stated == "none":
        return None
    if isinstance(stated, Mapping):
        check_names("class in class_weights", list(stated), list(counts))
        return torch.tensor([float(stated.get(label, 1)) for label in counts])
    missing = [label for label, count in counts.items() if count == 0]
    if missing:
        raise SerstoreError(
            f"no training utterance is {missing[0]}: expected some of each class to balance them; give `class_weights` "
            "by class, or choose another `split`"
        )
    total = sum(counts.values())
    return torch.tensor([total / (len(counts) * count) for count in counts.values()])
