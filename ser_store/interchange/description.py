"""What a store holds, how much room it takes, and how much the checkpoints it stands for would take."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_store.backbones.catalogue import lookup
from ser_store.backbones.description import Backbone
from ser_store.common.display import Block, Result, Table, format_bytes
from ser_store.errors import UnknownNameError
from ser_store_h5.corpus import Corpus
from ser_store_h5.findings import FileProblem, Survey
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store

OTHER = "other"


@dataclass(frozen=True)
class RunDescription:
    """One run.

    Attributes:
        record: what it says of itself.
        members: how many steps are cached.
        selected: the selected step; None without members.
        bytes: of its folder, without checkpoints.
        checkpoint_bytes: of its checkpoints.
        dataset_bytes: of its members' arrays by name.
    """

    record: RunRecord
    members: int
    selected: int | None
    bytes: int
    checkpoint_bytes: int
    dataset_bytes: Mapping[str, int]

    def to_cells(self) -> list[object]:
        """Return its row of the table of runs."""
        record = self.record
        sizes = [_format_size(self.dataset_bytes.get(name, 0)) for name in ("pooled", "logits")]
        facts = [record.run, record.kind, record.backbone, record.state, self.members, self.selected]
        return [*facts, *sizes, format_bytes(self.bytes), _format_size(self.checkpoint_bytes)]


def _format_size(size: int) -> str:
    return format_bytes(size) if size else "–"


@dataclass(frozen=True)
class CheckpointComparison:
    """What the checkpoints of all cached steps of one backbone would take, and what is kept of them instead.

    Attributes:
        backbone: the catalogue's key.
        runs: its runs.
        steps: cached steps of these runs together.
        parameters: of the backbone with a head for eight classes.
        checkpoint_bytes: of one checkpoint: parameters in float32, no optimizer state.
        store_bytes: what these runs take here.
    """

    backbone: str
    runs: tuple[str, ...]
    steps: int
    parameters: int
    checkpoint_bytes: int
    store_bytes: int

    @property
    def checkpoints_bytes(self) -> int:
        """What one checkpoint for each cached step would take."""
        return self.steps * self.checkpoint_bytes

    @property
    def ratio(self) -> float:
        """How many times less the store takes."""
        return self.checkpoints_bytes / self.store_bytes

    def to_cells(self) -> list[object]:
        """Return its row of the table of backbones."""
        sizes = map(format_bytes, (self.checkpoint_bytes, self.checkpoints_bytes, self.store_bytes))
        return [self.backbone, self.steps, *sizes, f"{self.ratio:,.0f}"]

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name, with what all checkpoints would take and the ratio."""
        return {
            **vars(self),
            "runs": list(self.runs),
            "checkpoints_bytes": self.checkpoints_bytes,
            "ratio": self.ratio,
        }


@dataclass(frozen=True, repr=False)
class StoreDescription(Result):
    """Corpus and runs of a store.

    Attributes:
        path: its folder or file.
        corpus: its utterances.
        runs: all whose records can be read, with the members that can.
        bytes: of everything but checkpoints, damaged or not.
        corpus_bytes: of the corpus alone.
        comparisons: of each pretrained backbone, what its checkpoints would take.
        problems: what is wrong with the rest; see :class:`~ser_store_h5.readable.Survey`.
    """

    path: Path
    corpus: Corpus
    runs: tuple[RunDescription, ...]
    bytes: int
    corpus_bytes: int
    comparisons: tuple[CheckpointComparison, ...]
    problems: tuple[FileProblem, ...] = ()

    @property
    def dataset_bytes(self) -> dict[str, int]:
        """Size of the arrays of all members by name, the largest first, and at last of everything else."""
        arrays = _add_up(run.dataset_bytes for run in self.runs)
        return {**arrays, OTHER: self.bytes - sum(arrays.values())}

    def list_cautions(self) -> tuple[str, ...]:
        """Return what is damaged, and therefore left out: a line for each file."""
        return tuple(f"{problem.file}: {problem.problem}" for problem in self.problems)

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore info`` prints."""
        corpus = self.corpus
        speakers = f", {len(corpus.known_speakers)} speakers" if corpus.known_speakers else ""
        yield f"{self.path}: {corpus.name}, {len(corpus)} utterances{speakers}, {format_bytes(self.bytes)}"
        yield f"classes: {', '.join(corpus.classes)}"
        if corpus.columns:
            yield f"columns: {', '.join(corpus.columns)}"
        for split, sizes in self._count_parts().items():
            parts = ", ".join(f"{n} {part}" for part, n in sizes.items())
            yield f"split {split}{' (default)' if split == corpus.default_split else ''}: {parts}"
        if self.runs:
            yield from self._describe_sizes()

    def _count_parts(self) -> dict[str, dict[str, int]]:
        corpus = self.corpus
        return {
            split: {part: len(corpus.rows(part, split=split)) for part in corpus.part_names(split)}
            for split in corpus.splits
        }

    def _describe_sizes(self) -> Iterator[Block]:
        """Sizes by run, by array, and beside those of the checkpoints that the members stand for."""
        yield ""
        header = ["run", "kind", "backbone", "state", "members", "selected", "pooled", "logits", "size", "checkpoints"]
        yield Table(header, [run.to_cells() for run in self.runs])
        sizes = [f"{name} {format_bytes(size)}" for name, size in self.dataset_bytes.items()]
        yield f"\nby dataset: {', '.join(sizes)} (of which corpus {format_bytes(self.corpus_bytes)})"
        if self.comparisons:
            yield ""
            header = ["backbone", "cached steps", "one checkpoint", "all checkpoints", "here", "ratio"]
            yield Table(header, [one.to_cells() for one in self.comparisons])

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each run: what it is, how many members it has, the selected step, and sizes in bytes."""
        return [
            {
                **{name: getattr(run.record, name) for name in ("run", "kind", "backbone", "state")},
                **{name: getattr(run, name) for name in ("members", "selected", "bytes", "checkpoint_bytes")},
            }
            for run in self.runs
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore info --json``."""
        corpus = self.corpus
        return {
            "store": str(self.path),
            "corpus": corpus.name,
            "n": len(corpus),
            "classes": list(corpus.classes),
            "speakers": len(corpus.known_speakers) or None,
            "columns": list(corpus.columns),
            "default_split": corpus.default_split,
            "splits": self._count_parts(),
            "digest": corpus.digest,
            "bytes": self.bytes,
            "corpus_bytes": self.corpus_bytes,
            "dataset_bytes": self.dataset_bytes,
            "checkpoints": [comparison.to_json() for comparison in self.comparisons],
            "runs": [
                {
                    **run.record.to_json(),
                    "members": run.members,
                    "selected_step": run.selected,
                    "bytes": run.bytes,
                    "checkpoint_bytes": run.checkpoint_bytes,
                    "dataset_bytes": dict(run.dataset_bytes),
                }
                for run in self.runs
            ],
            "problems": [vars(problem) for problem in self.problems],
        }


def describe_store(store: StoreLike) -> StoreDescription:
    """Describe a store: corpus, splits, runs and sizes. The arrays of its members are not read.

    Raises:
        StoreError: if there is no store at the path.

    >>> import ser_store as ss
    >>> description = ss.describe_store(ss.open_example())
    >>> len(description.runs), description.corpus.name
    (6, 'reconstructed_predictions')
    """
    store = open_store(store)
    survey = store.survey()
    runs = tuple(_describe_run(store, survey, name) for name in survey.records)
    corpus_bytes = store.place.measure_corpus()
    folder_bytes = corpus_bytes + sum(map(store.place.measure_run, store.runs()))
    return StoreDescription(
        path=store.path,
        corpus=store.corpus,
        runs=runs,
        bytes=store.path.stat().st_size if store.is_packed else folder_bytes,
        corpus_bytes=corpus_bytes,
        comparisons=tuple(_compare_with_checkpoints(runs)),
        problems=survey.problems,
    )


def _describe_run(store: Store, survey: Survey, name: str) -> RunDescription:
    members = [member for member in survey.members if member.run == name]
    return RunDescription(
        record=survey.records[name],
        members=len(members),
        selected=store.selected_step(name) if members else None,
        bytes=store.place.measure_run(name),
        checkpoint_bytes=store.place.measure_checkpoints(name),
        dataset_bytes=_add_up(member.dataset_bytes for member in members),
    )


def _add_up(sizes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for size in sizes:
        total.update(size)
    return dict(total.most_common())


def _find_backbone(record: RunRecord) -> Backbone | None:
    """The pretrained backbone whose checkpoints the run's members stand for; heads and features have none."""
    try:
        backbone = lookup(record.backbone)
    except UnknownNameError:
        return None
    return backbone if backbone.bytes_fp32 and record.kind != "head" else None


def _compare_with_checkpoints(runs: Iterable[RunDescription]) -> Iterable[CheckpointComparison]:
    found: dict[str, tuple[Backbone, list[RunDescription]]] = {}
    for run in runs:
        backbone = _find_backbone(run.record)
        # Labels alone take the place of no checkpoint.
        if backbone is not None and run.members and {"pooled", "logits"} & run.dataset_bytes.keys():
            found.setdefault(backbone.key, (backbone, []))[1].append(run)
    for key, (backbone, its_runs) in found.items():
        yield CheckpointComparison(
            backbone=key,
            runs=tuple(run.record.run for run in its_runs),
            steps=sum(run.members for run in its_runs),
            parameters=backbone.parameters,
            checkpoint_bytes=backbone.bytes_fp32,
            store_bytes=sum(run.bytes for run in its_runs),
        )
