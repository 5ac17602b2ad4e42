"""LoRA: what is added to the weights of a backbone's layers is of low rank, and it alone is trained beside the head.

A parametrisation of torch is seen by all that reads a weight. peft's wrapped modules are passed by: WavLM's attention
hands the weights of its projections to torch, and so 16 of 24 adapters would have no gradient.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

# The projections of attention, then of the feed-forward part, as the families call them.
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense", "fc1", "fc2")
_ORIGINAL = ".parametrizations.weight.original"
FRAME_VECTOR = "backbone.masked_spec_embed"  # a checkpoint of the backbone may have had none


class LowRank(nn.Module):
    """Adds ``scale · B A`` to a weight ``(out, in)``, with A ``(rank, in)`` and B ``(out, rank)``, which begins at 0.

    Outside of training the products are summed one after the other, as IEEE 754 rounds each: read from a checkpoint, on
    whatever device, the weights are bit by bit those that the evaluations of the training had.
    """

    def __init__(self, weight: Tensor, *, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(weight.shape[1])  # as peft, by Kaiming's rule with a slope of √5
        first = torch.empty(rank, weight.shape[1], device="cpu").uniform_(-bound, bound, generator=generator)
        self.lora_A = nn.Parameter(first.to(weight.device))
        self.lora_B = nn.Parameter(torch.zeros(len(weight), rank, device=weight.device))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        if self.training:
            return weight + self.scale * (self.lora_B @ self.lora_A)
        return self.merge(weight)

    def merge(self, weight: Tensor) -> Tensor:
        """Return the sum, rounded alike everywhere."""
        added = torch.zeros_like(weight)
        for column, row in zip(self.lora_B.T, self.lora_A, strict=True):
            added = added + column[:, None] * row
        return weight + self.scale * added


def add_adapters(model: Any, *, rank: int, alpha: float, frozen_layers: int = 0, seed: int = 0) -> None:
    """Adapt the projections of a classifier's layers, and train these adapters and the head alone, in place.

    A state dict of the model has them alone from then on.

    Source: Hu et al., LoRA, ICLR 2022.

    Args:
        rank: of what is added.
        alpha: what is added is multiplied by alpha / rank.
        frozen_layers: how many layers are left as they are, counted from the lowest.
        seed: of what A begins with.
    """
    generator = torch.Generator().manual_seed(seed)
    model.backbone.requires_grad_(False)
    for layer in model.backbone.encoder.layers[frozen_layers:]:
        for name, module in list(layer.named_modules()):
            if name.rpartition(".")[2] in _PROJECTIONS:
                added = LowRank(module.weight, rank=rank, scale=alpha / rank, generator=generator)
                parametrize.register_parametrization(module, "weight", added.train(module.training), unsafe=True)
    model.config.lora = {"rank": rank, "alpha": alpha, "frozen_layers": frozen_layers}
    model.register_state_dict_post_hook(_keep_trained)


def _keep_trained(model: Any, entries: dict[str, Any], prefix: str, _: Any) -> None:
    """Leave of a state dict what a checkpoint of the backbone does not have."""
    for name in list(entries):
        own = name.removeprefix(prefix)
        if not own.startswith("classifier.") and ".lora_" not in own and own != FRAME_VECTOR:
            del entries[name]


def iter_whole(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The entries of a model's state dict, by the names and with the values that it has without adapters."""
    if getattr(getattr(model, "config", None), "lora", None) is None:
        yield from model.state_dict().items()
        return
    modules = dict(model.named_modules())
    for part in ("backbone", "classifier"):
        for name, entry in modules[part].state_dict(prefix=f"{part}.").items():
            owner, original, _ = name.partition(_ORIGINAL)
            if original and name.endswith(_ORIGINAL):
                added: Any = modules[f"{owner}.parametrizations.weight.0"]
                yield f"{owner}.weight", added.merge(entry)
            elif ".lora_" not in name:
                yield name, entry


def load_adapters(model: Any, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give a model with adapters what a state dict of it kept; returns the whole state dict without them."""
    model.load_state_dict(kept, strict=False)
    with torch.no_grad():
        whole = dict(iter_whole(model))
    own = {name: entry for name, entry in kept.items() if ".lora_" not in name}
    return {**whole, **own}
