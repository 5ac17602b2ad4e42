"""The honest baseline: what heads, votes and pools on features without training say of speakers they have not met.

    python benchmarks/baseline.py --audio RAVDESS [--model whisper-base] [--store baseline.store]

Extracts four acoustic feature sets (MFCC, log-mel, eGeMAPS and ComParE by openSMILE) and the means of all layers of a
frozen backbone, sweeps kinds of heads over them by the six published folds of RAVDESS, with inputs standardised on
the training utterances and by speaker, and votes and pools the heads. What the store and the table beside it have
already is not computed again.

Reported are every head; the best of each family, apparent and corrected for having been chosen on the speakers that it
is judged on; the best vote, likewise; and what chooses nothing on these speakers, so that nothing is left to correct:
the sum of one kind over all layers, a pool of all heads, whose weights are fitted on the other folds, and pools that
the training speakers of each fold make. Intervals are by speaker. Writes benchmarks/results/baseline.json, and prints
the tables of docs/baseline.md.

Source of the folds: EmoBox (Ma et al., Interspeech 2024).
"""

import argparse
import json
from pathlib import Path
from typing import Any

import ser_store as ss
from measuring.surroundings import describe_machine, list_package_versions
from ser_store.common.display import Percent, Table, format_interval

RESULT = Path(__file__).parent / "results" / "baseline.json"
SPLIT, SIZES, WAYS = "emobox", [2, 3, 4, 5], ("train", "speaker")
SMALL = ("mfcc", "logmel", "egemaps")
# Of the 6,373 columns of ComParE one fit of LDA takes 147 seconds of a core, of an MLP 45 and of a forest 23: there LDA
# gets the principal components. Forests and MLPs of all layers together take longer than all the rest.
KINDS = {
    "small acoustic sets": "logreg lda svm linear-svm ridge knn centroid forest extra-trees mlp",
    "ComParE": "logreg svm ridge knn centroid extra-trees",
    "layers of the backbone": "logreg lda svm ridge knn centroid extra-trees",
}
VOTING = ("logreg", "lda")
VARIANCE = 0.9
GRID = {"shrinkage": [0.6, 0.3, 0.1]}
PACKAGES = ("ser-store", "numpy", "scikit-learn", "torch", "transformers", "opensmile")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", type=Path, required=True, help="the recordings of RAVDESS")
    parser.add_argument("--model", default="whisper-base", help="a name that `serstore models` lists, or a folder")
    parser.add_argument("--store", type=Path, default=Path("baseline.store"))
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    name = Path(args.model).name
    store = extract_all(args.store, args.audio, args.model, name)
    sources: dict[str, tuple[list[str], str | None]] = {
        "small acoustic sets": (list(SMALL), None),
        "ComParE": (["compare"], None),
        "layers of the backbone": ([name], "all"),
    }
    swept = {
        family: ss.sweep(store, own, layer=layer, kind=KINDS[family].split(), cv=SPLIT, normalise=WAYS, progress=True)
        for family, (own, layer) in sources.items()
    }
    combined = {way: combine(store, name, way) for way in WAYS}
    print_heads(swept)
    print_best(swept, combined)
    document = {
        "model": name,
        "split": SPLIT,
        "seed": 42,
        "machine": describe_machine(),
        "versions": list_package_versions(PACKAGES),
        "heads": {family: {**found.to_json(), "table": None} for family, found in swept.items()},
        "combined": combined,
    }
    args.result.write_text(json.dumps(document, indent=1) + "\n")


def extract_all(path: Path, audio: Path, model: str, name: str) -> ss.Store:
    """Return the store with all representations."""
    if not path.exists():
        ss.init(path, corpus="ravdess", audio=audio, split=SPLIT)
    store = ss.Store(path)
    for source in (*SMALL, "compare"):
        if source not in store.runs():
            ss.extract(store, model=source, audio=audio, progress=True)
    if name not in store.runs():
        ss.extract(store, model=model, run=name, layers="all", audio=audio, progress=True)
    return store


def combine(store: ss.Store, name: str, way: Any) -> dict[str, dict[str, Any]]:
    """Return the best votes, of acoustic heads, of the backbone's and of both, the sum over layers, and the pools."""
    suffix = "" if way == "train" else f"-by-{way}"
    pairs = [(source, kind) for source in (*SMALL, "compare") for kind in VOTING]
    acoustic = [
        fit(store, f"{source}-{kind}{suffix}", source, way, kind=kind, pca=reduce(source, kind))
        for source, kind in pairs
    ]
    of_layers = {
        kind: [
            fit(store, f"{name}-l{layer}-{kind}{suffix}", name, way, kind=kind, layer=layer)
            for layer in store.describe_member(name).layers
        ]
        for kind in VOTING
    }
    frozen = [member for own in of_layers.values() for member in own[1:]]  # what enters the first layer is never near
    groups = {"acoustic": acoustic, "backbone": frozen, "both": acoustic + frozen}
    votes = {f"vote, {group}": vote(store, members) for group, members in groups.items()}
    sums = {f"sum over all layers, {kind}": decide(store, own, "soft-log") for kind, own in of_layers.items()}
    fitted = {f"fitted pool, {group}": decide(store, own, "pool") for group, own in groups.items()}
    small: dict[str, Any] = {"kind": VOTING, "combine": "pool"}
    tuned: dict[str, Any] = {"kind": "lda", "layer": "all", "tune": GRID, "combine": "pool"}
    pools = {
        "pool, small acoustic sets": fit(store, f"acoustic-pool{suffix}", list(SMALL), way, **small),
        "pool, backbone": fit(store, f"{name}-pool{suffix}", name, way, **tuned),
    }
    made = {what: ss.evaluate(store, member, on="all").records()[0] for what, member in pools.items()}
    return {**votes, **sums, **fitted, **made}


def reduce(source: str, kind: str) -> float | None:
    """Return the share of the variance that the principal components hold which a head gets; None for all columns."""
    return VARIANCE if (source, kind) == ("compare", "lda") else None


def fit(store: ss.Store, run: str, source: str | list[str], way: Any, **asked: Any) -> str:
    """Fit the head of a run unless it is there; return the run."""
    if run not in store.runs():
        ss.head(store, source, run=run, cv=SPLIT, normalise=way, progress=True, **asked)
    return run


def vote(store: ss.Store, members: list[str]) -> dict[str, Any]:
    """Return the best ensemble, and its accuracy corrected for having been chosen."""
    found = ss.vote(store, members, k=SIZES, all_combos=True, rule="soft-log", on="all").to_json()
    kept = ("rule", "searched", "selection", "note")
    return {"candidates": len(members), **{key: found.get(key) for key in kept}, "best": found["results"][0]}


def decide(store: ss.Store, members: list[str], rule: Any) -> dict[str, Any]:
    """Return the accuracy of all members together, and its interval."""
    own = ss.vote(store, members, rule=rule, on="all").to_json()["results"][0]
    low, high = own["ci95"]
    return {"members": own["members"], "n": own["n"], "accuracy": own["accuracy"], "low": low, "high": high}


def print_heads(swept: dict[str, Any]) -> None:
    """Print the accuracy of each kind on each input, as it is and by speaker."""
    heads = {(one.inputs, one.kind, one.normalise): one for found in swept.values() for one in found.heads}
    kinds = KINDS["small acoustic sets"].split()
    for way in WAYS:
        inputs = dict.fromkeys(name for name, _, _ in heads)
        rows = [
            [name, *(Percent(heads[name, kind, way].accuracy) if (name, kind, way) in heads else "–" for kind in kinds)]
            for name in inputs
        ]
        print(f"\nstandardised by {way}:")
        print(Table(("inputs", *kinds), sorted(rows, key=lambda row: str(row[0]))))


def print_best(swept: dict[str, Any], combined: dict[str, dict[str, Any]]) -> None:
    """Print the best heads, votes and pools, apparent and corrected."""
    rows: list[list[object]] = []
    for found in swept.values():
        [best] = found.best
        one, left = best.head, best.selection
        what = f"best of {best.n_candidates} heads: {one.kind} on {one.inputs} by {one.normalise}"
        rows.append([what, Percent(one.accuracy), Percent(left.corrected), format_interval(left.bounds)])
    for way, by_name in combined.items():
        for what, own in by_name.items():
            if "best" not in own:
                rows.append(
                    [f"{what}, by {way}", "–", Percent(own["accuracy"]), format_interval((own["low"], own["high"]))]
                )
                continue
            left = own["selection"]
            what = f"{what}, {own['best']['k']} of {own['candidates']}, by {way}"
            figures = [Percent(own["best"]["accuracy"]), Percent(left["corrected"]), format_interval(left["interval"])]
            rows.append([what, *figures])
    print()
    print(Table(("", "apparent", "corrected", "95% interval"), rows))


if __name__ == "__main__":
    main()
