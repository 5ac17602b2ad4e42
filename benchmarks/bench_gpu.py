"""Fine-tuning and extraction on a GPU, in calls of less than ten minutes each that go on where the last one ended.

    pip install '.[train]'
    python benchmarks/bench_gpu.py --audio DIR       # again and again, until nothing is left

1. The paper's six at full size with random weights, one after the other: the recipe in bf16, 8 × 1, by turns with the
   published notebook's in fp32, 4 × 2, beside Table 5, and its share of the floor; then extraction by turns with a
   plain loop, a padded one and transformers' pipeline.
2. The whole training of one of them, --whole, by the recipe in bf16, 8 × 1: 1,440 steps, with each evaluation and
   checkpoint.
3. Pretrained weights, --tuned, over all folds of --folds with the seeds 1 to --seeds, by --recipe.

A call begins nothing further after --minutes. What is measured is written to --result at once, runs that go on are in
--store meanwhile; the tables come last. With tiny models, a recipe that fits them and few --max-steps it runs on a CPU,
to see that it works, and says little else.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import torch

import ser_store as ss
from measuring.extraction_ways import check_equal, compare_rates, list_ways, save_random, time_by_turns
from measuring.running import PACKAGES, compare_runtimes, list_tiny_models
from measuring.surroundings import list_package_versions
from measuring.training_corpus import SYNTHETIC_SPEAKERS, scratch_store
from ser_store.common.display import Figure, Table
from ser_store.common.provenance import describe_hardware
from ser_store.corpora.synthetic import write_synthetic_corpus
from ser_store.recipes.recipe_file import find_recipe
from ser_store.reproduction.reproduce import list_published_models

RESULT = Path(__file__).parent / "results" / "gpu.json"
RECIPE = Path(__file__).parents[1] / "recipes" / "unseen-speakers.toml"
ONE_PASS = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1}
TUNED = "tuned"
Part = tuple[str, str, Callable[[], Any]]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, help="folder of RAVDESS recordings; default: synthetic ones")
    parser.add_argument("--models", help="keys of the catalogue, with commas, or tiny; default: the paper's six")
    parser.add_argument("--whole", default="xlsr53", help="the model of the whole training")
    parser.add_argument("--tuned", default="whisper-base", help="the one with pretrained weights: a key, or a folder")
    parser.add_argument("--folds", default="emobox", help="the split that it is trained on")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="by which it is trained")
    parser.add_argument("--max-steps", type=int, help="of the whole trainings; default: all")
    parser.add_argument("--precision", default="bf16")
    for name, value in {"steps": 24, "batch-size": 32, "repeats": 3, "seeds": 5, "seed": 42}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--minutes", type=float, default=5, help="begin nothing further after so many")
    parser.add_argument("--folder", type=Path, help="where stores and weights lie for a while")
    parser.add_argument("--store", type=Path, default=Path(gettempdir()) / "serstore-bench-gpu.store")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    if args.models is None and not torch.cuda.is_available():
        parser.error("torch sees no GPU, without which the six take days; --models tiny tries the script")
    return args


def list_models(named: str | None) -> tuple[str, ...]:
    if named is None:
        return list_published_models()
    return list_tiny_models() if named == "tiny" else tuple(named.split(","))


def list_parts(args: argparse.Namespace) -> Iterator[Part]:
    """Yield what is measured: its group, its name in it, and how."""
    for model in list_models(args.models):
        yield "models", model, lambda model=model: measure(model, args)
    yield "whole", args.whole, lambda: train_whole(args)
    for seed in range(1, args.seeds + 1):
        yield TUNED, str(seed), lambda seed=seed: train_folds(seed, args)


def measure(model: str, args: argparse.Namespace) -> dict[str, Any]:
    """What one model takes: its training beside the published ways, and its extraction beside the loops."""
    shared = {"audio": args.audio, "folder": args.folder}
    trained = compare_runtimes(
        (model,),
        steps=args.steps,
        precision=args.precision,
        recipe=ss.Recipe(**ONE_PASS),
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


def open_kept(args: argparse.Namespace) -> ss.Store:
    """The store of runs that a later call goes on with."""
    if not args.store.exists():
        audio = args.audio or args.store.with_suffix(".audio")
        if args.audio is None:
            write_synthetic_corpus(audio, speakers=SYNTHETIC_SPEAKERS)
        ss.init(args.store, corpus="ravdess", audio=audio, split="paper")
        ss.splits(args.store, add=args.folds)
    return ss.Store(args.store)


def train_whole(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a whole training from random weights, with every evaluation and checkpoint."""
    recipe = ss.Recipe(**ONE_PASS, precision=args.precision, seed=args.seed).changed(max_steps=args.max_steps)
    store = open_kept(args)
    record = ss.finetune(
        store, args.whole, run=f"whole-{args.whole}", split="paper", init="random", recipe=recipe, resume=True
    )
    return {name: record.details[name] for name in ("seconds", "steps_done", "evaluations", "resolved")}


def train_folds(seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of all folds with one seed, and the accuracy of every utterance by the model that has not met it."""
    store = open_kept(args)
    recipe = find_recipe(str(args.recipe), store=store.path).changed(
        precision=args.precision, max_steps=args.max_steps, seed=seed, micro_batch="batch", attn_implementation="sdpa"
    )
    run = f"{TUNED}-seed-{seed}"
    weights = {"init": "random"} if args.tuned in list_tiny_models() else {}
    record = ss.finetune(
        store, args.tuned, run=run, split=args.folds, fold="all", recipe=recipe, resume=True, **weights
    )
    runs = record.details["runs"].values()
    said = ss.evaluate(store, run, on="all", split=args.folds).records()[0]
    return {"seconds": sum(store.run(one).details["seconds"] for one in runs), "accuracy": said["accuracy"]}


def main() -> None:
    args = parse_arguments()
    parts, end = list(list_parts(args)), time.monotonic() + 60 * args.minutes
    stated = {"machine": describe_hardware(), "versions": list_package_versions(PACKAGES)}
    names = ("precision", "steps", "batch_size", "repeats", "seed", "folds", "max_steps")
    stated["asked"] = {name: getattr(args, name) for name in names}
    stated["asked"] |= {"tuned": Path(args.tuned).name, "recipe": args.recipe.name}
    measured: dict[str, Any] = {group: {} for group, *_ in parts}
    if args.result.is_file():
        before = json.loads(args.result.read_text())
        if any(before[name] != value for name, value in stated.items()):
            raise SystemExit(f"{args.result} was measured otherwise or elsewhere: name another by --result")
        measured |= {group: before[group] for group in measured if group in before}
    for group, name, take in parts:
        if name not in measured[group] and time.monotonic() < end:
            print(f"{group} {name} …", flush=True)
            measured[group][name] = take()
            args.result.parent.mkdir(exist_ok=True)
            args.result.write_text(json.dumps({**stated, **measured}, indent=1) + "\n")
    left = [f"{group} {name}" for group, name, _ in parts if name not in measured[group]]
    print(f"left: {', '.join(left)}; call again" if left else f"all measured, see {args.result}; remove {args.store}")
    print(", ".join(stated["machine"]["gpus"]) or "NO GPU: these figures say only that the script runs")
    print(tabulate_whole(measured))
    print(tabulate({name: measured["models"][name] for group, name, _ in parts if name in measured["models"]}))


def tabulate_whole(measured: dict[str, Any]) -> Table:
    rows: list[list[object]] = [
        [f"{name}, {one['steps_done']:,} steps, {one['evaluations']} evaluations", Figure(one["seconds"]), "–"]
        for name, one in measured["whole"].items()
    ]
    rows += [
        [f"all folds, seed {name}", Figure(one["seconds"]), f"{one['accuracy']:.1%}"]
        for name, one in measured[TUNED].items()
    ]
    return Table(["whole trainings", "s", "accuracy"], rows)


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
