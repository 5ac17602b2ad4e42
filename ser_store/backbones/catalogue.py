"""The catalogue of backbones: what is known of each by name, without network, torch or transformers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ser_store.errors import UnknownNameError, describe_unknown

Kind = Literal["pretrained", "tiny", "acoustic"]

FAMILIES = ("wav2vec2", "hubert", "unispeech", "wavlm", "data2vec-audio")
WAY_OUT = f"or any hub id (org/name) or local folder of the families {', '.join(FAMILIES)}"

HEAD_CLASSES = 8
BYTES_PER_FLOAT32 = 4


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
        """All but the configuration, ready for :func:`json.dumps`."""
        return {name: value for name, value in vars(self).items() if name != "config"}


def lookup(key: str) -> Backbone:
    """The backbone called ``key``, which may also be the hub id of one in the catalogue.

    Raises:
        UnknownNameError: naming the nearest keys.
    """
    for backbone in list_backbones():
        if key == backbone.key or (backbone.hub_id is not None and key == backbone.hub_id):
            return backbone
    raise UnknownNameError(describe_unknown("backbone", key, _ENTRIES, way_out=WAY_OUT))


def is_acoustic(key: str) -> bool:
    """Whether ``key`` is an acoustic feature set of the catalogue; any other name is not."""
    return key in _ENTRIES and _ENTRIES[key].kind == "acoustic"


def list_backbones() -> tuple[Backbone, ...]:
    """All backbones: the published six, the acoustic feature sets, the tiny presets."""
    return _BACKBONES


def _describe(
    key: str,
    name: str,
    architecture: str,
    *,
    config: Mapping[str, object],
    parameters: int,
    pretraining: str = "none: random initialisation",
    hub_id: str | None = None,
    hours: float | None = None,
    languages: str | None = None,
) -> Backbone:
    """A transformer; ``parameters`` are the backbone's own."""
    hidden_size, layers = config["hidden_size"], config["num_hidden_layers"]
    if not isinstance(hidden_size, int) or not isinstance(layers, int):
        raise TypeError(f"the configuration of {key} needs whole numbers for hidden_size and num_hidden_layers")
    dense, out_proj = hidden_size * (hidden_size + 1), HEAD_CLASSES * (hidden_size + 1)
    return Backbone(
        key=key,
        name=name,
        kind="tiny" if hub_id is None else "pretrained",
        architecture=architecture,
        hub_id=hub_id,
        revision=None,
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


_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}
_TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "conv_dim": (32, 32, 32, 32, 32, 32, 32),
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "conv_bias": True,
    "num_conv_pos_embedding_groups": 4,
    "mask_time_prob": 0.0,
    "layerdrop": 0.0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "final_dropout": 0.0,
}
_TINY_LAYER_NORM = {**_TINY, "feat_extract_norm": "layer"}

_BACKBONES = (
    _describe(
        "w2v2-large",
        "Wav2vec2.0-large",
        "wav2vec2",
        hub_id="facebook/wav2vec2-large-960h-lv60-self",
        config={**_LARGE, "layerdrop": 0.1, "mask_time_prob": 0.05, "final_dropout": 0.1},
        parameters=315_438_720,
        pretraining="Libri-Light and LibriSpeech, fine-tuned on 960 hours with self-training",
        hours=53_000,
        languages="English",
    ),
    _describe(
        "xlsr53",
        "Wav2vec2.0-large-XLSR-53",
        "wav2vec2",
        hub_id="facebook/wav2vec2-large-xlsr-53",
        config={**_LARGE, "layerdrop": 0.1, "mask_time_prob": 0.075, "final_dropout": 0.0},
        parameters=315_438_720,
        pretraining="Multilingual LibriSpeech, CommonVoice, BABEL",
        hours=56_000,
        languages="53 languages",
    ),
    _describe(
        "hubert-base",
        "HuBERT base",
        "hubert",
        hub_id="facebook/hubert-base-ls960",
        config={
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "feat_extract_norm": "group",
            "do_stable_layer_norm": False,
            "conv_bias": False,
            "layerdrop": 0.1,
            "mask_time_prob": 0.05,
        },
        parameters=94_371_712,
        pretraining="LibriSpeech",
        hours=960,
        languages="English",
    ),
    _describe(
        "hubert-xlarge",
        "HuBERT x-large",
        "hubert",
        hub_id="facebook/hubert-xlarge-ls960-ft",
        config={**_LARGE, "hidden_size": 1280, "num_hidden_layers": 48, "intermediate_size": 5120},
        parameters=962_497_408,
        pretraining="Libri-Light, fine-tuned on 960 hours of LibriSpeech",
        hours=60_000,
        languages="English",
    ),
    _describe(
        "unispeech-large",
        "UniSpeech large",
        "unispeech",
        hub_id="microsoft/unispeech-large-1500h-cv",
        config={**_LARGE, "layerdrop": 0.05},
        parameters=315_438_720,
        pretraining="CommonVoice, labelled",
        hours=1_350,
        languages="English",
    ),
    _describe(
        "unispeech-ml",
        "UniSpeech large multilingual",
        "unispeech",
        hub_id="microsoft/unispeech-large-multi-lingual-1500h-cv",
        config={**_LARGE, "layerdrop": 0.05},
        parameters=315_438_720,
        pretraining="CommonVoice, labelled: 1,350 hours English, 353 French, 168 Spanish, 90 Italian",
        hours=1_961,
        languages="English, French, Spanish, Italian",
    ),
    Backbone(
        key="mfcc",
        name="MFCC statistics",
        kind="acoustic",
        architecture="torchaudio",
        hub_id=None,
        revision=None,
        hidden_size=240,
        num_hidden_layers=0,
        backbone_parameters=0,
        parameters=0,
        bytes_fp32=0,
        pretraining="none: 40 coefficients, their deltas and delta-deltas, mean and standard deviation",
        hours=None,
        languages=None,
    ),
    _describe("tiny-wav2vec2", "tiny Wav2vec2.0", "wav2vec2", config=_TINY_LAYER_NORM, parameters=0),
    _describe("tiny-hubert", "tiny HuBERT", "hubert", config={**_TINY, "feat_extract_norm": "group"}, parameters=0),
    _describe("tiny-unispeech", "tiny UniSpeech", "unispeech", config=_TINY_LAYER_NORM, parameters=0),
    _describe("tiny-wavlm", "tiny WavLM", "wavlm", config=_TINY_LAYER_NORM, parameters=0),
    _describe("tiny-data2vec-audio", "tiny data2vec", "data2vec-audio", config=_TINY, parameters=0),
)
_ENTRIES = {backbone.key: backbone for backbone in _BACKBONES}
