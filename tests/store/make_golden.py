"""Write the golden stores of a release, beside each the store packed, and as JSON what is in it.

``python tests/store/make_golden.py`` writes what is not there yet.

A golden store is written once, by the release whose name it bears, and stays as it is for good: it shows that later
releases read what was written before them. Run this only to add the store of a new format version.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ser_store_h5 import __version__
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.pack.packing import pack
from ser_store_h5.runs import RunRecord, Selection
from ser_store_h5.store import Store

GOLDEN = Path(__file__).parent / "golden"
N = 12
TEST_ROWS = [2, 5, 8, 11]


def make_corpus() -> Corpus:
    """Twelve utterances with every optional part that the format has."""
    rows = np.arange(N)
    return Corpus(
        name="golden",
        ids=np.array([f"{row // 4 + 1:02}-ø{row:02}-{'kids' if row % 2 else 'dogs'}" for row in rows]),
        labels=(rows * 5 % 3).astype(np.int16),
        classes=("angry", "fröhlich", "悲しい"),
        speakers=np.array([f"actor-{row // 4 + 1:02}" if row != 7 else "" for row in rows]),
        columns={
            "repetition": (rows % 2 + 1).astype(np.int64),
            "duration": np.where(rows == 3, np.nan, 2.5 + rows / 8),
            "sex, själv": np.array(["", "weiblich", "männlich"])[rows % 3],
        },
        splits={
            "paper": np.array(["test" if row in TEST_ROWS else "train" for row in rows]),
            "folds": np.array([f"fold-{row % 3 + 1}" if row else "" for row in rows]),
        },
        default_split="paper",
        paths=np.array([f"Actor_{row // 4 + 1:02}/{row:02}.flac" for row in rows]),
        audio_root="/recordings/golden",
        audio_digests=(rows[:, None] * 32 + np.arange(32)).astype(np.uint8),
    )


def make_members() -> list[Member]:
    """Three steps of a fine-tuning, two of them of the test part alone, and labels from elsewhere."""
    members = []
    for step, rows in ((10, TEST_ROWS), (20, TEST_ROWS), (1_000_000, list(range(N)))):
        covered = np.array(rows, dtype=np.int32)
        logits = (covered[:, None] * [1, -1, 0.1] + np.array([0.0, 8.0, 0.5]) + step / 64).astype(np.float32)
        pooled = np.sin(covered[:, None] * 4 + np.arange(4) + step).astype(np.float16)
        provenance = {"model_digest": "ab" * 32, "pooling": "mean", "precision": "float32", "note": "süß"}
        members.append(Member("tiny-hubert", step, covered, logits=logits, pooled=pooled, provenance=provenance))
    said = (np.arange(N) % 3).astype(np.int16)
    members.append(Member("listeners", 0, np.arange(N, dtype=np.int32), predicted=said))
    return members


def make_members_with_layers() -> list[Member]:
    """Version 2 of a member: two of them with layers, one in both widths, and beside them two without."""
    members = [make_members()[-1]]
    for step, rows, numbers in ((10, TEST_ROWS, (0, 3, 12)), (20, list(range(N)), (7,)), (30, TEST_ROWS, ())):
        covered = np.array(rows, dtype=np.int32)
        vectors = np.cos(covered[:, None] * 4 + np.arange(4) + step)
        layers = {number: (vectors * (number + 1)).astype(np.float32 if number else np.float16) for number in numbers}
        provenance = {"pooling": "mean,std", "layers": list(numbers)}
        pooled = None if layers else vectors.astype(np.float16)
        members.append(Member("tiny-hubert", step, covered, pooled=pooled, layers=layers, provenance=provenance))
    return members


def make_records() -> list[RunRecord]:
    selected = Selection(20, "best", "test", "accuracy 0.5 at step 20")
    details = {"seed": 101, "recipe": {"learning_rate": 3e-05, "epochs": 3}, "split": "paper"}
    return [
        RunRecord("tiny-hubert", "finetune", "tiny-hubert", selected=selected, details=details),
        RunRecord("listeners", "import", "answers.csv"),
    ]


CURVES: list[dict[str, Any]] = [
    {"step": 5, "train_loss": 2.0794415416798357, "learning_rate": 3e-05, "seconds": 0.5},
    {"step": 10, "eval_loss": 1.75, "accuracy": 0.25, "balanced_accuracy": 0.25, "seconds": 1.0},
    {"step": 20, "eval_loss": 1.5, "accuracy": 0.5, "balanced_accuracy": 0.5, "seconds": 2.0},
]


STORES: dict[str, Callable[[], list[Member]]] = {"": make_members, "-layers": make_members_with_layers}


def find_members(path: Path) -> list[Member]:
    """What the golden store of this name holds."""
    return STORES["-layers" if path.name.endswith("-layers") else ""]()


def write_golden(path: Path, members: list[Member]) -> None:
    store = Store.create(path, make_corpus())
    for record in make_records():
        store.add_run(record)
    for point in CURVES:
        store.append_curve("tiny-hubert", **point)
    for member in members:
        store.write_member(member)


def _to_json(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return [None if value != value else value for value in values.tolist()]
    return {str(name): _to_json(inner) for name, inner in values.items()} if isinstance(values, dict) else values


def describe_golden(members: list[Member]) -> dict[str, Any]:
    """What is in the golden store, told by the values that went in and by nothing that came out."""
    corpus = {name: _to_json(value) for name, value in vars(make_corpus()).items()}
    stated = {
        member.name: {name: _to_json(value) for name, value in vars(member).items() if name != "layers" or value}
        for member in members
    }
    runs = {record.run: record.to_json() for record in make_records()}
    return {"corpus": corpus, "members": stated, "runs": runs, "curves": {"tiny-hubert": CURVES, "listeners": []}}


if __name__ == "__main__":
    for kind, make in STORES.items():
        place = GOLDEN / f"v{__version__}{kind}"
        packed = place.with_name(f"{place.name}.pack.h5")
        if place.exists() and packed.exists():
            print(f"{place} is there already: a golden store is never written again")
            continue
        write_golden(place, make())
        text = json.dumps(describe_golden(make()), indent=1, ensure_ascii=False)
        place.with_name(f"{place.name}.json").write_text(text + "\n", encoding="utf-8")
        pack(Store(place), packed)
