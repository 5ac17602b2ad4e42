"""The published notebook's way to train, as a baseline: every utterance resampled whenever it is asked for.

Gavali & Verma (2025) follow the widely copied Trainer notebook for speech emotion recognition: recordings of 48 kHz are
decoded and resampled in the dataset at every access, batches of them are padded as they come, and what a checkpoint
says of the test part is computed once more when the training is over. The model is the one that is compared with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import torchaudio
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from measuring.step_clock import StepClock
from ser_store.audio.decode import SAMPLE_RATE, load_speech
from ser_store.audio.recordings import resolve_audio
from ser_store.backbones.loading import build_model
from ser_store.common.threads import map_threaded
from ser_store.corpora.splits.train_eval_rows import Rows, choose_train_eval_rows
from ser_store.recipes.recipe import Recipe
from ser_store_h5.progress import silent
from ser_store_h5.store import Store

ORIGINAL_RATE = 48_000


@dataclass(frozen=True)
class Originals:
    """Recordings as RAVDESS publishes them: 48 kHz, 16 bit, WAV.

    Attributes:
        paths: by row of the corpus.
        upsampled: how many had to be made from recordings of another sample rate.
    """

    paths: tuple[Path, ...]
    upsampled: int


def find_originals(store: Store, folder: Path) -> Originals:
    """The corpus' recordings where they are 48 kHz; others are resampled to that rate and written to ``folder``."""
    corpus, audio = store.corpus, resolve_audio(store.corpus, None)
    folder.mkdir(parents=True, exist_ok=True)
    found: Any = corpus.paths  # resolve_audio has refused a corpus without them

    def find(row: int) -> Path:
        path: Path = audio / found[row]
        if soundfile.info(path).samplerate == ORIGINAL_RATE:
            return path
        wide = torchaudio.functional.resample(torch.from_numpy(load_speech(path)), SAMPLE_RATE, ORIGINAL_RATE)
        path = folder / f"{corpus.ids[row]}.wav"
        soundfile.write(path, wide.numpy(), ORIGINAL_RATE, subtype="PCM_16")
        return path

    paths = map_threaded(find, range(len(corpus.ids)), progress=silent, label="48 kHz")
    return Originals(tuple(paths), sum(path.parent == folder for path in paths))


class _NotebookDataset(torch.utils.data.Dataset[dict[str, Any]]):
    def __init__(self, store: Store, rows: Rows, originals: Originals, feature_extractor: Any) -> None:
        self._paths = [originals.paths[row] for row in rows.tolist()]
        self._labels = store.corpus.labels[rows].tolist()
        self._extractor = feature_extractor

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        samples, rate = soundfile.read(self._paths[index], dtype="float32", always_2d=True)
        speech = torch.from_numpy(samples.mean(axis=1))
        speech = torchaudio.transforms.Resample(rate, SAMPLE_RATE)(speech).numpy()
        values = self._extractor(speech, sampling_rate=SAMPLE_RATE).input_values[0]
        return {"input_values": values, "labels": self._labels[index]}


class _Collator:
    """Pads to the longest utterance of the batch, as the notebook's own does by the feature extractor."""

    def __init__(self, feature_extractor: Any) -> None:
        self._extractor = feature_extractor

    def __call__(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = self._extractor.pad([{"input_values": item["input_values"]} for item in items], return_tensors="pt")
        return {**batch, "labels": torch.tensor([item["labels"] for item in items])}


def train_notebook(
    store: Store, model: str, recipe: Recipe, *, originals: Originals, folder: Path, clock: StepClock
) -> None:
    """Train by the plain Trainer for ``recipe.max_steps``, with the same model, batches and precision as ours.

    As in any notebook, convolutions of a GPU round to the 10 bits of TF32 in fp32, too.
    """
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, recipe.precision == "tf32"
    loaded = build_model(model, classes=store.corpus.classes, init="random", seed=recipe.seed)
    train_eval = choose_train_eval_rows(store.corpus)
    trainer = Trainer(
        model=loaded.model,
        args=_build_arguments(recipe, folder),
        train_dataset=_NotebookDataset(store, train_eval.train, originals, loaded.feature_extractor),
        eval_dataset=_NotebookDataset(store, train_eval.evaluated, originals, loaded.feature_extractor),
        data_collator=_Collator(loaded.feature_extractor),
        compute_metrics=_compute_accuracy,
        callbacks=[clock],
    )
    for callback in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(callback)
    trainer.train()


def _build_arguments(recipe: Recipe, folder: Path) -> TrainingArguments:
    """Table 2; all else as transformers has it."""
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.per_device_train_batch_size,
        per_device_eval_batch_size=recipe.per_device_eval_batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation_steps,
        learning_rate=recipe.learning_rate,
        eval_strategy="steps",
        eval_steps=recipe.eval_steps,
        logging_steps=recipe.logging_steps,
        save_steps=recipe.save_steps,
        save_total_limit=recipe.save_total_limit,
        fp16=recipe.precision == "fp16",
        bf16=recipe.precision == "bf16",
        seed=recipe.seed,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        log_level="error",
    )


def _compute_accuracy(said: Any) -> dict[str, float]:
    logits = said.predictions[0]
    return {"accuracy": float(np.mean(logits.argmax(axis=1) == said.label_ids))}
