"""What a member lacks is computed block by block, each on the disk at once, and at the end the member is composed."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from ser_store.audio.recordings import CorpusRecordings, Recordings
from ser_store.common.display import Block, Result
from ser_store.common.log import LOGGER
from ser_store.common.provenance import digest_recordings
from ser_store.common.threads import map_threaded
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.errors import AudioError, StoreError, list_some
from ser_store.extraction.identity import list_identity_differences
from ser_store.extraction.network import Piece
from ser_store.extraction.sources import Extractor
from ser_store.inference.float16 import FLOAT16_LIMIT
from ser_store.training.distributed.processes import (
    meet,
    not_alone,
    stated_once,
    tell_all,
    wait_for_all,
)
from ser_store_h5.corpus import Corpus
from ser_store_h5.growing import GrowingMember
from ser_store_h5.member import Member
from ser_store_h5.progress import Progress
from ser_store_h5.store import Store

# What a kill costs at most, and what is held in memory meanwhile.
BLOCK_SECONDS = 20.0
BLOCK_BYTES = 1 << 26

OnBad = Literal["fail", "skip"]


@dataclass(frozen=True, repr=False)
class Extraction(Result):
    """What an extraction did for one member.

    Attributes:
        member: its name.
        computed: utterances computed now, or before an interruption that was gone on from.
        kept: utterances that were in the store already.
        left_out: why, by utterance, of those whose recordings cannot be used.
    """

    member: str
    computed: int
    kept: int
    left_out: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> Iterator[Block]:
        """Yield one line."""
        kept = f", {self.kept} were there already" if self.kept else ""
        ids = list(self.left_out)
        left_out = f", {len(self.left_out)} left out (the run's record says why): {list_some(ids)}" if ids else ""
        yield f"{self.member}: {self.computed} utterances computed{kept}{left_out}"

    def records(self) -> list[dict[str, Any]]:
        """Return one row."""
        return [{**vars(self), "left_out": list(self.left_out)}]


@dataclass(frozen=True)
class _Plan:
    """What is to be computed: ``rows``, of which ``taken_up`` stand in blocks already, beside what the member holds."""

    kept: Rows
    rows: Rows
    taken_up: Rows
    left_out: Mapping[str, str]


def fill(
    store: Store, extractor: Extractor, recordings: CorpusRecordings, *, on_bad: OnBad, progress: Progress
) -> Extraction:
    """Compute what the member lacks, and write it; of several processes each computes its share of it."""
    name = extractor.name
    meet()
    together = {"doing": "extract", "way_on": "the same call goes on from there"}
    with ExitStack() as stack:
        with stated_once(), not_alone(name, **together):
            growing = GrowingMember(store, extractor.record.run, extractor.step)
            find_bad = partial(find_unusable, recordings, progress=progress) if on_bad == "skip" else None
            plan = tell_all(lambda: _make_plan(store, extractor, growing, stack, recordings, find_bad))
        with not_alone(name, **together):
            if len(plan.rows) > len(plan.taken_up):
                _add_blocks(growing, extractor, plan, corpus=store.corpus)
            wait_for_all()
            tell_all(lambda: _finish(store, extractor, growing, plan, on_bad=on_bad))
    return Extraction(name, len(plan.rows), len(plan.kept), plan.left_out)


def _make_plan(
    store: Store,
    extractor: Extractor,
    growing: GrowingMember,
    stack: ExitStack,
    recordings: CorpusRecordings,
    find_bad: Callable[[Rows], dict[int, str]] | None,
) -> _Plan:
    """Compare what is there with what is asked for, and find what cannot be used.

    Args:
        stack: keeps the blocks from others.
        find_bad: says why which rows are left out; None where they are not looked for.
    """
    record, step, corpus = extractor.record, extractor.step, store.corpus
    if store.has_run(record.run):
        there = store.run(record.run)
        if (there.kind, there.backbone) != (record.kind, record.backbone):
            store.refuse_run(record.run)
    kept = taken_up = np.empty(0, dtype=np.int32)
    if step in store.steps(record.run):
        kept = store.covered(extractor.name)
        _check_identity(extractor, store.describe_member(extractor.name).provenance, kept, corpus=corpus)
    missing = np.setdiff1d(np.arange(len(corpus), dtype=np.int32), kept)
    if len(missing):
        stack.enter_context(growing.held())
        blocks = list(growing.take_up(missing))
        for provenance, rows in blocks:
            _check_identity(extractor, provenance, rows, corpus=corpus, is_block=True)
        taken_up = np.concatenate([taken_up, *(rows for _, rows in blocks)])
        if len(taken_up):
            counts = len(taken_up), len(missing)
            LOGGER.info("%s: %d of %d utterances were computed before an interruption", extractor.name, *counts)
    unusable = {}
    if find_bad is not None:
        pending = np.setdiff1d(missing, taken_up)
        unusable = find_bad(pending) if len(pending) else {}
    audio = f"{recordings.audio}/"
    left_out = {str(corpus.ids[row]): problem.removeprefix(audio) for row, problem in unusable.items()}
    usable = np.setdiff1d(missing, np.array(list(unusable), dtype=np.int32))
    if not len(usable) and not len(kept):
        first = next(iter(left_out.values()))
        raise AudioError(f"none of the {len(corpus)} recordings can be used; the first: {first}")
    return _Plan(kept, usable, taken_up, left_out)


def _check_identity(
    extractor: Extractor, provenance: Mapping[str, Any], rows: Rows, *, corpus: Corpus, is_block: bool = False
) -> None:
    """Refuse what is there of the member from something else."""
    differing = list_identity_differences(provenance, extractor.identity)
    if provenance.get("audio_digest") != digest_recordings(corpus, rows):
        differing.append("recordings")
    if not differing:
        return
    # Of a checkpoint, `run` says which.
    is_frozen = extractor.record.kind == "frozen"
    own_name = "name this one with `run`" if is_frozen else "name the checkpoint's folder with `model`, and a `run`"
    where, removed = ("in the store already", "the old one with `rm()`")
    if is_block:
        where, removed = ("there in part, interrupted,", "what was begun with `gc()`")
    raise StoreError(
        f"{extractor.name} is {where} from other {' and '.join(differing)}: nothing was written; {own_name}, or remove "
        f"{removed}"
    )


def _add_blocks(growing: GrowingMember, extractor: Extractor, plan: _Plan, *, corpus: Corpus) -> None:
    """Compute the share of this process, and write what has been computed every so often, and however it ends."""
    computed: list[Piece] = []
    began = time.monotonic()

    def write() -> None:
        if computed:
            growing.add(_make_block(extractor, computed, corpus))
            computed.clear()

    try:
        for piece in extractor.compute(plan.rows, plan.taken_up):
            computed.append(piece)
            is_large = sum(one.by_layer.nbytes for one in computed) >= BLOCK_BYTES
            if is_large or time.monotonic() - began >= BLOCK_SECONDS:
                write()
                began = time.monotonic()
    finally:
        write()


def _make_block(extractor: Extractor, pieces: Sequence[Piece], corpus: Corpus) -> Member:
    rows = np.concatenate([piece.rows for piece in pieces])
    order = np.argsort(rows)
    by_layer = np.concatenate([piece.by_layer for piece in pieces], axis=1)[:, order]
    logits = None
    if pieces[0].logits is not None:
        logits = np.concatenate([piece.logits for piece in pieces if piece.logits is not None])[order]
    rows = rows[order]
    layers = dict(zip(extractor.identity.get("layers", ()), by_layer, strict=False))  # of the top alone: none
    return Member(
        extractor.record.run,
        extractor.step,
        rows,
        logits,
        by_layer[-1] if not layers else layers[max(layers)],
        provenance=_describe_source(extractor, rows, corpus),
        layers=layers,
    )


def _describe_source(extractor: Extractor, rows: Rows, corpus: Corpus) -> dict[str, Any]:
    return {**extractor.identity, "source": "extraction", "audio_digest": digest_recordings(corpus, rows)}


def _finish(store: Store, extractor: Extractor, growing: GrowingMember, plan: _Plan, *, on_bad: OnBad) -> None:
    """Compose the member, and note in its run what was left out."""
    record, run = extractor.record, extractor.record.run
    if len(plan.rows):
        growing.complete(plan.rows)
        if not store.has_run(run):
            store.add_run(record)
        elif record.kind == "frozen" and not len(plan.kept):
            # It tells of the model whose member was removed.
            store.update_run(store.run(run).updated(**record.details))
        rows = np.union1d(plan.kept, plan.rows)
        provenance = _describe_source(extractor, rows, store.corpus)
        limit = FLOAT16_LIMIT if extractor.is_narrow else 0.0
        growing.compose(provenance, float16_limit=limit, kept=plan.kept, answer=extractor.answer)
    if plan.left_out != store.run(run).details.get("left_out", {}) and (len(plan.rows) or on_bad == "skip"):
        store.update_run(store.run(run).updated(left_out=dict(plan.left_out)))


def find_unusable(recordings: Recordings, rows: Rows, *, progress: Progress) -> dict[int, str]:
    """Decode every recording of ``rows`` once; returns why, by row, of those of which nothing can be computed."""

    def complain(row: int) -> str | None:
        try:
            recordings.load(row)
        except AudioError as problem:
            return str(problem)
        return None

    said = map_threaded(complain, rows.tolist(), progress=progress, label="decoding")
    return {row: problem for row, problem in zip(rows.tolist(), said, strict=True) if problem is not None}
