"""How long the published recipe takes on this machine, beside Table 5 and the published notebook's way to train; and
how many utterances per second each backbone represents.

    pip install '.[train]'
    python benchmarks/bench_finetune.py [--audio DIR] [--models KEY,KEY] [--full] [--steps 24] [--precision fp32]

Random weights, which take as long as any. Without --audio on synthetic recordings, without --models the tiny presets;
--full takes the paper's six, which need a GPU. Stops before the next model once --minutes are over, and says which are
left out. Prints tables and writes benchmarks/results/runtime.json and benchmarks/results/extract.json.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from ser_store.measuring.extracting import compare_extraction
from ser_store.measuring.running import compare_runtimes
from ser_store.progress import bar
from ser_store_cli.bench_train_commands import choose_models, print_rates, print_runtimes

T = TypeVar("T")

RESULTS = Path(__file__).parent / "results"


class Deadline:
    """A progress that begins no further model once the time is over."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    def __call__(self, items: Iterable[T], /, *, total: int, label: str) -> Iterator[T]:
        for item in bar(items, total=total, label=label):
            if label == "backbones" and time.monotonic() > self._end:
                print(f"left out, the time is over: {item}")
                continue
            yield item


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder of RAVDESS recordings")
    parser.add_argument("--models", help="keys of the catalogue, with commas between them")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--without-notebook", action="store_true", help="leave the published way to train out")
    parser.add_argument("--batch-size", type=int, default=8, help="of extraction")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--folder", type=Path, help="where checkpoints lie for a while; default: the temporary folder")
    parser.add_argument("--results", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    args = parse_arguments()
    models = choose_models(args.models, full=args.full)
    deadline = Deadline(args.minutes)
    shared = {"audio": args.audio, "seed": args.seed, "folder": args.folder, "progress": deadline}
    extracted = compare_extraction(models, batch_size=args.batch_size, **shared)
    trained = compare_runtimes(
        models, steps=args.steps, precision=args.precision, with_notebook=not args.without_notebook, **shared
    )
    args.results.mkdir(parents=True, exist_ok=True)
    for name, compared in (("extract", extracted), ("runtime", trained)):
        path = args.results / f"{name}.json"
        path.write_text(json.dumps(compared.to_json(), indent=1) + "\n")
        print(f"wrote {path}")
        for model, problem in compared.problems.items():
            print(f"{model} is left out: {problem}")
    print()
    print_rates(extracted)
    print()
    print_runtimes(trained)


if __name__ == "__main__":
    main()
