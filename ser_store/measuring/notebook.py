"""The published notebook's way to train, as a baseline: every utterance resampled whenever it is asked for.

Gavali & Verma (2025) follow the widely copied Trainer notebook for speech emotion recognition: recordings of 48 kHz are
decoded and resampled in the dataset at every access, and batches of them are padded as they come.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import torchaudio
from numpy.typing import NDArray
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ser_store.audio import SAMPLE_RATE, load_speech
from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.loading import build_model
from ser_store.progress import silent
from ser_store.recordings import resolve_audio
from ser_store.sides import choose_sides
from ser_store.threads import map_threaded
from ser_store.training.arguments import build_training_arguments
from ser_store.training.inference import exact_convolutions
from ser_store.training.recipe import Recipe
from ser_store.training.speech_dataset import collate_speech
from ser_store_h5.store import Store

ORIGINAL_RATE = 48_000


def write_originals(store: Store, folder: Path) -> list[Path]:
    """The recordings of the training part as RAVDESS publishes them: 48 kHz, 16 bit, WAV."""
    corpus, audio = store.corpus, resolve_audio(store.corpus, None)
    rows = choose_sides(corpus).train
    folder.mkdir(parents=True, exist_ok=True)
    paths: Any = corpus.paths  # resolve_audio has refused a corpus without them

    def write(row: int) -> Path:
        path = folder / f"{corpus.ids[row]}.wav"
        if not path.exists():
            samples = torch.from_numpy(load_speech(audio / paths[row]))
            wide = torchaudio.functional.resample(samples, SAMPLE_RATE, ORIGINAL_RATE)
            soundfile.write(path, wide.numpy(), ORIGINAL_RATE, subtype="PCM_16")
        return path

    return map_threaded(write, rows.tolist(), progress=silent, label="48 kHz")


class _NotebookDataset(torch.utils.data.Dataset[dict[str, Any]]):
    def __init__(self, paths: list[Path], labels: NDArray[np.int16], feature_extractor: Any) -> None:
        self._paths, self._labels, self._extractor = paths, labels.tolist(), feature_extractor

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        samples, rate = soundfile.read(self._paths[index], dtype="float32")
        speech = torchaudio.transforms.Resample(rate, SAMPLE_RATE)(torch.from_numpy(samples)).numpy()
        values = self._extractor(speech, sampling_rate=SAMPLE_RATE).input_values[0]
        return {"input_values": np.asarray(values, np.float32), "label": self._labels[index], "row": index}


class _Watch(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    def __init__(self) -> None:
        self.reached: dict[int, float] = {}

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self.reached[state.global_step] = time.perf_counter()


def time_notebook(store: Store, model: str, recipe: Recipe, *, originals: list[Path], folder: Path) -> dict[int, float]:
    """Train by the plain Trainer for ``recipe.max_steps``, with the same model, batches and precision as ours.

    Returns:
        Step to the time at which its loss was logged, in seconds of a clock of any start.
    """
    corpus = store.corpus
    loaded = build_model(model, classes=corpus.classes, init="random", seed=recipe.seed)
    labels = corpus.labels[choose_sides(corpus).train]
    arguments = build_training_arguments(recipe, folder)
    arguments.eval_strategy, arguments.save_strategy = "no", "no"
    watch = _Watch()
    trainer = Trainer(
        model=loaded.model,
        args=arguments,
        train_dataset=_NotebookDataset(originals, labels, loaded.feature_extractor),
        data_collator=collate_speech,
        callbacks=[watch],
    )
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    with quiet_transformers(), exact_convolutions(recipe.precision):
        trainer.train()
    return watch.reached
