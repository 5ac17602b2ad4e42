"""Ten kinds of heads on six sources: `sweep` beside the script that one would write with scikit-learn.

    python benchmarks/bench_sweep.py [--repeats 2] [--workers 2] [--kinds lda,ridge,…]

Both cross-validate 1,440 utterances of 512 dimensions over the same six folds of whole speakers, standardised on the
training utterances of each fold, in as many processes; each turn is a process of its own, from `import` to the last
answer. They take turns, kind by kind; all predictions of both are compared, and the shortest turn of each counts, by
the clock and in seconds of the cores, which others that work on the machine lengthen less. At the end the whole sweep
runs once over one fold and once over all six, with intervals, the correction and the table on disk.

The representations are drawn: eight class means in 512 dimensions for each source, an offset for each of 24 speakers,
and noise. Writes benchmarks/results/sweep.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import ser_store as ss
from measuring.surroundings import describe_machine, list_package_versions
from ser_store.common.display import Table

RESULT = Path(__file__).parent / "results" / "sweep.json"
KINDS = "logreg,svm,linear-svm,ridge,lda,knn,forest,extra-trees,mlp,centroid"
PACKAGES = ("ser-store", "numpy", "scipy", "scikit-learn", "joblib")

OURS = """
import sys
import ser_store as ss
store, kinds, workers, table, *fold = sys.argv[1:]
protocol = {"split": "speakers", "fold": int(fold[0])} if fold else {"cv": "speakers"}
ss.sweep(store, kind=kinds.split(","), **protocol, workers=int(workers), table=table)
"""
SCRIPT = """
import sys
import numpy as np
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from ser_store.heads.classifiers import HEADS
arrays, kind, workers, out = sys.argv[1:]
held = np.load(arrays)
estimator = HEADS[kind].make()
if "random_state" in estimator.get_params():
    estimator.set_params(random_state=42)
pipeline, folds = make_pipeline(StandardScaler(), estimator), PredefinedSplit(held["folds"])
# Of equally frequent classes NearestCentroid.predict does not weigh distances by deviations; its scores always do.
asked = {"cv": folds, "n_jobs": int(workers), "method": "decision_function" if kind == "centroid" else "predict"}
said = [cross_val_predict(pipeline, one.astype(np.float64), held["labels"], **asked) for one in held["features"]]
np.save(out, np.stack([one.argmax(axis=1) if one.ndim == 2 else one for one in said]))
"""


@dataclass(frozen=True)
class Drawn:
    """The size of the problem; ``each`` is a speaker's number of utterances."""

    each: int
    width: int
    sources: int = 6
    speakers: int = 24
    classes: int = 8
    folds: int = 6

    @property
    def speaker(self) -> NDArray[np.intp]:
        return np.arange(self.speakers * self.each) % self.speakers

    @property
    def fold(self) -> NDArray[np.intp]:
        return self.speaker % self.folds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--kinds", default=KINDS)
    parser.add_argument("--each", type=int, default=60, help="utterances of each of 24 speakers")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="where the store is drawn, and removed again")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    drawn, kinds = Drawn(args.each, args.width), args.kinds.split(",")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        write_problem(folder, drawn)
        measured = {kind: measure_kind(folder, drawn, kind, args.workers, args.repeats) for kind in kinds}
        words = (folder / "drawn.store", args.kinds, args.workers)
        whole = {
            "one fold": run(OURS, *words, folder / "one.jsonl", 1),
            "all folds": run(OURS, *words, folder / "all.jsonl"),
        }
    rows = []
    for kind, own in measured.items():
        cells = [f"{own[who][what]:.1f}" for what in ("seconds", "core_seconds") for who in ("sweep", "script")]
        rows.append((kind, *cells, f"{own['script']['core_seconds'] / own['sweep']['core_seconds']:.2f}"))
    header = ("kind", "sweep, s", "script, s", "sweep, core s", "script, core s", "script : sweep, core s")
    print(Table(header, rows))
    for over, took in whole.items():
        seconds, of_core = took["seconds"], took["core_seconds"]
        print(f"{len(kinds)} kinds on {drawn.sources} sources over {over}: {seconds:.0f} s, {of_core:.0f} of a core")
    document = {
        "problem": asdict(drawn),
        "workers": args.workers,
        "repeats": args.repeats,
        "load_average": os.getloadavg()[1],
        "kinds": measured,
        "whole": whole,
        "machine": describe_machine(),
        "versions": list_package_versions(PACKAGES),
    }
    args.result.write_text(json.dumps(document, indent=1) + "\n")


def write_problem(folder: Path, drawn: Drawn) -> None:
    """Write the same representations into a store, and as arrays for the script."""
    rng, speaker = np.random.default_rng(0), drawn.speaker
    labels = np.arange(len(speaker)) // drawn.speakers % drawn.classes
    store = ss.Store.create(
        folder / "drawn.store",
        ids=[f"u{place:04}" for place in range(len(speaker))],
        labels=[f"class-{label}" for label in labels],
        speakers=[f"s{one:02}" for one in speaker],
        splits={"speakers": [f"fold-{fold + 1}" for fold in drawn.fold]},
    )
    features = []
    for source in range(drawn.sources):
        means = rng.normal(scale=0.25, size=(drawn.classes, drawn.width))
        offsets = rng.normal(size=(drawn.speakers, drawn.width))
        pooled = rng.normal(size=(len(speaker), drawn.width)) + means[labels] + offsets[speaker]
        features.append(pooled.astype(np.float16))
        store.add(f"source-{source}", ids=store.corpus.ids.tolist(), pooled=features[-1], trained_on="nothing")
    np.savez(folder / "drawn.npz", features=np.stack(features), labels=labels, folds=drawn.fold)


def measure_kind(folder: Path, drawn: Drawn, kind: str, workers: int, repeats: int) -> dict[str, dict[str, float]]:
    """Compare what both predict, then return the shortest turn of each, in seconds on the clock and of the cores."""
    turns: dict[str, list[dict[str, float]]] = {"sweep": [], "script": []}
    for turn in range(repeats):
        table, said = folder / f"{kind}-{turn}.jsonl", folder / f"{kind}-{turn}.npy"
        turns["sweep"].append(run(OURS, folder / "drawn.store", kind, workers, table))
        turns["script"].append(run(SCRIPT, folder / "drawn.npz", kind, workers, said))
        compare(kind, drawn, table, np.load(said))
    return {who: {what: min(one[what] for one in own) for what in own[0]} for who, own in turns.items()}


def compare(kind: str, drawn: Drawn, table: Path, said: NDArray[np.intp]) -> None:
    """Refuse to report where one utterance is answered otherwise."""
    by_fold = np.argsort(drawn.fold, kind="stable")
    ours = {line["source"]: line["predicted"] for line in map(json.loads, table.read_text().splitlines())}
    for source in range(drawn.sources):
        differing = int((np.array(ours[f"source-{source}@0"]) != said[source][by_fold]).sum())
        if differing:
            raise SystemExit(f"{kind} on source {source}: {differing} of {len(by_fold)} predictions differ")


def run(program: str, *words: object) -> dict[str, float]:
    """Return the seconds that a process of its own takes, and those of the cores with all that it starts."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program, *map(str, words)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cores = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(time.perf_counter() - start, 2), "core_seconds": round(cores, 2)}


if __name__ == "__main__":
    main()
