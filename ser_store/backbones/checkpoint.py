"""A checkpoint folder of a supported family: its configuration, backbone weights and feature extractor."""

import json
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from transformers import AutoConfig, PreTrainedConfig, Wav2Vec2FeatureExtractor
from transformers.utils import logging

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.backbones.catalogue import FAMILIES
from ser_store.backbones.configuration import SAMPLES_PER_MEL_FRAME, settle
from ser_store.backbones.families.mel import UtteranceMelExtractor
from ser_store.backbones.model import find_backbone_class
from ser_store.common.auto_classes import MODEL_TYPE
from ser_store.errors import ModelError
from ser_store_h5.errors import describe_problem

# What transformers, safetensors and torch raise on files that are not what they should be.
_UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    EOFError,
    BadZipFile,
    pickle.UnpicklingError,
    SafetensorError,
    StrictDataclassError,
)
# Only SpecAugment uses it, in training; many published checkpoints come without.
_DISPENSABLE = frozenset({"masked_spec_embed"})
# As safetensors and torch call what weights, counts and masks are made of. Others are those of quantized weights, which
# mean nothing without their scales.
_NUMBERS = frozenset({"F64", "F32", "F16", "BF16", "I64", "BOOL"})
_NUMBERS |= frozenset({"float64", "float32", "float16", "bfloat16", "int64", "bool"})
_EXTRACTOR_FILES = ("preprocessor_config.json", "processor_config.json")
_POINTER = b"version https://git-lfs"
FeatureExtractor: TypeAlias = Wav2Vec2FeatureExtractor | UtteranceMelExtractor


@dataclass(frozen=True)
class LoadedBackbone:
    """A backbone with its weights, and how they compare with its configuration.

    Attributes:
        backbone: the family's bare model, float32.
        missing_keys: weights that the checkpoint does not have, initialised at random.
        unused_keys: what else it has: CTC heads, quantizers.
    """

    backbone: Any
    missing_keys: tuple[str, ...]
    unused_keys: tuple[str, ...]


def load_config(folder: Path) -> PreTrainedConfig:
    """Read the configuration in ``folder``.

    Raises:
        ModelError: if there is none, or it is of another family.
    """
    path = folder / "config.json"
    families = f"expected one of the families {', '.join(FAMILIES)}"
    try:
        family = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as problem:
        raise ModelError(
            f"{path} cannot be read ({describe_problem(problem)}): expected a folder as save_pretrained() writes it"
        ) from problem
    if family not in (*FAMILIES, MODEL_TYPE):
        raise ModelError(f"{folder} holds a model of type {family!r}: {families}; name another folder or hub id")
    try:
        with quiet_transformers():
            config = AutoConfig.from_pretrained(folder)
    except _UNREADABLE as problem:
        raise ModelError(f"{path} is no valid configuration ({describe_problem(problem)}): {families}") from problem
    return config if family == MODEL_TYPE else settle(config)


def load_backbone(folder: Path, config: PreTrainedConfig) -> LoadedBackbone:
    """Load the backbone in ``folder`` from safetensors or ``.bin`` files, with or without another head on top.

    Raises:
        ModelError: if the weights cannot be read, or one of the backbone's is missing, quantized, not finite or of
            another shape.
    """
    _refuse_quantized(folder)
    loaded, report = load_weights(find_backbone_class(config), folder, config)
    missing, unused = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    lost = [name for name in missing if name not in _DISPENSABLE]
    if lost:
        others = f", and has {len(unused)} of no use, the first is {unused[0]}" if unused else ""
        raise ModelError(
            f"{folder} lacks {len(lost)} weights of its backbone, the first is {lost[0]}{others}: expected a complete "
            f"checkpoint of {config.model_type}; save it again, or start from random weights: `init` random"
        )
    for name, weight in loaded.named_parameters():
        if not weight.isfinite().all():
            raise ModelError(
                f"{name} in {folder} holds numbers that are not finite: expected weights that can be trained; copy or "
                "save it again"
            )
    return LoadedBackbone(loaded, tuple(missing), tuple(unused))


def _refuse_quantized(folder: Path) -> None:
    loaded = [*folder.glob("model.safetensors"), *folder.glob("model-*.safetensors")]
    for path in sorted(loaded or [*folder.glob("pytorch_model.bin"), *folder.glob("pytorch_model-*.bin")]):
        try:
            with quiet_transformers():
                kinds = _read_kinds(path)
        except _UNREADABLE:
            continue  # stated where it is loaded
        for name, kind in sorted(kinds.items()):
            if kind not in _NUMBERS:
                raise ModelError(
                    f"{name} in {path} is quantized ({kind}): expected float32, float16 or bfloat16; name a folder "
                    "with the weights as they were before"
                )


def _read_kinds(path: Path) -> dict[str, str]:
    """The kind of number of each weight in a file, which is all that is read of a file that is an archive."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            return {name: str(file.get_slice(name).get_dtype()) for name in file.keys()}  # noqa: SIM118 - no mapping
    entries = torch.load(path, map_location="meta", weights_only=True).items()
    return {
        str(name): str(entry.dtype).removeprefix("torch.") for name, entry in entries if isinstance(entry, torch.Tensor)
    }


def load_weights(kind: Any, folder: Path, config: PreTrainedConfig) -> tuple[Any, dict[str, Any]]:
    """Load a model of class ``kind`` from ``folder`` in float32; returns transformers' report of keys, too.

    Raises:
        ModelError: if the weights cannot be read or have other shapes.
    """
    try:
        with quiet_transformers():
            model, report = kind.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                key_mapping=getattr(kind, "key_mapping", None),
            )
    except _UNREADABLE as problem:
        raise ModelError(
            f"the weights in {folder} cannot be loaded ({_describe_weights(folder, problem)}): expected "
            f"model.safetensors or pytorch_model.bin that fit its config.json; copy or save it again"
        ) from problem
    for name, found, expected in sorted(report["mismatched_keys"]):
        raise ModelError(
            f"{name} in {folder} has shape {tuple(found)}: expected {tuple(expected)} as its config.json says; copy or "
            f"save it again"
        )
    return model, report


def load_entries(folder: Path) -> dict[str, torch.Tensor]:
    """Read the weights in ``folder`` by their names.

    Raises:
        ModelError: if they cannot be read.
    """
    try:
        entries: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
        return entries
    except _UNREADABLE as problem:
        raise ModelError(
            f"the weights in {folder} cannot be loaded ({_describe_weights(folder, problem)}): expected "
            "model.safetensors as `finetune()` writes it; copy it again"
        ) from problem


def has_feature_extractor(folder: Path | None) -> bool:
    """Return whether ``folder`` says how the samples of an utterance are prepared."""
    return folder is not None and any((folder / name).exists() for name in _EXTRACTOR_FILES)


def load_feature_extractor(folder: Path | None, config: PreTrainedConfig) -> FeatureExtractor:
    """Load the feature extractor in ``folder``, else the family's usual one.

    Args:
        folder: of the checkpoint.
        config: of the backbone.

    Raises:
        ModelError: if it cannot be read, is for another sample rate, or makes other features than the backbone takes.
    """
    is_whisper = config.model_type == "whisper"
    extractor: Any = Wav2Vec2FeatureExtractor()
    if is_whisper:
        extractor = UtteranceMelExtractor(feature_size=config.num_mel_bins)
    if folder is not None and has_feature_extractor(folder):
        try:
            with quiet_transformers():
                extractor = type(extractor).from_pretrained(folder)
        except _UNREADABLE as problem:
            raise ModelError(
                f"{folder} holds a feature extractor that cannot be read ({describe_problem(problem)}): "
                f"expected preprocessor_config.json of a {type(extractor).__name__}; remove or save it again"
            ) from problem
    if extractor.sampling_rate != SAMPLE_RATE:
        raise ModelError(
            f"the feature extractor in {folder} is for {extractor.sampling_rate} Hz: expected {SAMPLE_RATE} Hz; "
            f"choose a backbone for {SAMPLE_RATE} Hz"
        )
    if is_whisper:
        _settle_mel(extractor, folder, config)
    else:
        _settle_samples(extractor, folder)
    settled: FeatureExtractor = extractor
    return settled


def _settle_mel(extractor: UtteranceMelExtractor, folder: Path | None, config: Any) -> None:
    """Without noise, in place; it has to make the log-mel frames that the backbone and its frame counts expect."""
    expected = {
        "feature_size": config.num_mel_bins,
        "hop_length": SAMPLES_PER_MEL_FRAME,
        "n_samples": 2 * config.max_source_positions * SAMPLES_PER_MEL_FRAME,
    }
    for name, value in expected.items():
        found = getattr(extractor, name)
        if folder is not None and found != value:
            raise ModelError(
                f"the feature extractor in {folder} has {name} {found}: expected {value} as config.json says; mend its "
                "preprocessor_config.json, or remove it"
            )
    extractor.n_samples = expected["n_samples"]
    extractor.dither = 0.0  # noise, new in each call


def _settle_samples(extractor: Wav2Vec2FeatureExtractor, folder: Path | None) -> None:
    """With attention mask, in place; it has to leave samples as they are but for their mean and variance."""
    if extractor.feature_size != 1:
        raise ModelError(
            f"the feature extractor in {folder} makes {extractor.feature_size} features of a frame: expected one that "
            "leaves samples as they are; remove its preprocessor_config.json, or choose another backbone"
        )
    if not isinstance(extractor.do_normalize, bool):
        raise ModelError(
            f"the feature extractor in {folder} has do_normalize {extractor.do_normalize!r}: expected true or false; "
            "mend its preprocessor_config.json"
        )
    # Without the mask, it normalises over the padding of a batch; the backbones here all take one.
    extractor.return_attention_mask = True
    extractor.padding_side = "right"


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence reports, warnings and progress bars of transformers for a while."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _describe_weights(folder: Path, problem: BaseException) -> str:
    """Why weights cannot be loaded."""
    for path in sorted((*folder.glob("*.safetensors"), *folder.glob("*.bin"))):
        if path.is_file() and _has_start(path, _POINTER):
            return f"{path.name} is a pointer of Git LFS: `git lfs pull` fetches what it stands for"
    if isinstance(problem, pickle.UnpicklingError):
        return "a .bin file is damaged, or holds other things than tensors, of which nothing was run"
    return describe_problem(problem)


def _has_start(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start
