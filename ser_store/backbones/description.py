"""What is known of a backbone, as a value, and what can be chosen where one is built."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from ser_store.errors import ModelError

Kind = Literal["pretrained", "tiny", "acoustic"]
Init = Literal["pretrained", "random"]
Pooling = Literal["mean", "sum", "max"]
Head = Literal["dense", "linear", "linear-by-speaker"]
Statistic = Literal["mean", "sum", "max", "std"]
Context = Literal["utterance", "full"]
INITS: Final[tuple[str, ...]] = get_args(Init)
POOLINGS: Final[tuple[str, ...]] = get_args(Pooling)
HEADS: Final[tuple[str, ...]] = get_args(Head)
CONTEXTS: Final[tuple[str, ...]] = get_args(Context)

FAMILIES = ("wav2vec2", "hubert", "unispeech", "wavlm", "data2vec-audio", "whisper")

# The paper's tasks have eight emotions; its Table 6 counts their heads too.
HEAD_CLASSES = 8
BYTES_PER_FLOAT32 = 4


def refuse_speaker_head(head: Head, name: str) -> None:
    """Refuse to have utterances answered by a head that hears them among the others of their speaker.

    Raises:
        ModelError: naming the model.
    """
    if head == "linear-by-speaker":
        raise ModelError(
            f"the head of {name} hears how an utterance differs from the others of its speaker, and answers none "
            "alone: expected one that was trained as dense or linear; its answers to a corpus of known speakers are "
            "had by `extract()` with the checkpoint's folder as `model` and a `run` of its own"
        )


@dataclass(frozen=True)
class Backbone:
    """What turns a waveform at 16 kHz into a representation.

    Attributes:
        key: the name in commands and member names, e.g. ``hubert-xlarge``.
        name: the name in print, e.g. ``HuBERT x-large``.
        kind: ``pretrained`` (weights on the hub), ``tiny`` (random initialisation by nature, for the demo and for
            tests) or ``acoustic`` (a feature set without weights).
        architecture: the family, transformers' ``model_type``; for acoustic sets the toolkit.
        hub_id: the checkpoint on the Hugging Face hub, or None.
        revision: the commit on the hub that is meant, or None for its newest.
        hidden_size: numbers per pooled representation.
        num_hidden_layers: transformer layers.
        backbone_parameters: parameters without the classification head.
        parameters: with a head ``dense → tanh → dropout → out_proj`` for eight classes.
        bytes_fp32: size of these parameters in float32.
        pretraining: what it was trained on.
        hours: hours of speech it was pretrained on, or None if it was not.
        languages: the languages of that speech, or None.
        config: what its configuration says other than the family's defaults in transformers. The hub's own
            configuration wins wherever it can be read.
    """

    key: str
    name: str
    kind: Kind
    architecture: str
    hub_id: str | None
    revision: str | None
    hidden_size: int
    num_hidden_layers: int
    backbone_parameters: int
    parameters: int
    bytes_fp32: int
    pretraining: str
    hours: float | None
    languages: str | None
    config: Mapping[str, object] = field(default_factory=dict, repr=False, hash=False)

    def to_json(self) -> dict[str, object]:
        """Return all but the configuration, ready for :func:`json.dumps`."""
        return {name: value for name, value in vars(self).items() if name != "config"}


def describe_transformer(
    key: str,
    name: str,
    architecture: str,
    *,
    config: Mapping[str, object],
    parameters: int,
    pretraining: str = "none: random initialisation",
    hub_id: str | None = None,
    revision: str | None = None,
    hours: float | None = None,
    languages: str | None = None,
) -> Backbone:
    """Describe a transformer; ``parameters`` are the backbone's own."""
    hidden_size = config.get("hidden_size", config.get("d_model"))
    layers = config.get("num_hidden_layers", config.get("encoder_layers"))
    if not isinstance(hidden_size, int) or not isinstance(layers, int):
        raise TypeError(f"the configuration of {key} needs whole numbers for hidden_size and num_hidden_layers")
    dense, out_proj = hidden_size * (hidden_size + 1), HEAD_CLASSES * (hidden_size + 1)
    return Backbone(
        key=key,
        name=name,
        kind="tiny" if hub_id is None else "pretrained",
        architecture=architecture,
        hub_id=hub_id,
        revision=revision,
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        backbone_parameters=parameters,
        parameters=parameters + dense + out_proj,
        bytes_fp32=BYTES_PER_FLOAT32 * (parameters + dense + out_proj),
        pretraining=pretraining,
        hours=hours,
        languages=languages,
        config=config,
    )


def describe_features(key: str, name: str, size: int, what: str, *, toolkit: str = "torchaudio") -> Backbone:
    """Return a feature set of ``size`` numbers, which has no weights."""
    return Backbone(
        key=key,
        name=name,
        kind="acoustic",
        architecture=toolkit,
        hub_id=None,
        revision=None,
        hidden_size=size,
        num_hidden_layers=0,
        backbone_parameters=0,
        parameters=0,
        bytes_fp32=0,
        pretraining=f"none: {what}",
        hours=None,
        languages=None,
    )
