"""The one model for all families: backbone, masked pooling and a small head, saved as a Hugging Face model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES
from transformers.utils import ModelOutput

from ser_store.backbones.configuration import settle
from ser_store.backbones.description import POOLINGS, Head, Pooling, Statistic
from ser_store.backbones.families.invariance import count_samples, known_lengths, make_invariant
from ser_store.backbones.families.mel import UtteranceMelExtractor
from ser_store.backbones.halves import compute_upper, mask_frames
from ser_store.backbones.heads import ClassificationHead, LinearHead, SpeakerHead
from ser_store.common.auto_classes import MODEL_TYPE
from ser_store.errors import UnknownNameError, describe_unknown

_HEADS: dict[Head, Any] = {"dense": ClassificationHead, "linear": LinearHead, "linear-by-speaker": SpeakerHead}


class SpeechClassifierConfig(PreTrainedConfig):
    """What a :class:`SpeechClassifier` is built from.

    Args:
        backbone_config: the family's configuration, or its dictionary with ``model_type``.
        pooling: ``mean``, ``sum`` or ``max`` over the frames of the last hidden states.
        pooled_layers: of how many layers the hidden states are pooled, counted from the highest; the vectors stand one
            after the other, that of the lowest first.
        head_dropout: default: the backbone's ``final_dropout``.
        head: ``dense`` for :class:`ClassificationHead`, ``linear`` for :class:`LinearHead`, ``linear-by-speaker`` for
            :class:`SpeakerHead`.
        backbone_key: the name the backbone was asked for by.
        origin: where its weights come from, see :class:`ser_store.backbones.loading.LoadedModel`.
        trained_on: ids of the utterances that the weights learned from, by way of their labels.
        lora: of :func:`ser_store.backbones.lora.add_adapters`, where the weights that are kept are adapters of it.
        kwargs: transformers' own; ``id2label`` gives the classes in the order of the logits.
    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        backbone_config: Mapping[str, Any] | PreTrainedConfig | None = None,
        pooling: Pooling = "mean",
        pooled_layers: int = 1,
        head_dropout: float | None = None,
        head: Head = "dense",
        backbone_key: str = "",
        origin: Mapping[str, Any] | None = None,
        trained_on: Sequence[str] = (),
        lora: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        backbone = settle(_resolve_config(backbone_config))
        self.backbone_config = backbone
        self.pooling = pooling
        self.pooled_layers = pooled_layers
        self.head_dropout = getattr(backbone, "final_dropout", 0.1) if head_dropout is None else head_dropout
        self.head = head
        self.initializer_range = backbone.initializer_range
        self.backbone_key = backbone_key
        self.origin = dict(origin or {})
        self.trained_on = list(trained_on)
        self.lora = None if lora is None else dict(lora)
        super().__init__(**kwargs)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in the order of the logits."""
        return tuple(self.id2label[index] for index in range(len(self.id2label)))


def _resolve_config(given: Mapping[str, Any] | PreTrainedConfig | None) -> Any:
    if isinstance(given, PreTrainedConfig):
        return given
    # transformers builds every configuration once without arguments.
    fields = dict(given or {"model_type": "wav2vec2"})
    return AutoConfig.for_model(fields.pop("model_type"), **fields)


@dataclass
class SpeechClassifierOutput(ModelOutput):
    """``loss`` scalar or None, ``logits`` ``(b, c)``, ``pooled`` ``(b, d)``; hidden states are not kept.

    ``layers`` ``(b, n_layers, h · n_statistics)`` or None: what was asked for of each layer.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    pooled: Tensor | None = None
    layers: Tensor | None = None


@dataclass(frozen=True)
class LayerChoice:
    """Hidden states that are pooled, and how.

    Attributes:
        numbers: as in transformers' ``hidden_states``: 0 is what enters the first transformer layer, and their number
            is the top, ``last_hidden_state``; ascending.
        statistics: of each one's frames, one or several of ``mean``, ``sum``, ``max`` and ``std``; the vectors stand
            one after the other.
    """

    numbers: tuple[int, ...]
    statistics: tuple[Statistic, ...] = ("mean",)

    def pool(self, hidden_states: Sequence[Tensor], frame_counts: Sequence[int]) -> Tensor:
        """``(b, n_layers, h · n_statistics)`` float32."""
        return torch.stack(
            [
                torch.cat([pool_frames(hidden_states[number], frame_counts, one) for one in self.statistics], dim=1)
                for number in self.numbers
            ],
            dim=1,
        )


class SpeechClassifier(PreTrainedModel):
    """A backbone of any supported family with masked pooling and a classification head.

    What comes out for an utterance depends on the utterance and the weights alone: see
    :mod:`ser_store.backbones.families.invariance`.
    """

    config_class = SpeechClassifierConfig
    base_model_prefix = "backbone"
    main_input_name = "input_values"
    input_modalities = "audio"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True

    def __init__(self, config: SpeechClassifierConfig, backbone: PreTrainedModel | None = None) -> None:
        super().__init__(config)
        self.backbone = make_invariant(build_backbone(config.backbone_config) if backbone is None else backbone)
        size: int = config.backbone_config.hidden_size * config.pooled_layers
        self.classifier = _HEADS[config.head](size, len(config.classes), dropout=config.head_dropout)
        # Whether the hidden states of other layers than the last are classified.
        self.needs_states = config.pooled_layers > 1
        # Where it is above 0, what enters that layer is given instead of samples, and its frames are counted.
        self.entry_layer = 0
        # What the number of frames of a batch is a multiple of; compiled layers want few different ones.
        self.frame_multiple = 1
        self.post_init()
        # What FSDP shards as one, where accelerate's configuration does not say.
        self._no_split_modules = {type(layer).__name__ for layer in self.backbone.encoder.layers}

    def get_input_embeddings(self) -> None:
        """There are none: speech is no table to look up. FSDP through accelerate asks, and shards them if there are."""

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        rows: Tensor | None = None,
        lengths: Sequence[int] | None = None,
        sample_counts: Sequence[int] | None = None,
        layers: LayerChoice | None = None,
    ) -> SpeechClassifierOutput:
        """Return logits and pooled representations of a batch, and the cross entropy where labels are given.

        Args:
            input_values: ``(b, t)`` float32, mono at 16 kHz, each utterance normalised over its own samples as the
                feature extractor does it, padded on the right; for Whisper ``(b, t, n)``, t log-mel frames of n bins;
                where the model has an ``entry_layer``, ``(b, t, h)``, the t frames that enter it.
            attention_mask: ``(b, t)``, 1 for samples (mel frames) and 0 for padding; None where nothing is padded.
            labels: ``(b,)`` int64, indices of the classes.
            rows: ``(b,)``, indices into the corpus; not used, as ``lengths``: they travel with the batch.
            lengths: of each utterance, without padding.
            sample_counts: samples of each utterance, whose frames are pooled, or with an ``entry_layer`` these frames;
                default: those that ``attention_mask`` lets through. Where it is given, nobody waits for an accelerator
                to sum them up.
            layers: what else is pooled of this one forward pass.

        Raises:
            AudioError: if an utterance is too short for a single frame.
        """
        if attention_mask is None:
            attention_mask = torch.ones(input_values.shape[:2], dtype=torch.long, device=input_values.device)
        if sample_counts is None:
            samples_per_value = 1 if self.entry_layer else getattr(self.backbone, "samples_per_value", 1)
            sample_counts = (attention_mask.sum(dim=1) * samples_per_value).tolist()
        wanted = {"output_hidden_states": True} if layers is not None or self.needs_states else {}
        if self.entry_layer:
            frame_counts: Sequence[int] = sample_counts
            input_values = _pad_time(input_values, -input_values.shape[1] % self.frame_multiple)
            if self.training:
                input_values = mask_frames(input_values, frame_counts, self.config.backbone_config)
            states = compute_upper(self.backbone, self.entry_layer, input_values, frame_counts, **wanted)
            said = BaseModelOutput(states[-1], hidden_states=states)
        else:
            input_values, attention_mask = self._pad(input_values, attention_mask)
            with known_lengths(self.backbone, sample_counts) as frame_counts:
                said = self.backbone(input_values, attention_mask=attention_mask, **wanted)
        # Its releases do not agree on whether the last of the hidden states is behind the final layer norm.
        states = (*(said.hidden_states or ())[:-1], said.last_hidden_state)
        highest = states[-self.config.pooled_layers :]
        pooled = torch.cat([pool_frames(one, frame_counts, self.config.pooling) for one in highest], dim=1)
        logits = self.classify(said, pooled, frame_counts, attention_mask)
        loss = None if labels is None else functional.cross_entropy(logits, labels)
        chosen = None if layers is None else layers.pool(states, frame_counts)
        return SpeechClassifierOutput(loss=loss, logits=logits, pooled=pooled, layers=chosen)

    def classify(self, said: Any, pooled: Tensor, frame_counts: Sequence[int], attention_mask: Tensor) -> Tensor:
        """Return the logits ``(b, c)`` of what a backbone said, and of its last hidden states pooled."""
        logits: Tensor = self.classifier(pooled)
        return logits

    def _pad(self, input_values: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """As many frames as SpecAugment and compiled layers ask for; they change nothing of the utterances."""
        config, length = self.config.backbone_config, input_values.shape[1]
        masking = self.training and getattr(config, "apply_spec_augment", True) and config.mask_time_prob > 0
        if config.model_type == "whisper":
            values = 2 * self.frame_multiple if self.frame_multiple > 1 else 1
            missing = min(-length % values, max(self.backbone.window_frames - length, 0))
        else:
            # SpecAugment refuses batches with fewer frames than its mask is long.
            least = max(count_samples(config.mask_time_length, config) if masking else 0, length)
            frames = self.backbone.count_frames([least])[0]
            rounded = frames + -frames % self.frame_multiple
            missing = (least if rounded == frames else count_samples(rounded, config)) - length
        return _pad_time(input_values, missing), _pad_time(attention_mask, missing)


def _pad_time(values: Tensor, missing: int) -> Tensor:
    """``(b, t)`` or ``(b, t, n)`` with more zeros at the end of t."""
    beside = (0, 0) * (values.ndim - 2)
    return functional.pad(values, (*beside, 0, missing)) if missing else values


def build_backbone(config: PreTrainedConfig) -> Any:
    """Build the bare model of a family, its weights at random."""
    if config.model_type == "whisper":
        return find_backbone_class(config)._from_config(config)
    return AutoModel.from_config(config)


def find_backbone_class(config: PreTrainedConfig) -> Any:
    """Return the class that loads the bare model of a family by ``from_pretrained``."""
    if config.model_type == "whisper":
        from ser_store.backbones.families.whisper import WhisperBackbone

        return WhisperBackbone
    return AutoModel


def build_config(
    backbone_config: PreTrainedConfig, classes: Sequence[str], *, pooling: Pooling, **described: Any
) -> SpeechClassifierConfig:
    """Return the configuration of a classifier over a backbone; ``classes`` are in the order of its logits."""
    names = dict(enumerate(classes))
    return SpeechClassifierConfig(
        backbone_config,
        pooling,
        id2label=names,
        label2id={name: index for index, name in names.items()},
        **described,
    )


# The configuration itself is known by name: see ser_store.common.auto_classes.
AutoModel.register(SpeechClassifierConfig, SpeechClassifier, exist_ok=True)
AutoModelForAudioClassification.register(SpeechClassifierConfig, SpeechClassifier, exist_ok=True)
AutoFeatureExtractor.register(SpeechClassifierConfig, UtteranceMelExtractor, exist_ok=True)
MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES[MODEL_TYPE] = SpeechClassifier.__name__  # what the pipeline lets in


def pool_frames(hidden: Tensor, frame_counts: Sequence[int], pooling: Statistic) -> Tensor:
    """Pool frames to one vector per utterance, ``(b, h)`` float32 whatever the precision of ``hidden``.

    Args:
        hidden: ``(b, f, h)``, the frames of ``b`` utterances, padded on the right.
        frame_counts: how many of the ``f`` frames each utterance has, at least one.
        pooling: ``mean``, ``sum``, ``max`` or ``std``, the population standard deviation, over these frames.

    Raises:
        UnknownNameError: for any other pooling.
    """
    # So small a tensor is copied without waiting for the accelerator to come to the end of what it does.
    counts = torch.tensor(frame_counts).to(hidden.device, non_blocking=True)
    padded = torch.arange(hidden.shape[1], device=hidden.device) >= counts[:, None]
    if pooling == "max":
        return hidden.masked_fill(padded[:, :, None], -torch.inf).amax(dim=1).float()
    summed = hidden.masked_fill(padded[:, :, None], 0).sum(dim=1, dtype=torch.float32)
    if pooling == "sum":
        return summed
    mean = summed / counts[:, None]
    if pooling == "std":
        deviations = (hidden.float() - mean[:, None]).masked_fill(padded[:, :, None], 0)
        return (deviations.square().sum(dim=1) / counts[:, None]).sqrt()
    if pooling != "mean":
        raise UnknownNameError(describe_unknown("pooling", pooling, (*POOLINGS, "std")))
    return mean
