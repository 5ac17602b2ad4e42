"""The catalogue of backbones: what is known of each by name, without network, torch or transformers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ser_store.backbones.description import FAMILIES, Backbone, describe_features, describe_transformer
from ser_store.common.display import Block, Result, Table, format_bytes
from ser_store.errors import UnknownNameError, describe_unknown

__all__ = ["FAMILIES", "Backbone", "is_acoustic", "list_backbones", "lookup"]

WAY_OUT = f"or any hub id (org/name) or local folder of the families {', '.join(FAMILIES)}"


def lookup(key: str) -> Backbone:
    """Return the backbone called ``key``, which may also be the hub id of one in the catalogue.

    Raises:
        UnknownNameError: naming the nearest keys.

    >>> lookup("hubert-base").hidden_size
    768
    """
    for backbone in list_backbones():
        if key == backbone.key or (backbone.hub_id is not None and key == backbone.hub_id):
            return backbone
    raise UnknownNameError(describe_unknown("backbone", key, _ENTRIES, way_out=WAY_OUT))


def is_acoustic(key: str) -> bool:
    """Return whether ``key`` is an acoustic feature set of the catalogue."""
    return key in _ENTRIES and _ENTRIES[key].kind == "acoustic"


def list_backbones() -> tuple[Backbone, ...]:
    """Return all backbones: the published six, Whisper's sizes, the acoustic feature sets, the tiny presets."""
    return _BACKBONES


_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "conv_bias": True,
}
# Shaped to learn what it can from raw samples in some hundred steps of eight utterances at a learning rate of 1e-3.
# Windows of 25 ms every 10 ms, then pairs of them, come to the usual 320 samples per frame; the usual seven
# convolutions learn no more per step and take four times as long.
_TINY = {
    "hidden_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "initializer_range": 0.08,
    "feat_extract_norm": "layer",
    "conv_dim": (64, 64),
    "conv_kernel": (400, 2),
    "conv_stride": (160, 2),
    "conv_bias": True,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "mask_time_prob": 0.0,
    "layerdrop": 0.0,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "final_dropout": 0.0,
}
# Normalised over time, as hubert-base is; long windows would leave nothing of the spectrum after that.
_TINY_GROUP_NORM = {
    **_TINY,
    "feat_extract_norm": "group",
    "conv_dim": (32, 64, 64),
    "conv_kernel": (10, 8, 8),
    "conv_stride": (5, 8, 8),
    "conv_bias": False,
}
# Otherwise shaped, since with equal weights UniSpeech is Wav2vec2.0, and two equal voices make no ensemble.
_TINY_STABLE = {**_TINY, "do_stable_layer_norm": True, "conv_kernel": (160, 4), "conv_stride": (80, 4)}
# In data2vec this is the number of stacked positional convolutions.
_TINY_STACKED = {**_TINY, "num_conv_pos_embeddings": 2}
# Whisper without its decoder. Its positions fit thirty seconds, whatever its size.
_TINY_WHISPER: dict[str, object] = {
    "encoder_layers": 1,
    "d_model": 128,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 256,
    "init_std": 0.08,
    "final_dropout": 0.0,
}
_WEB_HOURS = 680_000
_OVER_FRAMES = "mean and standard deviation"
_SECOND_HAND = "a million hours of the web with their transcripts, four million as large-v2 transcribed them"


def _describe_whisper(
    size: str,
    *,
    layers: int,
    hidden_size: int,
    parameters: int,
    mel_bins: int = 80,
    pretraining: str = "speech of the web with its transcripts",
    hours: int = _WEB_HOURS,
) -> Backbone:
    """OpenAI's Whisper of a size; ``parameters`` are those of its encoder."""
    return describe_transformer(
        f"whisper-{size}",
        f"Whisper {size}",
        "whisper",
        hub_id=f"openai/whisper-{size}",
        config={
            "encoder_layers": layers,
            "d_model": hidden_size,
            "encoder_attention_heads": hidden_size // 64,
            "encoder_ffn_dim": 4 * hidden_size,
            "num_mel_bins": mel_bins,
        },
        parameters=parameters,
        pretraining=pretraining,
        hours=hours,
        languages="multilingual, two thirds of it English" if hours == _WEB_HOURS else "multilingual",
    )


# Revisions are those that the main branch has had since 2022 or 2023, where their full hash is known.
_BACKBONES = (
    describe_transformer(
        "w2v2-large",
        "Wav2vec2.0-large",
        "wav2vec2",
        hub_id="facebook/wav2vec2-large-960h-lv60-self",
        revision="54074b1c16f4de6a5ad59affb4caa8f2ea03a119",
        config={**_LARGE, "layerdrop": 0.1, "mask_time_prob": 0.05, "final_dropout": 0.1},
        parameters=315_438_720,
        pretraining="Libri-Light and LibriSpeech, fine-tuned on 960 hours with self-training",
        hours=53_000,
        languages="English",
    ),
    describe_transformer(
        "xlsr53",
        "Wav2vec2.0-large-XLSR-53",
        "wav2vec2",
        hub_id="facebook/wav2vec2-large-xlsr-53",
        revision="c3f9d884181a224a6ac87bf8885c84d1cff3384f",
        config={**_LARGE, "layerdrop": 0.1, "mask_time_prob": 0.075, "final_dropout": 0.0},
        parameters=315_438_720,
        pretraining="Multilingual LibriSpeech, CommonVoice, BABEL",
        hours=56_000,
        languages="53 languages",
    ),
    describe_transformer(
        "hubert-base",
        "HuBERT base",
        "hubert",
        hub_id="facebook/hubert-base-ls960",
        revision="dba3bb02fda4248b6e082697eee756de8fe8aa8a",
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
    describe_transformer(
        "hubert-xlarge",
        "HuBERT x-large",
        "hubert",
        hub_id="facebook/hubert-xlarge-ls960-ft",
        revision="86a09e67e0c8d074533992379242405825516eca",
        config={**_LARGE, "hidden_size": 1280, "num_hidden_layers": 48, "intermediate_size": 5120},
        parameters=962_497_408,
        pretraining="Libri-Light, fine-tuned on 960 hours of LibriSpeech",
        hours=60_000,
        languages="English",
    ),
    describe_transformer(
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
    describe_transformer(
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
    _describe_whisper("tiny", layers=4, hidden_size=384, parameters=8_208_384),
    _describe_whisper("base", layers=6, hidden_size=512, parameters=20_590_592),
    _describe_whisper("small", layers=12, hidden_size=768, parameters=88_154_112),
    _describe_whisper("medium", layers=24, hidden_size=1024, parameters=307_216_384),
    *(_describe_whisper(size, layers=32, hidden_size=1280, parameters=636_784_640) for size in ("large", "large-v2")),
    *(
        _describe_whisper(
            size,
            layers=32,
            hidden_size=1280,
            parameters=636_968_960,
            mel_bins=128,
            pretraining=_SECOND_HAND,
            hours=5_000_000,
        )
        for size in ("large-v3", "large-v3-turbo")
    ),
    describe_features(
        "mfcc", "MFCC statistics", 240, f"40 coefficients, their deltas and delta-deltas, {_OVER_FRAMES}"
    ),
    describe_features("logmel", "log-mel statistics", 160, f"80 log-mel bands, {_OVER_FRAMES}"),
    describe_features("egemaps", "eGeMAPS", 88, "functionals of eGeMAPSv02", toolkit="opensmile"),
    describe_features("compare", "ComParE", 6_373, "functionals of ComParE_2016", toolkit="opensmile"),
    describe_transformer("tiny-wav2vec2", "tiny Wav2vec2.0", "wav2vec2", config=_TINY, parameters=241_040),
    describe_transformer("tiny-hubert", "tiny HuBERT", "hubert", config=_TINY_GROUP_NORM, parameters=256_400),
    describe_transformer("tiny-unispeech", "tiny UniSpeech", "unispeech", config=_TINY_STABLE, parameters=233_872),
    describe_transformer("tiny-wavlm", "tiny WavLM", "wavlm", config=_TINY, parameters=242_588),
    describe_transformer(
        "tiny-data2vec-audio", "tiny data2vec", "data2vec-audio", config=_TINY_STACKED, parameters=331_264
    ),
    describe_transformer("tiny-whisper", "tiny Whisper", "whisper", config=_TINY_WHISPER, parameters=404_736),
)
_ENTRIES = {backbone.key: backbone for backbone in _BACKBONES}


@dataclass(frozen=True, repr=False)
class Models(Result):
    """The catalogue of backbones.

    Attributes:
        models: the published six, the acoustic feature sets, the tiny presets.
    """

    models: tuple[Backbone, ...]

    def records(self) -> list[dict[str, Any]]:
        return [one.to_json() for one in self.models]

    def describe(self) -> Iterator[Block]:
        rows = [
            [
                one.key,
                one.architecture,
                f"{one.parameters / 1e6:,.1f} M" if one.parameters else "–",
                format_bytes(one.bytes_fp32) if one.bytes_fp32 else "–",
                one.pretraining,
                one.hub_id or "–",
            ]
            for one in self.models
        ]
        yield Table(["key", "architecture", "parameters", "float32", "pretraining data", "hub id"], rows)
        newest = [one.key for one in self.models if one.hub_id is not None and one.revision is None]
        yield (
            f"Not pinned, but what the hub's main branch has: {', '.join(newest)}. A run's record says which commit "
            "that was; --model KEY@COMMIT pins one."
        )

    def to_json(self) -> dict[str, Any]:
        return {"models": self.records()}


def models() -> Models:
    """List the backbones that are known by name, with sizes and pretraining data.

    >>> import ser_store as ss
    >>> ss.models().to_frame().filter(key="xlsr53")["parameters"].item()
    316496520
    """
    return Models(list_backbones())
