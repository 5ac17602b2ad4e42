"""What each way to save time in a fine-tuning is worth beside the plain recipe, in one run, by turns.

    pip install '.[train]'
    python benchmarks/bench_recipes.py --audio RAVDESS [--model whisper-base] [--speakers 4] [--rounds 3]

Plain: all parameters, fp32, batches as they come. Every other way adds one thing to the way above it, but for the
last five, which stand beside it. Each trains the same utterances for three epochs, of which the first warms up, and
fills the cache of frozen layers where there is one; the faster of the others is compared. Before that, frozen layers
from the cache must lead to the losses that they lead to without. Prints a table and writes
benchmarks/results/recipes.json.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from transformers import TrainerCallback

import ser_store as ss
from measuring.surroundings import describe_machine, list_package_versions
from ser_store.common.display import Figure, Table

RESULT = Path(__file__).parent / "results" / "recipes.json"
PACKAGES = ("ser-store", "numpy", "torch", "transformers", "accelerate")
EPOCHS, BATCH = 3, 8

BF16 = {"precision": "bf16"}
CONVOLUTIONS = {**BF16, "freeze_feature_encoder": True}
FROZEN = {**CONVOLUTIONS, "frozen_layers": 2}
CACHED = {**FROZEN, "cache_frozen": True}
LARGE = {**CACHED, "per_device_train_batch_size": 2 * BATCH}
WAYS: dict[str, dict[str, Any]] = {
    "plain, fp32": {"freeze_feature_encoder": False},
    "+ bf16": {**BF16, "freeze_feature_encoder": False},
    "+ convolutions frozen": CONVOLUTIONS,
    "+ two layers frozen": FROZEN,
    "+ those from a cache": CACHED,
    "+ five layers of six": {**CACHED, "num_hidden_layers": 5},
    "from a cache, batches of 16": LARGE,
    "from a cache, batches of one length": {**CACHED, "group_by_length": True},
    "from a cache, batches of 30 s": {**CACHED, "batch_seconds": 30.0},
    "from a cache, batches of 16 in parts of 8": {**LARGE, "micro_batch": BATCH},
    "the same, eager attention": {**LARGE, "micro_batch": BATCH, "attn_implementation": "eager"},
}


class Stopwatch(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Seconds of each optimizer step, with what comes between two steps of an epoch, and the losses."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self._last = 0.0

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._last = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, required=True, help="the recordings of RAVDESS")
    parser.add_argument("--model", default="whisper-base", help="a name that `serstore models` lists, or a folder")
    parser.add_argument("--speakers", type=int, default=4, help="whose utterances are trained on, 60 each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        store = make_store(Path(folder), args.audio, args.speakers)
        apart = check_cache(store, args.model)
        measured: dict[str, list[float]] = {name: [] for name in WAYS}
        for turn in range(args.rounds):
            for name in list(WAYS)[turn:] + list(WAYS)[:turn]:
                measured[name].append(time_way(store, args.model, WAYS[name]))
    rows = [describe(name, measured) for name in WAYS]
    print(f"{args.model}, {60 * args.speakers} utterances; losses with and without the cache apart by {apart:.0e}")
    print(Table(("way", "utterances per second", "ratio to plain"), [(n, Figure(r), Figure(q)) for n, r, q, _ in rows]))
    document = {
        "model": Path(args.model).name,
        "utterances": 60 * args.speakers,
        "epochs": EPOCHS,
        "batch": BATCH,
        "loss_difference": apart,
        "machine": describe_machine(),
        "versions": list_package_versions(PACKAGES),
        "ways": [{"way": n, "per_second": r, "ratio": q, "seconds_per_utterance": s} for n, r, q, s in rows],
    }
    args.result.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwrote {args.result}")


def make_store(folder: Path, audio: Path, speakers: int) -> ss.Store:
    """Return a store of the first speakers, a few of whose utterances are evaluated, as seldom as can be."""
    all_of_them = ss.init(folder / "all.store", corpus="ravdess", audio=audio, split="paper").store.corpus
    lines = ["file,emotion,speaker,part"]
    for row, path in enumerate(all_of_them.paths):
        if int(all_of_them.speakers[row]) <= speakers + 1:
            part = "train" if int(all_of_them.speakers[row]) <= speakers else "test"
            label = all_of_them.classes[all_of_them.labels[row]]
            lines.append(f"{path},{label},{all_of_them.speakers[row]},{part}")
    table = folder / "some.csv"
    table.write_text("\n".join(lines) + "\n")
    return ss.init(folder / "some.store", corpus=table, audio=audio, split="part").store


def time_way(store: ss.Store, model: str, changes: dict[str, Any]) -> float:
    """Return the seconds per utterance of the fastest epoch but the first."""
    seconds = train(store, model, changes).seconds
    steps = len(seconds) // EPOCHS
    epochs = [sum(seconds[start : start + steps]) for start in range(steps, len(seconds), steps)]
    return min(epochs) / len(store.corpus.rows("train"))


def check_cache(store: ss.Store, model: str) -> float:
    """Return how far the losses of frozen layers are apart with and without the cache, relative to their size.

    Raises:
        RuntimeError: if it is more than rounding.
    """
    fp32 = {"precision": "fp32", "num_train_epochs": 1}
    with_it, without = (train(store, model, {**one, **fp32}).losses for one in (CACHED, FROZEN))
    apart = max(abs(a - b) / b for a, b in zip(with_it, without, strict=True))
    if apart > 1e-3:
        raise RuntimeError(f"frozen layers from a cache train to other losses: {with_it} and {without}")
    return apart


def train(store: ss.Store, model: str, changes: dict[str, Any]) -> Stopwatch:
    """Return what a training's steps took; the run is removed."""
    watch = Stopwatch()
    often = 10**6
    recipe = ss.Recipe(
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=BATCH,
        gradient_accumulation_steps=1,
        eval_steps=often,
        logging_steps=5,
        save_steps=often,
    ).changed(**changes)
    ss.finetune(store, model, run="timed", recipe=recipe, callbacks=[watch])
    store.remove("timed")
    return watch


def describe(name: str, measured: dict[str, list[float]]) -> tuple[str, float, float, float]:
    """Return name, utterances per second, ratio to the plain way (the median over the rounds), seconds an utterance."""
    plain = next(iter(WAYS))
    ratio = median(theirs / own for theirs, own in zip(measured[plain], measured[name], strict=True))
    return name, 1 / median(measured[name]), ratio, median(measured[name])


if __name__ == "__main__":
    main()
