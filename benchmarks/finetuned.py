"""Real models on real recordings: whisper-base fine-tuned on RAVDESS, by speakers that it has met and that it has not.

    python benchmarks/finetuned.py --audio RAVDESS [--model whisper-base] [--store MINE.store] [--heads HEADS.store]

1. Unseen speakers, the six published folds of the split `emobox`: `recipes/unseen-speakers.toml`, at its last step, of
   which nothing was chosen; `recipes/unseen-speakers-by-speaker.toml`, which hears how utterances differ from others
   of their speaker, labels unseen, by two seeds; and each together with the pools of frozen heads that
   `unseen_speakers.py` leaves in its store (`--heads`), with equal weights. The first once more with a step that is
   chosen on the fold after the one that is judged, `--valid next`, which then is not trained on; and both trainings
   together.
2. The paper's split, every actor on both sides: `recipes/paper-*.toml`, evaluated every 36 steps, beside heads on the
   layers of the frozen model, of recordings as they are and at three speeds, and of the fine-tuned ones; the best
   member, and the best vote of three and of five, apparent and corrected.

What the stores have already is not computed again: a call that was cut off goes on. Prints both tables and writes
benchmarks/results/finetuned.json. On one core of a CPU, each of the 27 trainings takes 10 to 15 minutes.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ser_store as ss
from measuring.surroundings import describe_machine, list_package_versions
from ser_store.common.display import Table
from ser_store.recipes.recipe_file import find_recipe
from ser_store_h5.member import Member
from unseen_speakers import describe_figures, describe_vote

RESULT = Path(__file__).parent / "results" / "finetuned.json"
RECIPES = Path(__file__).parents[1] / "recipes"
RUN, CHOSEN, BY_SPEAKER = "whisper-base-ft", "whisper-base-ftv", "whisper-base-fts"
SEED = 7
BY_OTHER_SEED = f"{BY_SPEAKER}-seed-{SEED}"
HEADS, SPEEDS = ("logreg", "svm", "lda"), (0.9, 1.1)
ABLE = "all that are right in 88%"
PLAIN_HEADS = r"whisper-base-l[1-6]-[a-z]+-paper"
BEST_HEADS = [f"whisper-base-{head}-speeds-by-speaker-paper" for head in ("l1-lda", "l2-logreg", "l2-svm")]
# Of single members and of sums of log-probabilities; and of five as the paper has them vote.
VOTES = ((1, "soft-log", ""), (3, "soft-log", ""), (5, "soft-log", ""), (5, "hard", " by hard voting"))
PACKAGES = ("ser-store", "numpy", "scikit-learn", "torch", "transformers")
Row = tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, required=True, help="the recordings of RAVDESS")
    parser.add_argument("--model", default="whisper-base", help="a name that `serstore models` lists, or a folder")
    parser.add_argument("--store", type=Path, default=Path("finetuned.store"))
    parser.add_argument("--heads", type=Path, help="the store of unseen_speakers.py, whose pools are taken along")
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--pack", type=Path, help="also write what all members say, without audio, into this file")
    args = parser.parse_args()
    if not args.store.exists():
        ss.init(args.store, corpus="ravdess", audio=args.audio, split="emobox")
        ss.splits(args.store, add="paper")
    store = ss.Store(args.store)
    options = {"model": args.model, "audio": args.audio, "progress": True, "resume": True}
    document: dict[str, Any] = {"machine": describe_machine(), "versions": list_package_versions(PACKAGES)}
    for what, measure in (("unseen speakers", measure_unseen), ("the paper's split", measure_paper)):
        rows, document[what] = measure(store, options, args.heads)
        print(f"\n{what}:")
        print(Table(("", "accuracy", "95% interval", "balanced accuracy"), rows))
    args.result.parent.mkdir(exist_ok=True)
    args.result.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwrote {args.result}")
    if args.pack:
        pack_scores(store, args.pack)


def measure_unseen(store: ss.Store, options: dict[str, Any], heads: Path | None) -> tuple[list[Row], Any]:
    """Return the rows of the table and the figures of all members over the six folds."""
    recipe, by_speaker = (
        find_recipe(str(RECIPES / f"unseen-speakers{suffix}.toml"), store=store.path) for suffix in ("", "-by-speaker")
    )
    ss.finetune(store, run=RUN, split="emobox", fold="all", recipe=recipe, **options)
    ss.finetune(store, run=CHOSEN, split="emobox", fold="all", valid="next", recipe=recipe, **options)
    for run, one in ((BY_SPEAKER, by_speaker), (BY_OTHER_SEED, by_speaker.changed(seed=SEED))):
        ss.finetune(store, run=run, split="emobox", fold="all", recipe=one, **options)
    both = f"{RUN}+{CHOSEN}@{store.steps(CHOSEN)[-1]}"
    members = [RUN, CHOSEN, f"{CHOSEN}-selected", both, BY_SPEAKER, BY_OTHER_SEED]
    seeds = f"{BY_SPEAKER}+{BY_OTHER_SEED}"
    members.append(seeds)
    fine_tuned = (("", (RUN, both)), ("-by-speaker", (BY_SPEAKER, BY_OTHER_SEED, seeds)))
    for kind, (suffix, tuned) in product(("pool", "pool-speeds"), fine_tuned):
        pool = f"whisper-base-{kind}{suffix}"
        if heads and not store.has_run(pool):
            copy_member(ss.Store(heads), store, pool)
        if store.has_run(pool):
            members += [pool, *(f"{one}+{pool}" for one in tuned)]
    found = [ss.evaluate(store, one, on="all", split="emobox", rule="soft-log").records()[0] for one in members]
    return [describe_figures(one) for one in found], found


def copy_member(source: ss.Store, target: ss.Store, run: str) -> None:
    """Take a run along from a store of the same corpus, with what its record says of speakers."""
    target.add_run(source.run(run))
    target.write_member(source.read_member(f"{run}@0"))


def measure_paper(store: ss.Store, options: dict[str, Any], _: Path | None) -> tuple[list[Row], Any]:
    """Return the rows of the table and the figures of the paper's split."""
    runs = [path.stem for path in sorted(RECIPES.glob("paper-*.toml"))]
    for run in runs:
        recipe = find_recipe(str(RECIPES / f"{run}.toml"), store=store.path)
        ss.finetune(store, run=run, split="paper", recipe=recipe, **options)
    name = "whisper-base"
    source, *versions = (
        extract_layers(store, run, options, model=options["model"], speed=speed)
        for run, speed in ((name, 1), *((f"{name}-{speed}", speed) for speed in SPEEDS))
    )
    frozen = [
        one
        for way, augment in product(("train", "speaker"), ((), versions))
        for one in fit_heads(store, source, way, augment)
    ]
    above, weighed = [], []
    for run in runs:
        checkpoint = Path(store.run(run).details["checkpoints"]) / f"checkpoint-{store.steps(run)[-1]}"
        layers = extract_layers(store, f"{run}-layers", options, model=str(checkpoint), statistics="mean,std")
        above += fit_heads(store, layers, "speaker")
        weighed.append(pool_heads(store, layers))
    tuned = [f"{run}@{step}" for run in runs for step in store.steps(run)]
    pools = {
        "heads on frozen layers": frozen,
        "fine-tuned, all steps": tuned,
        "heads on fine-tuned layers": [*above, *weighed],
        ABLE: [*frozen, *tuned, *weighed],
    }
    return vote_pools(store, pools)


def vote_pools(store: ss.Store, pools: Mapping[str, Sequence[str]]) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows and the figures of the best one, three and five of each pool."""
    document: dict[str, Any] = {}
    rows: list[Row] = []
    for (what, members), (k, rule, by) in product(pools.items(), VOTES):
        # All ensembles of five of 150 members cannot be corrected within minutes.
        limits = ss.Limits(min_accuracy=0.88 if what == ABLE else 0.0)
        voted = ss.vote(store, members, k=k, all_combos=True, rule=rule, split="paper", limits=limits).to_json()
        document[f"{what}, best {k}{by}"] = {**voted, "results": voted["results"][:1]}
        rows += _name(f"{what}{by}", describe_vote(voted))
    return rows, document


def extract_layers(
    store: ss.Store, run: str, options: dict[str, Any], *, model: str, statistics: str = "mean", speed: float = 1
) -> str:
    """Return a member with all layers of a frozen or a fine-tuned model, for the whole corpus."""
    asked: dict[str, Any] = {"model": model, "statistics": statistics, "speed": speed, "audio": options["audio"]}
    return ss.extract(store, run=run, layers="all", **asked)[0].member


def fit_heads(store: ss.Store, source: str, way: Any, augment: Sequence[str] = ()) -> list[str]:
    """Return the runs of heads on the paper's split: each kind on each layer, and one on all layers side by side."""
    stem = source.partition("@")[0]
    layers = [str(layer) for layer in store.describe_member(source).layers]
    made = []
    for kind, layer in [*product(HEADS, layers), ("svm", "+".join(layers))]:
        suffix = f"{'-speeds' if augment else ''}{'-by-speaker' if way == 'speaker' else ''}"
        run = f"{stem}-l{layer.replace('+', '')}-{kind}{suffix}-paper"
        if not store.has_run(run):
            ss.head(store, source, kind=kind, layer=layer, split="paper", normalise=way, augment=augment, run=run)
        made.append(run)
    return made


def pool_heads(store: ss.Store, source: str) -> str:
    """Return the run of a pool of heads on all layers, weighed within the training utterances of the paper's split."""
    run = f"{source.partition('@')[0]}-pool-by-speaker-paper"
    if not store.has_run(run):
        ss.head(store, source, kind="lda", layer="all", combine="pool", split="paper", normalise="speaker", run=run)
    return run


def pack_scores(store: ss.Store, file: Path) -> None:
    """Write a packed store of the same corpus, runs and logits: no recordings, representations, weights or places."""
    corpus = replace(store.corpus, name="ravdess", paths=None, audio_root=None, audio_digests=None)
    with TemporaryDirectory() as folder:
        bare = ss.Store.create(Path(folder) / "bare.store", corpus)
        for run in store.runs():
            record, steps = store.run(run), store.steps(run)
            # The runs of single folds are in the one that is pooled of them, heads on single layers in their pools;
            # plain ones of the paper's split are kept, and those of its best five. For the size, a pool and the second
            # seed are left out.
            is_layer = re.search(r"-l\d", run) and not (run in BEST_HEADS or re.fullmatch(PLAIN_HEADS, run))
            is_part = "-fold-" in run or is_layer or run in ("whisper-base-pool-speeds", BY_OTHER_SEED)
            if record.kind == "frozen" or is_part or not steps:
                continue
            bare.add_run(replace(record, details=_without_places(record.details)))
            for step in steps[-1:] if run in (CHOSEN, BY_SPEAKER) else steps:
                member = store.read_member(f"{run}@{step}")
                bare.write_member(Member(run, step, member.rows, member.logits))
        file.unlink(missing_ok=True)
        packed = ss.pack(bare, file)
    print(f"wrote {file}: {len(packed.members)} members, {packed.bytes / 1e6:.2f} MB")


def _without_places(details: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's record says, but for folders of the machine that made it."""
    kept = {key: value for key, value in details.items() if key not in ("checkpoints", "checkpoint", "origin", "runs")}
    return {**kept, **({"model": Path(kept["model"]).name} if "model" in kept else {})}


def _name(what: str, rows: Sequence[Row]) -> Iterator[Row]:
    for row in rows:
        yield (f"{what}: {row[0]}", *row[1:])


if __name__ == "__main__":
    main()
