"""Classifiers as others trained and saved them: transformers' own ``…ForSequenceClassification``, and those of here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from ser_store.backbones.checkpoint import load_backbone, load_feature_extractor, load_weights
from ser_store.backbones.loading import LoadedModel, load_classifier
from ser_store.backbones.model import SpeechClassifier, build_config, pool_frames
from ser_store.backbones.source import find_source
from ser_store.common.auto_classes import MODEL_TYPE
from ser_store.errors import ModelError


class TransformersHead(PreTrainedModel):
    """transformers' own classifier: ``projector → mean over frames → classifier``, on the last layer or all, weighed.

    Both layers are linear, and so the mean comes first here. Weights have the names that they have there.
    """

    config_class = PreTrainedConfig

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        count = config.num_hidden_layers + 1
        self.layer_weights = nn.Parameter(torch.ones(count)) if config.use_weighted_layer_sum else None
        self.projector = nn.Linear(config.hidden_size, config.classifier_proj_size)
        self.classifier = nn.Linear(config.classifier_proj_size, config.num_labels)
        self.post_init()

    def forward(self, means: Tensor) -> Tensor:
        """Return the logits ``(b, c)`` of what the frames of each layer are on average, ``(b, n_layers, h)``."""
        weights = means.new_ones(1) if self.layer_weights is None else self.layer_weights.softmax(dim=0)
        logits: Tensor = self.classifier(self.projector((means * weights[:, None]).sum(dim=1)))
        return logits


class TransformersClassifier(SpeechClassifier):
    """A backbone under transformers' own classifier; what is pooled beside the logits is as of any other backbone."""

    def __init__(self, config: Any, backbone: PreTrainedModel, head: TransformersHead) -> None:
        super().__init__(config, backbone)
        self.classifier = head
        self.needs_states = head.layer_weights is not None

    def classify(self, said: Any, pooled: Tensor, frame_counts: Sequence[int], attention_mask: Tensor) -> Tensor:
        states = said.hidden_states if self.needs_states else (said.last_hidden_state,)
        if self.config.backbone_config.model_type == "whisper":
            # It averages over all thirty seconds, silence included.
            frame_counts = ((attention_mask.sum(dim=1) + 1) // 2).tolist()
        means = torch.stack([pool_frames(one, frame_counts, "mean") for one in states], dim=1)
        logits: Tensor = self.classifier(means)
        return logits


def load_trained(name: str, *, checkpoint: Path | None = None) -> LoadedModel:
    """Load a classifier with the head that it was saved with; its classes are those of its configuration.

    One of transformers says of an utterance what its own class says where the utterance passes it alone. Whisper is
    given thirty seconds around it, as there; what is longer passes it whole, where transformers cuts it off.

    Args:
        name: a local folder or hub id.
        checkpoint: a local folder with the weights, instead of those that the name means.

    Raises:
        ModelError: if there is no such classifier, or its weights cannot be loaded.
    """
    source = find_source(name, init="pretrained", checkpoint=checkpoint)
    folder, config = source.folder, source.config
    if folder is None:
        raise ModelError(f"{name} has no weights of its own: expected a folder or hub id of a trained classifier")
    if config.model_type == MODEL_TYPE:
        return load_classifier(folder)
    head, report = load_weights(TransformersHead, folder, config)
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise ModelError(
            f"{folder} holds no classifier of transformers, it lacks {lacking[0]}: expected one as "
            "AutoModelForAudioClassification saves it; leave `classifier` out to cache its representations alone"
        )
    loaded = load_backbone(folder, config)
    own = set(head.state_dict())
    classes = [str(config.id2label[place]) for place in range(config.num_labels)]
    described = build_config(
        loaded.backbone.config, classes, pooling="mean", backbone_key=source.key, origin=source.origin
    )
    extractor = load_feature_extractor(folder, config)
    return LoadedModel(
        TransformersClassifier(described, loaded.backbone, head).eval(),
        extractor,
        source.key,
        source.origin,
        loaded.missing_keys,
        tuple(key for key in loaded.unused_keys if key not in own),
        context="full" if config.model_type == "whisper" else "utterance",
    )
