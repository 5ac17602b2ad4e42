"""What a store holds, and how much room it takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_store_h5.corpus import Corpus
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@dataclass(frozen=True)
class RunDescription:
    """One run: its record, the number of its members, the selected step, and sizes in bytes."""

    record: RunRecord
    members: int
    selected: int | None
    bytes: int
    checkpoint_bytes: int


@dataclass(frozen=True)
class StoreDescription:
    """Corpus and runs of a store; ``bytes`` counts everything but checkpoints."""

    path: Path
    corpus: Corpus
    runs: tuple[RunDescription, ...]
    bytes: int

    def to_json(self) -> dict[str, Any]:
        corpus = self.corpus
        return {
            "store": str(self.path),
            "corpus": corpus.name,
            "n": len(corpus),
            "classes": list(corpus.classes),
            "speakers": None if corpus.speakers is None else len(set(corpus.speakers.tolist())),
            "columns": list(corpus.columns),
            "default_split": corpus.default_split,
            "splits": {
                split: {part: len(corpus.rows(part, split=split)) for part in corpus.part_names(split)}
                for split in corpus.splits
            },
            "digest": corpus.digest,
            "bytes": self.bytes,
            "runs": [
                {
                    **run.record.to_json(),
                    "members": run.members,
                    "selected_step": run.selected,
                    "bytes": run.bytes,
                    "checkpoint_bytes": run.checkpoint_bytes,
                }
                for run in self.runs
            ],
        }


def describe_store(path: Path) -> StoreDescription:
    """Describe a store without reading its arrays.

    Raises:
        StoreError: if there is no store at ``path``.
    """
    store = Store(path)
    runs = []
    for name in store.runs():
        steps = store.steps(name)
        folder = store.run_folder(name)
        runs.append(
            RunDescription(
                record=store.run(name),
                members=len(steps),
                selected=store.selected_step(name) if steps else None,
                bytes=sum(file.stat().st_size for file in folder.iterdir() if file.is_file()),
                checkpoint_bytes=_measure(folder / "checkpoints"),
            )
        )
    total = (store.path / "corpus.h5").stat().st_size + sum(run.bytes for run in runs)
    return StoreDescription(path=store.path, corpus=store.corpus, runs=tuple(runs), bytes=total)


def _measure(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
