"""Models by name: built over a catalogue key, hub id or local folder, or loaded as they were saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ser_store.backbones.checkpoint import (
    FeatureExtractor,
    LoadedBackbone,
    has_feature_extractor,
    load_backbone,
    load_config,
    load_entries,
    load_feature_extractor,
    load_weights,
)
from ser_store.backbones.configuration import describe_configuration
from ser_store.backbones.description import CONTEXTS, HEADS, POOLINGS, Context, Head, Init, Pooling
from ser_store.backbones.lora import FRAME_VECTOR, add_adapters, load_adapters
from ser_store.backbones.model import SpeechClassifier, build_config
from ser_store.backbones.source import Source, find_source
from ser_store.common.auto_classes import MODEL_TYPE
from ser_store.common.checks import check_choice
from ser_store.errors import ModelError, SerstoreError


@dataclass(frozen=True)
class LoadedModel:
    """A classifier ready to train or to extract with.

    Attributes:
        model: in evaluation mode, on the CPU, float32.
        feature_extractor: makes of an utterance what the backbone was trained on: normalised samples, with attention
            mask, or log-mel frames.
        backbone_key: the catalogue's key, else the hub id or the folder's name.
        origin: ``hub_id``, ``revision`` and ``folder`` of the backbone's weights (each a string or None), ``init``
            (``pretrained`` or ``random``) and the ``seed`` of what was initialised at random.
        missing_keys: backbone weights that the checkpoint did not have, initialised at random.
        unused_keys: weights of the checkpoint that the model has no use for.
        trained_on: ids of the utterances that the weights have learned from, as far as their folder says.
        is_normalising_unasked: whether pretrained weights came without a word on how their samples were prepared.
        context: what Whisper looks at, the ``utterance`` or the ``full`` thirty seconds around it.
    """

    model: SpeechClassifier
    feature_extractor: FeatureExtractor
    backbone_key: str
    origin: dict[str, Any]
    missing_keys: tuple[str, ...] = ()
    unused_keys: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    is_normalising_unasked: bool = False
    context: Context = "utterance"

    @property
    def is_whisper(self) -> bool:
        """Whether its input is log-mel frames."""
        family: str = self.model.backbone.config.model_type
        return family == "whisper"

    def describe(self) -> dict[str, Any]:
        """Return what decides its numbers beside weights and precision, as a run's record keeps it."""
        config = self.model.backbone.config
        prepared = (
            {"context": self.context} if self.is_whisper else {"do_normalize": self.feature_extractor.do_normalize}
        )
        configuration = {**describe_configuration(config), **prepared}
        attention = config._attn_implementation
        own = self.model.config
        pooled = {"pooling": own.pooling, **({"pooled_layers": own.pooled_layers} if own.pooled_layers > 1 else {})}
        return {"configuration": configuration, "attention": attention, **pooled}


def build_model(
    name: str | Source,
    *,
    classes: Sequence[str],
    pooling: Pooling = "mean",
    pooled_layers: int = 1,
    head: Head = "dense",
    num_hidden_layers: int | None = None,
    init: Init = "pretrained",
    checkpoint: Path | None = None,
    seed: int = 0,
    context: Context = "utterance",
) -> LoadedModel:
    """Build a classifier with a new head over the backbone called ``name``.

    Args:
        name: key of the catalogue, hub id or local folder; or what that was found to mean.
        classes: in the order of the logits.
        pooling: ``mean``, ``sum`` or ``max``.
        pooled_layers: as the head, see :class:`~ser_store.backbones.model.SpeechClassifierConfig`.
        head: ``dense``, ``linear`` or ``linear-by-speaker``.
        num_hidden_layers: how many transformer layers are kept, from the lowest; default: all.
        init: ``pretrained`` or ``random`` backbone weights; the ``tiny-*`` presets know only random ones.
        checkpoint: a local folder that has the pretrained weights, instead of the hub.
        seed: of the head and of everything else that is initialised at random.
        context: what Whisper looks at: the ``utterance``, or the ``full`` thirty seconds it was trained on, of which
            the frames of the utterance are pooled.

    Raises:
        ModelError: if the weights cannot be had or do not fit; says what to do instead.
        UnknownNameError: for an unknown name, pooling, head, init or context.
    """
    for what, chosen, known in (("context", context, CONTEXTS), ("pooling", pooling, POOLINGS), ("head", head, HEADS)):
        check_choice(what, chosen, known)
    source = name if isinstance(name, Source) else find_source(name, init=init, checkpoint=checkpoint)
    backbone_family = getattr(source.config, "backbone_config", source.config).model_type
    if context != "utterance" and backbone_family != "whisper":
        raise ModelError(
            f"{source.key} is a {backbone_family}, which takes utterances of any length: expected a whisper for "
            f"the context {context}; leave `whisper_context` out"
        )
    origin = {**source.origin, "seed": seed}
    # Only torch's generator for the CPU is drawn from, and it is given back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        loaded = _load_backbone(source)
        backbone_config = source.config if loaded.backbone is None else loaded.backbone.config
        if num_hidden_layers is not None:
            keep_layers(loaded.backbone, backbone_config, num_hidden_layers)
        if pooled_layers > backbone_config.num_hidden_layers + 1:
            raise ModelError(
                f"`pooled_layers` is {pooled_layers}: expected at most {backbone_config.num_hidden_layers + 1}, the "
                "layers of the backbone and what enters them"
            )
        described = {"pooled_layers": pooled_layers, "head": head, "backbone_key": source.key, "origin": origin}
        config = build_config(backbone_config, classes, pooling=pooling, **described)
        model = SpeechClassifier(config, loaded.backbone).eval()
    extractor = load_feature_extractor(source.folder, model.backbone.config)
    is_guessed = source.origin["init"] == "pretrained" and not has_feature_extractor(source.folder)
    return LoadedModel(
        model,
        extractor,
        source.key,
        origin,
        loaded.missing_keys,
        loaded.unused_keys,
        trained_on=() if source.origin["init"] == "random" else tuple(getattr(source.config, "trained_on", ())),
        is_normalising_unasked=is_guessed and backbone_family != "whisper",
        context=context,
    )


def keep_layers(backbone: Any, config: Any, count: int) -> None:
    """Leave out all but the lowest transformer layers, in place; what follows the last one follows the last kept.

    Args:
        backbone: of this configuration, or None where it is still to be built.

    Raises:
        ModelError: if there are fewer.
    """
    config = getattr(config, "backbone_config", config)
    if count > config.num_hidden_layers:
        raise ModelError(
            f"`num_hidden_layers` is {count}: expected at most the {config.num_hidden_layers} layers of the backbone"
        )
    config.num_hidden_layers = count
    if backbone is not None:
        backbone.encoder.layers = backbone.encoder.layers[:count]


def load_classifier(folder: Path) -> LoadedModel:
    """Load a fine-tuned classifier, as ``save_pretrained`` and the Trainer write it.

    Raises:
        ModelError: if ``folder`` is not such a folder, or its weights are not complete.
    """
    config = load_config(folder)
    if config.model_type != MODEL_TYPE:
        raise ModelError(
            f"{folder} holds a bare {config.model_type}: expected a classifier saved by fine-tuning; "
            f"`finetune()` makes one, with this folder as `checkpoint`"
        )
    if config.lora is None:
        model, report = load_weights(SpeechClassifier, folder, config)
    else:
        model, report = _load_adapted(folder, config)
    differing = sorted(report["missing_keys"] | report["unexpected_keys"])
    if differing:
        raise ModelError(
            f"the weights in {folder} are not those of its config.json: {len(differing)} missing or left over, the "
            f"first is {differing[0]}; expected a complete checkpoint, copy or save it again"
        )
    return LoadedModel(
        model.eval(),
        load_feature_extractor(folder, model.backbone.config),
        config.backbone_key,
        dict(config.origin),
        trained_on=tuple(config.trained_on),
        is_normalising_unasked=not has_feature_extractor(folder) and model.backbone.config.model_type != "whisper",
    )


def _load_adapted(folder: Path, config: Any) -> tuple[SpeechClassifier, dict[str, set[str]]]:
    """The whole classifier of a checkpoint that keeps what LoRA added to a backbone; and which names differ."""
    origin = config.origin
    pinned = f"{origin['hub_id']}@{origin['revision']}" if origin["revision"] else config.backbone_key
    base = origin["folder"] or pinned
    try:
        adapted = build_model(
            base,
            classes=config.classes,
            pooled_layers=config.pooled_layers,
            head=config.head,
            num_hidden_layers=config.backbone_config.num_hidden_layers,
            init=origin["init"],
            seed=origin["seed"],
        ).model
    except SerstoreError as problem:
        raise ModelError(
            f"{folder} keeps what LoRA added to {base}, which cannot be had ({problem}): expected the weights that it "
            "was trained from; bring them back"
        ) from problem
    add_adapters(adapted, **config.lora)
    kept = load_entries(folder)
    names = {name for name in adapted.state_dict() if name != FRAME_VECTOR}
    config.lora = None
    model = SpeechClassifier(config)
    whole = load_adapters(adapted, kept)
    model.load_state_dict({name: entry for name, entry in whole.items() if name in model.state_dict()})
    return model, {"missing_keys": names - set(kept), "unexpected_keys": set(kept) - names - {FRAME_VECTOR}}


def find_classifier(source: Source) -> LoadedModel | None:
    """Return the trained classifier that a source is, or None if it is a bare backbone.

    Raises:
        ModelError: if its weights are not complete.
    """
    if source.folder is None or source.origin["init"] == "random" or source.config.model_type != MODEL_TYPE:
        return None
    return load_classifier(source.folder)


def _load_backbone(source: Source) -> LoadedBackbone:
    if source.folder is None or source.origin["init"] == "random":
        return LoadedBackbone(None, (), ())
    if source.config.model_type == MODEL_TYPE:
        classifier = load_classifier(source.folder).model
        unused = tuple(f"classifier.{name}" for name in classifier.classifier.state_dict())
        return LoadedBackbone(classifier.backbone, (), unused)
    return load_backbone(source.folder, source.config)
