"""How long the published recipe takes on this machine, beside Table 5 and the published notebook's way to train; and
how many utterances per second each backbone represents.

    pip install '.[train]'
    python benchmarks/bench_finetune.py [--audio DIR] [--models tiny,KEY] [--full] [--steps 24] [--full-size-steps 3]

Random weights, which take as long as any. Without --audio on synthetic recordings, without --models the tiny presets,
which "tiny" stands for; --full takes the paper's six, which need a GPU. On one,

    python benchmarks/bench_finetune.py --audio DIR --full --steps 16 --without-extraction

compares the two ways in the same precision, and with --precision bf16 --notebook-precision fp32 --train-batch-size 8
--accumulation 1 the one that is meant for it with the published one. The two ways to train take turns of a few steps
in one process. They have to train on the same utterances and, where they compute alike, come to the same losses; else
there is no time but a problem. Originals of 48 kHz in --audio are what the published way begins with; others are
brought to that rate first. Stops before the next model once --minutes are over, for each of the two tables, and says
which are left out. Prints tables and writes benchmarks/results/runtime.json and benchmarks/results/extract.json.

    python benchmarks/bench_finetune.py --models hubert-base --checkpoints 5 --lora 8

times checkpoints instead, the Trainer's in the foreground and those behind the training by turns, of all weights and
of adapters, and steps between them, and writes benchmarks/results/checkpoints.json.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import torch

from measuring.checkpointing import compare_checkpoints, print_checkpoints
from measuring.extracting import ExtractionComparison, compare_extraction
from measuring.running import RuntimeComparison, compare_runtimes, list_tiny_models
from measuring.training_tables import print_rates, print_runtimes
from ser_store.recipes.recipe import Recipe
from ser_store.reproduction.reproduce import list_published_models
from ser_store_h5.progress import bar

T = TypeVar("T")

RESULTS = Path(__file__).parent / "results"


class Deadline:
    """A progress that begins no further model once the time is over."""

    def __init__(self, minutes: float) -> None:
        self._seconds = 60 * minutes

    def __call__(self, items: Iterable[T], /, *, total: int, label: str) -> Iterator[T]:
        end = time.monotonic() + self._seconds
        for item in bar(items, total=total, label=label):
            if label == "backbones" and time.monotonic() > end:
                print(f"left out, the time is over: {item}")
                continue
            yield item


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder of RAVDESS recordings")
    parser.add_argument("--models", help="keys of the catalogue, with commas between them")
    parser.add_argument("--full", action="store_true", help="the paper's six at full size")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--full-size-steps", type=int, help="of models that are not tiny; default: as --steps")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--notebook-precision", help="of the published way; default: as --precision")
    parser.add_argument("--train-batch-size", type=int, help="utterances of a pass; default: the recipe's 4")
    parser.add_argument("--accumulation", type=int, help="passes of an optimizer step; default: the recipe's 2")
    parser.add_argument("--compile", action="store_true", help="compile the layers")
    parser.add_argument("--threads", type=int, help="of torch; default: all cores")
    parser.add_argument("--without-extraction", action="store_true")
    parser.add_argument("--checkpoints", type=int, metavar="N", help="time N checkpoints each way instead, by turns")
    parser.add_argument("--lora", type=int, metavar="R", help="time checkpoints of adapters of this rank, too")
    parser.add_argument("--without-notebook", action="store_true", help="leave the published way to train out")
    parser.add_argument("--batch-size", type=int, default=8, help="of extraction")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--folder", type=Path, help="where checkpoints lie for a while; default: the temporary folder")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.full and args.models is None and not torch.cuda.is_available():
        parser.error(
            "--full, and torch sees no GPU, without which it takes hours; --models hubert-base measures one even so"
        )
    return args


def list_models(args: argparse.Namespace) -> tuple[str, ...] | None:
    if args.models is None:
        return list_published_models() if args.full else None
    named = [name.strip() for name in args.models.split(",")]
    return tuple(model for name in named for model in (list_tiny_models() if name == "tiny" else (name,)))


def main() -> None:
    args = parse_arguments()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    models = list_models(args)
    if args.checkpoints:
        written = compare_checkpoints(
            models or list_tiny_models(), args.checkpoints, lora=args.lora, seed=args.seed, folder=args.folder
        )
        args.results.mkdir(parents=True, exist_ok=True)
        (args.results / "checkpoints.json").write_text(json.dumps(written, indent=1) + "\n")
        print_checkpoints(written)
        return
    shared = {"audio": args.audio, "seed": args.seed, "folder": args.folder, "progress": Deadline(args.minutes)}
    args.results.mkdir(parents=True, exist_ok=True)
    if not args.without_extraction:
        extracted = compare_extraction(models, batch_size=args.batch_size, **shared)
        write(extracted, args.results / "extract.json")
        print_rates(extracted)
        print()
    trained = compare_runtimes(
        models,
        steps=args.steps,
        full_size_steps=args.full_size_steps,
        precision=args.precision,
        recipe=Recipe().changed(
            per_device_train_batch_size=args.train_batch_size,
            gradient_accumulation_steps=args.accumulation,
            torch_compile=args.compile,
        ),
        with_notebook=not args.without_notebook,
        notebook_precision=args.notebook_precision,
        **shared,
    )
    write(trained, args.results / "runtime.json")
    print_runtimes(trained)


def write(compared: ExtractionComparison | RuntimeComparison, path: Path) -> None:
    path.write_text(json.dumps(compared.to_json(), indent=1) + "\n")
    print(f"wrote {path}")
    for model, problem in compared.problems.items():
        print(f"{model} is left out: {problem}")


if __name__ == "__main__":
    main()
