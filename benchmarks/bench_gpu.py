"""Fine-tuning and extraction on a GPU, in calls of less than ten minutes each that go on where the last one ended.

    pip install '.[train]'
    python benchmarks/bench_gpu.py --audio DIR       # again and again, until no model is left

The paper's six at full size with random weights, one after the other: the recipe in bf16, 8 × 1, by turns with the
published notebook's in fp32, 4 × 2, beside Table 5; then extraction by turns with a plain loop, a padded one and
transformers' pipeline. A call begins no further model after --minutes. Each model is written to --result once it is
measured; the table of all comes last. With --models tiny it runs on a CPU, to see that it works, and says little else.
"""

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from measuring.extraction_ways import check_equal, compare_rates, list_ways, save_random, time_by_turns
from measuring.running import PACKAGES, compare_runtimes, list_tiny_models
from measuring.surroundings import list_package_versions
from measuring.training_corpus import scratch_store
from ser_store.common.display import Figure, Table
from ser_store.common.provenance import describe_hardware
from ser_store.recipes.recipe import Recipe
from ser_store.reproduction.reproduce import list_published_models

RESULT = Path(__file__).parent / "results" / "gpu.json"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder of RAVDESS recordings; default: synthetic ones")
    parser.add_argument("--models", help="keys of the catalogue, with commas, or tiny; default: the paper's six")
    parser.add_argument("--precision", default="bf16")
    for name, value in {"steps": 24, "batch-size": 32, "repeats": 3, "seed": 42}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--minutes", type=float, default=5, help="begin no further model after so many")
    parser.add_argument("--folder", type=Path, help="where stores and weights lie for a while")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    if args.models is None and not torch.cuda.is_available():
        parser.error("torch sees no GPU, without which the six take days; --models tiny tries the script")
    return args


def list_models(named: str | None) -> tuple[str, ...]:
    if named is None:
        return list_published_models()
    return list_tiny_models() if named == "tiny" else tuple(named.split(","))


def measure(model: str, args: argparse.Namespace) -> dict[str, Any]:
    """What one model takes: its training beside the published ways, and its extraction beside the loops."""
    recipe = Recipe().changed(per_device_train_batch_size=8, gradient_accumulation_steps=1)
    shared = {"audio": args.audio, "folder": args.folder}
    trained = compare_runtimes(
        (model,),
        steps=args.steps,
        precision=args.precision,
        recipe=recipe,
        with_notebook=True,
        notebook_precision="fp32",
        seed=args.seed,
        **shared,
    )
    with TemporaryDirectory(dir=args.folder) as scratch, scratch_store(**shared) as store:
        ways = list_ways(store, save_random(model, Path(scratch) / model, args.seed), size=args.batch_size)
        apart = check_equal(ways)
        rates = compare_rates(time_by_turns(ways, repeats=args.repeats), len(store.corpus))
    return {"training": trained.to_json(), "extraction": rates, "difference": apart}


def main() -> None:
    args = parse_arguments()
    models, end = list_models(args.models), time.monotonic() + 60 * args.minutes
    stated = {"machine": describe_hardware(), "versions": list_package_versions(PACKAGES)}
    stated["asked"] = {name: getattr(args, name) for name in ("precision", "steps", "batch_size", "repeats", "seed")}
    measured: dict[str, Any] = {}
    if args.result.is_file():
        before = json.loads(args.result.read_text())
        if any(before[name] != value for name, value in stated.items()):
            raise SystemExit(f"{args.result} was measured otherwise or elsewhere: name another by --result")
        measured = before["models"]
    for model in models:
        if model not in measured and time.monotonic() < end:
            print(f"{model} …", flush=True)
            measured[model] = measure(model, args)
            args.result.parent.mkdir(exist_ok=True)
            args.result.write_text(json.dumps({**stated, "models": measured}, indent=1) + "\n")
    left = [model for model in models if model not in measured]
    print(f"left: {', '.join(left)}; call again" if left else f"all measured, see {args.result}")
    print(", ".join(stated["machine"]["gpus"]) or "NO GPU: these figures say only that the script runs")
    print(tabulate({model: one for model, one in measured.items() if model in models}))


def tabulate(measured: dict[str, Any]) -> Table:
    rows = []
    for model, one in measured.items():
        for runtime in one["training"]["runtimes"]:
            ways = {way["way"]: Figure(way["ratio"]) for way in one["extraction"]}
            table5 = (runtime["published"] or {}).get("per_100_steps", "–")
            rows.append(
                [model, Figure(runtime["extrapolated"]["per_100_steps"]), table5, f"{runtime['floor_share']:.0%}"]
            )
            rows[-1] += [f"× {runtime['ratio']:.2f}", ways["serstore"], ways["serstore, bf16 (other numbers)"]]
    header = ["model", "s per 100 steps", "Table 5", "of the floor", "to the notebook"]
    return Table([*header, "extraction to the best loop", "in bf16"], rows)


if __name__ == "__main__":
    main()
