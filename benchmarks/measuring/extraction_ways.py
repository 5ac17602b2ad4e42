"""The same representations by serstore and by the loops that people write with transformers, by turns."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.audio.recordings import load_recording, resolve_audio
from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.loading import build_model
from ser_store.extraction.extract import extract
from ser_store.inference.forward import find_device, stated_rounding
from ser_store_h5.progress import silent
from ser_store_h5.store import Store

# The store keeps float16, which rounds by 5e-4 relative.
TOLERANCE = 2e-3
Way = Callable[[], NDArray[Any]]


def save_tiny(folder: Path, seed: int) -> Path:
    """A small wav2vec2 with random weights, of the kind that is padded with a mask."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(seed)
    sizes = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128}
    Wav2Vec2Model(Wav2Vec2Config(**sizes, conv_dim=[64] * 7, feat_extract_norm="layer")).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


def save_random(model: str, folder: Path, seed: int) -> Path:
    """A backbone of the catalogue with random weights."""
    loaded = build_model(model, classes=("no", "yes"), init="random", seed=seed)
    with quiet_transformers():
        loaded.model.backbone.save_pretrained(folder)
    loaded.feature_extractor.save_pretrained(folder)
    return folder


class PlainLoop:
    """Frames averaged over each utterance, with transformers alone, in the order of the corpus."""

    def __init__(self, store: Store, folder: Path) -> None:
        from transformers import AutoFeatureExtractor, AutoModel

        self._corpus, self._audio = store.corpus, resolve_audio(store.corpus, None)
        self._extractor = AutoFeatureExtractor.from_pretrained(folder)
        with quiet_transformers():
            model = AutoModel.from_pretrained(folder, dtype=torch.float32)
        self._is_whisper = model.config.model_type == "whisper"
        self._device = find_device()
        self._model = (model.get_encoder() if self._is_whisper else model).eval().to(self._device)

    def run(self, size: int) -> NDArray[np.float32]:
        """By ``size`` utterances at a time, ``(n, d)``."""
        pooled = []
        for start in range(0, len(self._corpus), size):
            rows = range(start, min(start + size, len(self._corpus)))
            pooled += self._pool([load_recording(self._corpus, row, audio=self._audio) for row in rows])
        return np.stack(pooled)

    def _pool(self, samples: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        padding = {} if self._is_whisper else {"padding": True, "return_attention_mask": True}
        inputs = self._extractor(list(samples), sampling_rate=SAMPLE_RATE, return_tensors="pt", **padding)
        with torch.inference_mode(), stated_rounding("fp32"):
            frames = self._model(**inputs.to(self._device)).last_hidden_state.cpu()
        return [
            one[: self._count_frames(len(own))].mean(dim=0).numpy() for one, own in zip(frames, samples, strict=True)
        ]

    def _count_frames(self, n: int) -> int:
        if self._is_whisper:
            return -(-(n // int(self._extractor.hop_length)) // 2)
        return int(self._model._get_feat_extract_output_lengths(n))


class PipelineLoop(PlainLoop):
    """The same through transformers' feature-extraction pipeline, whose own preprocessing is for text."""

    def run(self, size: int) -> NDArray[np.float32]:
        from transformers import FeatureExtractionPipeline

        class Pipeline(FeatureExtractionPipeline):  # type: ignore[misc]  # transformers loads it late, untyped
            _load_tokenizer, _load_feature_extractor = False, True

            def preprocess(self, inputs: NDArray[np.float32], **options: Any) -> Any:
                return self.feature_extractor(inputs, sampling_rate=SAMPLE_RATE, return_tensors="pt")

        represent = Pipeline(model=self._model, feature_extractor=self._extractor, device=self._device)
        samples = [load_recording(self._corpus, row, audio=self._audio) for row in range(len(self._corpus))]
        with stated_rounding("fp32"):
            said = list(represent((one for one in samples), batch_size=size, return_tensors=True))
        return np.stack(
            [
                frames.cpu().squeeze(0)[: self._count_frames(len(own))].mean(dim=0).numpy()
                for frames, own in zip(said, samples, strict=True)
            ]
        )


def list_ways(store: Store, folder: Path, *, size: int) -> dict[str, Way]:
    """Return what is compared; each call represents all utterances anew, its loading of the model included."""

    def serstore(**options: Any) -> NDArray[Any]:
        extract(store, model=str(folder), run="measured", batch_size=size, **options)
        pooled = store.read_member("measured").pooled
        store.remove("measured")
        assert pooled is not None  # an extraction has it
        return pooled

    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    is_whisper = config.model_type == "whisper"
    # Where convolutions are normalised over time, what transformers says of an utterance depends on its padding.
    padding_matters = " (other numbers)" if getattr(config, "feat_extract_norm", None) == "group" else ""
    context = {"whisper_context": "full"} if is_whisper else {}
    ways: dict[str, Way] = {
        "one at a time": lambda: PlainLoop(store, folder).run(1),
        f"padded, {size} at a time{padding_matters}": lambda: PlainLoop(store, folder).run(size),
        "pipeline": lambda: PipelineLoop(store, folder).run(1),
        "serstore": lambda: serstore(**context),
    }
    if is_whisper:
        ways["serstore, the utterance alone (other numbers)"] = serstore
    return {**ways, "serstore, bf16 (other numbers)": lambda: serstore(precision="bf16")}


def check_equal(ways: dict[str, Way]) -> float:
    """Return how far the ways that say the same are apart at most, relative to the largest number.

    Raises:
        RuntimeError: if that is more than rounding.
    """
    said = {name: way() for name, way in ways.items() if "other numbers" not in name}
    first = said["one at a time"]
    apart = {name: float(np.abs(one - first).max() / np.abs(first).max()) for name, one in said.items()}
    if max(apart.values()) > TOLERANCE:
        raise RuntimeError(f"the ways say different things, nothing is measured: {apart}")
    return max(apart.values())


def time_by_turns(ways: dict[str, Way], *, repeats: int, progress: Any = silent) -> dict[str, list[float]]:
    """Return the seconds of each call of each way; every round calls all, each round from another on."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for turn in progress(range(repeats), total=repeats, label="rounds"):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def compare_rates(seconds: dict[str, list[float]], n: int) -> list[dict[str, Any]]:
    """Return utterances per second by the median, and the ratio to the best plain loop, the median over the rounds."""
    plain = [times for name, times in seconds.items() if not name.startswith("serstore")]
    best = [min(round_) for round_ in zip(*plain, strict=True)]
    return [
        {
            "way": name,
            "per_second": n / median(times),
            "ratio": median(theirs / own for theirs, own in zip(best, times, strict=True)),
            "seconds": times,
        }
        for name, times in seconds.items()
    ]
