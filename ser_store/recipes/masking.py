"""Masking: SpecAugment and layer drop of a backbone while it trains."""

from dataclasses import dataclass, fields
from typing import Any

from ser_store.errors import SerstoreError
from ser_store.recipes.validation import check_share, check_whole

_PROBABILITIES = ("mask_time_prob", "mask_feature_prob", "layerdrop")
_LENGTHS = ("mask_time_length", "mask_feature_length")
# A minute. Batches are padded to the length of a mask, and utterances shorter than one are not masked.
_MAX_LENGTH = 3_000


@dataclass(frozen=True)
class Masking:
    """SpecAugment and layer drop in training. None keeps the value of the backbone's configuration.

    Sources: Park et al., SpecAugment, Interspeech 2019, on the frames of the feature encoder as in Baevski et al.,
    wav2vec 2.0, NeurIPS 2020; Fan et al., LayerDrop, ICLR 2020.

    Attributes:
        mask_time_prob: share of the frames that is masked, 0 to 1.
        mask_time_length: frames (20 ms; Whisper's mel frames 10 ms) of one mask; utterances that are shorter are not
            masked.
        mask_feature_prob: share of the channels (Whisper: mel bins) that is masked, 0 to 1.
        mask_feature_length: channels of one mask.
        layerdrop: probability that a transformer layer is skipped, 0 to 1.

    >>> import ser_store as ss
    >>> ss.Recipe(masking=Masking(layerdrop=0.1)) == ss.Recipe().changed(layerdrop=0.1)
    True
    """

    mask_time_prob: float | None = None
    mask_time_length: int | None = None
    mask_feature_prob: float | None = None
    mask_feature_length: int | None = None
    layerdrop: float | None = None

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            if getattr(self, name) is not None:
                check_share(name, getattr(self, name))
        for name in _LENGTHS:
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), at_least=1, at_most=_MAX_LENGTH)


def mask(model: Any, masking: Masking, *, seed: int) -> None:
    """Set the masking of a classifier's backbone, in place.

    Args:
        seed: of the vector that stands for a masked frame, where the backbone has had none so far.

    Raises:
        SerstoreError: if a mask over the channels is longer than there are channels.
    """
    stated = {name: value for name, value in vars(masking).items() if value is not None}
    if not stated:
        return
    backbone = model.backbone
    configs = {id(config): config for config in _iter_configs(model)}.values()
    for config in configs:
        for name, value in stated.items():
            setattr(config, name, value)
        if any(name.startswith("mask_") for name in stated):
            config.apply_spec_augment = True
        if not hasattr(config, "mask_feature_min_masks"):
            config.mask_feature_min_masks = 0  # WavLM reads it, and its configuration has none
    config = backbone.config
    channels = config.num_mel_bins if config.model_type == "whisper" else config.hidden_size
    if config.mask_feature_prob > 0 and config.mask_feature_length >= channels:
        raise SerstoreError(
            f"mask_feature_length is {config.mask_feature_length}: expected less than the {channels} channels that the "
            "backbone masks"
        )
    _fit_masked_embedding(backbone, seed=seed)


def read_masking(model: Any) -> Masking:
    """Return the masking that a classifier's backbone is trained with, all values resolved."""
    config = model.backbone.config
    stated = {entry.name: getattr(config, entry.name, None) for entry in fields(Masking)}
    if not getattr(config, "apply_spec_augment", True):
        stated |= {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    return Masking(**stated)


def _iter_configs(model: Any) -> Any:
    """All copies of the backbone's configuration: each module of transformers keeps the one it was built from."""
    yield model.config.backbone_config
    for module in model.backbone.modules():
        config = getattr(module, "config", None)
        if hasattr(config, "mask_time_prob"):
            yield config


def _fit_masked_embedding(backbone: Any, *, seed: int) -> None:
    """A backbone has a vector for masked frames exactly where its configuration masks; a checkpoint is read by that."""
    import torch

    config = backbone.config
    if config.model_type == "whisper":
        return  # masks mel frames and bins, with zeros
    is_masking = config.mask_time_prob > 0 or config.mask_feature_prob > 0
    has_vector = getattr(backbone, "masked_spec_embed", None) is not None
    if is_masking and not has_vector:
        generator = torch.Generator().manual_seed(seed)
        backbone.masked_spec_embed = torch.nn.Parameter(torch.rand(config.hidden_size, generator=generator))
    elif has_vector and not is_masking:
        del backbone.masked_spec_embed
