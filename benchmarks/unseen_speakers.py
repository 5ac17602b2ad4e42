"""What frozen layers know of emotion in speakers they have not met: the six published folds of RAVDESS, one store.

    python benchmarks/unseen_speakers.py --audio RAVDESS [--model whisper-base] [--store unseen.store]

Extracts the means of all layers over time, and their standard deviations; fits two kinds of heads on each layer's mean
over the split `emobox`, as they are and with each speaker standardised by his own recordings, and searches all
ensembles of three to seven of them by soft-log voting. Reported are

- every head, the average of all of them, of which nothing was chosen, and the best ensemble, apparent and corrected for
  having been chosen on the speakers that it is judged on;
- what training speakers alone choose, for each fold anew: one linear discriminant (its layer and shrinkage), and pools
  of all of them, with fitted weights, on means alone and on means and standard deviations too; and the same of heads
  that are fitted on each recording at three speeds, and score the mean over these;
- what four speakers alone choose, as they choose the step of a fine-tuning with `--valid next`: one linear discriminant
  that is fitted on four folds and chosen on a fifth, the one after the fold that is judged.

What the store has already is not computed again. Prints a table and writes benchmarks/results/unseen_speakers.json.

Source of the folds: EmoBox (Ma et al., Interspeech 2024), which reports 75.87% for Whisper large v3, frozen.
"""

import argparse
import json
import re
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ser_store as ss
from measuring.surroundings import describe_machine, list_package_versions
from ser_store.common.display import Table

RESULT = Path(__file__).parent / "results" / "unseen_speakers.json"
SPLIT, KINDS, SIZES = "emobox", ("logreg", "lda"), [3, 4, 5, 6, 7]
SPEEDS = (0.9, 1.1)
GRID = {"shrinkage": [0.6, 0.3, 0.1]}
PACKAGES = ("ser-store", "numpy", "scikit-learn", "torch", "transformers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, required=True, help="the recordings of RAVDESS")
    parser.add_argument("--model", default="whisper-base", help="a name that `serstore models` lists, or a folder")
    parser.add_argument("--store", type=Path, default=Path("unseen.store"))
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    if not args.store.exists():
        ss.init(args.store, corpus="ravdess", audio=args.audio, split=SPLIT)
    store = ss.Store(args.store)
    name = Path(args.model).name
    cached = {"model": args.model, "layers": "all", "audio": args.audio, "progress": True}
    source = ss.extract(store, run=name, **cached)[0].member
    ss.extract(store, run=f"{name}-std", statistics="std", **cached)
    for speed in SPEEDS:
        ss.extract(store, run=f"{name}-{speed:g}", speed=speed, **cached)
        ss.extract(store, run=f"{name}-std-{speed:g}", speed=speed, statistics="std", **cached)
    measured = {way: measure(store, source, name, way) for way in ("train", "speaker")}
    for way, found in measured.items():
        print(f"\n{name}, frozen, inputs standardised by {way}, {SPLIT}:")
        print(Table(("", "accuracy", "95% interval", "balanced accuracy"), list(found["rows"])))
    document = {
        "model": name,
        "split": SPLIT,
        "seed": 42,
        "machine": describe_machine(),
        "versions": list_package_versions(PACKAGES),
        "by": {way: found["document"] for way, found in measured.items()},
    }
    args.result.parent.mkdir(exist_ok=True)
    args.result.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwrote {args.result}")


def measure(store: ss.Store, source: str, name: str, way: Any) -> dict[str, Any]:
    """Return the figures of heads, of ensembles and of what training speakers choose, and the rows of the table."""
    suffix = "" if way == "train" else f"-by-{way}"
    members = []
    for number in store.describe_member(source).layers:
        for kind in KINDS:
            run = f"{name}-l{number}-{kind}{suffix}"
            if run not in store.runs():
                ss.head(store, source, kind=kind, layer=number, cv=SPLIT, normalise=way, progress=True)
            members.append(run)
    heads = ss.evaluate(store, members, on="all").records()
    average = ss.evaluate(store, "+".join(members), on="all", rule="soft-log").records()
    candidates = [one for one in members if f"{name}-l0-" not in one]  # what enters the first layer is never near
    voted = ss.vote(store, candidates, k=SIZES, all_combos=True, rule="soft-log", on="all").to_json()
    best = {**voted, "results": voted["results"][:1]}
    del best["by_k"]
    nested = choose_within(store, name, way, suffix)
    if way == "train":
        what = "one lda, fitted on four folds, its layer and shrinkage chosen on the next"
        nested[what] = choose_on_next(store, source)
    return {
        "document": {"heads": heads, "average": average[0], "vote": best, "nested": nested},
        "rows": [
            *map(describe_figures, heads),
            (f"average of all {len(members)} heads, none chosen", *describe_figures(average[0])[1:]),
            *describe_vote(voted),
            *((what, *describe_figures(found)[1:]) for what, found in nested.items()),
        ],
    }


def choose_within(store: ss.Store, name: str, way: Any, suffix: str) -> dict[str, dict[str, Any]]:
    """Return the figures of what is chosen on the training speakers of each fold, and what that is."""
    source = {"means": name, "means and deviations": f"{name}+{name}-std"}
    asked: dict[str, tuple[str, Any]] = {
        "one lda, its layer and shrinkage chosen within": ("means", None),
        "a pool of all lda on means, weighed within": ("means", "pool"),
        "a pool of all lda on means and deviations, weighed within": ("means and deviations", "pool"),
    }
    found = {}
    for (what, (held, combine)), at_speeds in product(asked.items(), (False, True)):
        augment = [re.sub(r"(?=\+|$)", f"-{speed:g}", source[held]) for speed in SPEEDS] if at_speeds else []
        marks = [*(["std"] if held != "means" else []), combine or "tuned", *(["speeds"] if at_speeds else [])]
        run = f"{name}-{'-'.join(marks)}{suffix}"
        if run not in store.runs():
            options = {"layer": "all", "tune": GRID, "combine": combine, "cv": SPLIT, "normalise": way}
            ss.head(store, source[held], kind="lda", augment=augment, run=run, progress=True, **options)
        found[f"{what}{', at three speeds' if at_speeds else ''}"] = {
            **ss.evaluate(store, run, on="all").records()[0],
            "chosen": [[_shorten(one) for one in heads] for heads in store.run(run).details["chosen"]],
        }
    return found


def choose_on_next(store: ss.Store, source: str) -> dict[str, Any]:
    """Return the figures of a discriminant that is chosen on the fold after the judged one and fitted on the others."""
    run, corpus = f"{source.partition('@')[0]}-next", store.corpus
    layers = {number: store.pooled(source, layer=number) for number in store.describe_member(source).layers}
    folds = [corpus.rows(part, split=SPLIT) for part in corpus.part_names(SPLIT)]
    logits, chosen = np.zeros((len(corpus), len(corpus.classes))), []
    for judged, following in zip(folds, [*folds[1:], folds[0]], strict=True):
        train = np.setdiff1d(np.arange(len(corpus)), np.concatenate([judged, following]))
        tried = []
        for (number, values), shrinkage in product(layers.items(), GRID["shrinkage"]):
            discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
            head = make_pipeline(StandardScaler(), discriminant).fit(values[train], corpus.labels[train])
            tried.append((head.score(values[following], corpus.labels[following]), number, shrinkage, head))
        accuracy, number, shrinkage, head = max(tried, key=itemgetter(0))
        logits[judged] = head.decision_function(layers[number][judged])
        chosen.append({"layer": number, "shrinkage": shrinkage, "accuracy_on_next": round(accuracy, 4)})
    if run not in store.runs():
        store.add(run, ids=corpus.ids, logits=logits, split=SPLIT, trained_on="others")
    return {**ss.evaluate(store, run, on="all").records()[0], "chosen": chosen}


def _shorten(chosen: dict[str, Any]) -> dict[str, Any]:
    accuracy = round(max(chosen["accuracies"]), 4)
    inputs = f"{chosen['source']} layer {chosen['layer']}"
    return {"inputs": inputs, **chosen["settings"], "weight": round(chosen["weight"], 3), "accuracy_within": accuracy}


def describe_figures(found: dict[str, Any]) -> tuple[str, ...]:
    """Return a row: the member, its accuracy, the interval and the balanced accuracy."""
    figures = (found["accuracy"], found["low"], found["high"])
    return (found["member"], *_show(*figures), f"{found['balanced_accuracy']:.2%}")


def describe_vote(voted: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the best ensemble as it appears, and what is left of it when the choice is corrected for."""
    best, left = voted["results"][0], voted["selection"]
    corrected = _show(left["corrected"], *left["interval"]) if left else (voted["note"], "")
    return [
        (
            f"best {best['k']} of {len(voted['candidates'])}, apparent",
            *_show(best["accuracy"], *best["ci95"]),
            f"{best['balanced_accuracy']:.2%}",
        ),
        ("the same, corrected for having been chosen", *corrected, ""),
    ]


def _show(value: float, low: float, high: float) -> tuple[str, str]:
    return f"{value:.2%}", f"[{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    main()
