"""``apply``: what a model that learned in one store says of another store's recordings."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from ser_store.audio.recordings import CorpusRecordings, resolve_audio
from ser_store.common.checks import check_choice
from ser_store.common.display import Block, Result
from ser_store.common.provenance import list_versions
from ser_store.corpora.class_pairing import KEY as APPLIED
from ser_store.corpora.class_pairing import Pairing, pair_classes
from ser_store.corpora.label_map import LabelMap, read_label_map
from ser_store.corpora.splits.fitted import find_fitted, find_heard
from ser_store.errors import ExistsError, StoreError, require
from ser_store.evaluation.choice.saved_ensembles import list_members
from ser_store.evaluation.folds import list_fold_runs
from ser_store.extraction.extract import extract
from ser_store.extraction.filling import OnBad, fill
from ser_store.extraction.identity import list_identity_differences, list_options
from ser_store.extraction.network import Passes
from ser_store.extraction.sources import Extractor, answer_in_corpus, prepare_checkpoint
from ser_store.heads.kept_heads import apply_head, describe_applied
from ser_store.recipes.recipe import Precision
from ser_store.training.checkpointing.checkpoints import MARK_NAME, find_checkpoint
from ser_store_h5.fitted import KEY as FITTED
from ser_store_h5.names import PLUS, format_member, parse_member
from ser_store_h5.progress import Progress, ProgressLike, silent, to_progress
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store

_UNUSABLE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, repr=False)
class Applied(Result):
    """What a model says of another corpus, as a member of that store.

    Attributes:
        member: its name there.
        source: the member whose model it is, in its own store.
        classes: those of the other corpus that it can answer.
        left_out: its classes that the other corpus has not.
        unsaid: the classes of the other corpus that it never answers.
        computed: utterances of which anything was computed now.
        heard: utterances of the other corpus that the model learned from; None if that is unknown.
    """

    member: str
    source: str
    classes: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()
    computed: int = 0
    heard: int | None = None

    def describe(self) -> Iterator[Block]:
        """Yield a line."""
        said = f"{self.source} is {self.member} there, on the classes of both: {', '.join(self.classes)}"
        yield f"{said}; {self.computed} utterances computed" if self.computed else f"{said}; all was there"

    def records(self) -> list[dict[str, Any]]:
        """Return one row."""
        return [{**vars(self), **{name: list(getattr(self, name)) for name in ("classes", "left_out", "unsaid")}}]


@dataclass(frozen=True)
class Options:
    """How recordings of the other store are extracted, as far as anything is missing; see :func:`apply`."""

    audio: Path | None = None
    batch_size: int | None = None
    precision: Precision | None = None
    on_bad: OnBad = "fail"
    progress: Progress = field(default=silent)


def apply(
    store: StoreLike,
    member: str,
    to: StoreLike,
    *,
    labels: str | os.PathLike[str] | None = None,
    audio: str | os.PathLike[str] | None = None,
    name: str | None = None,
    batch_size: int | None = None,
    precision: Precision | None = None,
    on_bad: OnBad = "fail",
    progress: ProgressLike = False,
) -> Applied:
    """Apply a fine-tuned run or a kept head to another store, which gains its answers as a member.

    The model chooses among the classes that both corpora have, by name or by a label map, and never answers another
    class. What it needs of the other store's recordings is extracted there; what is there already, from the same
    weights, is not computed again.

    Args:
        store: with the model.
        member: a fine-tuned run that has a checkpoint, a head that was made with ``keep``, or a member of one,
            ``run@step``; several of them, joined by ``+``, stay an ensemble.
        to: the store that gains the member.
        labels: a label map that says which classes mean the same, see
            :func:`ser_store.corpora.label_map.read_label_map`. Default: those of the same name.
        audio: the folder of the other store's recordings. Default: where they lay when it was made.
        name: of the new run. Default: that of the run and the corpus that it learned in, ``xlsr53-from-ravdess``.
        batch_size: utterances for each forward pass. Default: 8.
        precision: of the forward passes. Default: what the run was trained in.
        on_bad: what a recording does that cannot be used: ``fail``, or ``skip``.
        progress: show bars; or a function that does, see :class:`ser_store_h5.progress.Progress`.

    Raises:
        CorpusError: if the two corpora share less than two classes.
        ExistsError: if the other store has something else of this name.
        StoreError: if the run is of another kind, a head was not kept, or what it is fitted on cannot be had there.
        ModelError: if there is no checkpoint.

    >>> import numpy as np, ser_store as ss
    >>> draw = np.random.default_rng(0)
    >>> for file, classes in (("a.store", ["sad", "happy"] * 20), ("b.store", ["Sad", "happy"] * 18 + ["calm"] * 4)):
    ...     ids, values = [f"{file[0]}{n:02}" for n in range(40)], draw.normal(size=(40, 4)) + [[0], [2]] * 20
    ...     store = ss.Store.create(file, ids=ids, labels=classes, speakers=list("pqrstuvw") * 5)
    ...     _ = store.add("mine", ids=ids, pooled=values, trained_on="nothing")
    >>> _ = ss.head("a.store", "mine", kind="lda", cv="speaker", keep=True)
    >>> print(ss.apply("a.store", "mine-lda", "b.store"))
    mine-lda@0 is mine-lda-from-a@0 there, on the classes of both: Sad, happy; 40 utterances computed
    """
    here, there = open_store(store), open_store(to)
    check_choice("on_bad", on_bad, get_args(OnBad))
    meant = None if labels is None else read_label_map(labels)
    options = Options(None if audio is None else Path(audio), batch_size, precision, on_bad, to_progress(progress))
    parts = member.split(PLUS)
    if name is not None and len(parts) > 1:
        raise StoreError(f"`name` {name} with {len(parts)} members: expected one; leave `name` out")
    done = [_apply_one(here, one, there, labels=meant, name=name, options=options) for one in parts]
    heard = [one.heard for one in done]
    return replace(
        done[0],
        member=PLUS.join(one.member for one in done),
        source=PLUS.join(one.source for one in done),
        computed=sum(one.computed for one in done),
        heard=None if None in heard else max(filter(None, heard), default=0),
    )


def _apply_one(
    here: Store, member: str, there: Store, *, labels: LabelMap | None, name: str | None, options: Options
) -> Applied:
    run, step = parse_member(member)
    record = here.run(run)
    if record.kind not in ("finetune", "head"):
        raise StoreError(
            f"run {run} is of kind {record.kind}: expected a fine-tuned run with a checkpoint, or a head that was made "
            f"with `keep`{_name_parts(record)}"
        )
    pairing = pair_classes(here.corpus.classes, there.corpus.classes, labels).check(run, str(there.path))
    name = name or _name_run(here, run)
    if record.kind == "finetune":
        made, computed = _apply_checkpoint(here, record, step, there, pairing, name, options)
        source = format_member(run, parse_member(made)[1] or 0)
    else:
        source = format_member(*here.resolve(member))
        made, computed = _apply_kept(here, source, there, pairing, labels, name, options)
    fitted = find_fitted(there, parse_member(made)[0])
    heard = None if fitted is None else int(fitted.learned.any(axis=0).sum())
    return Applied(made, source, pairing.shared, pairing.left_out, pairing.unsaid, computed, heard)


def _name_parts(record: RunRecord) -> str:
    """Return how the models below a run are named, which can be applied one by one; nothing where there are none."""
    if folds := list_fold_runs(record).values():
        return f"; its folds are {PLUS.join(folds)}, of which `rule` soft-log is the mean"
    members, rule = list_members(record), record.details.get("rule")
    return f"; its members are {PLUS.join(members)}, voted by `rule` {rule}" if members else ""


def _name_run(here: Store, run: str) -> str:
    return f"{run}-from-{_UNUSABLE.sub('-', here.corpus.name).strip('-.') or 'another'}"


def _apply_checkpoint(
    here: Store, record: RunRecord, step: int | None, there: Store, pairing: Pairing, name: str, options: Options
) -> tuple[str, int]:
    """Return the member, and how many utterances were computed now."""
    step, folder = find_checkpoint(here, record, step)
    fitted, speakers = find_heard(here, record.run, there.corpus)
    applied = {
        "run": format_member(record.run, step),
        "corpus": here.corpus.name,
        "digest": hashlib.sha256((folder / MARK_NAME).read_bytes()).hexdigest(),
        **pairing.to_json(),
        "same_speakers": speakers,
    }
    member = format_member(name, step)
    if _is_there(there, name, applied) and _is_complete(there, member):
        return member, 0
    require("transformers")
    recordings = CorpusRecordings(there.corpus, resolve_audio(there.corpus, options.audio))
    passes = Passes(recordings, options.batch_size or 8, precision=options.precision, progress=options.progress)
    own = prepare_checkpoint(here, record.run, step=step, checkpoint=None, passes=passes)
    details: dict[str, Any] = {"origin": {"checkpoint": applied["run"]}, "versions": list_versions()}
    details |= {} if fitted is None else {FITTED: fitted.to_json()}
    extractor = Extractor(RunRecord(name, "frozen", record.backbone, details=details), step, own.identity, own.compute)
    placed = answer_in_corpus(extractor, pairing, applied)
    done = fill(there, placed, recordings, on_bad=options.on_bad, progress=options.progress)
    return done.member, done.computed


def _apply_kept(
    here: Store,
    member: str,
    there: Store,
    pairing: Pairing,
    labels: LabelMap | None,
    name: str,
    options: Options,
) -> tuple[str, int]:
    """Return the member, and how many utterances were computed now, for the head or below it."""
    run, step = here.resolve(member)
    record = here.run(run)
    below = [str(one) for one in record.details.get("sources", [record.details.get("source")])]
    found = {parse_member(one)[0]: _find_source(here, one, there, pairing, options) for one in below}
    applied = describe_applied(here, run, step, there, pairing)
    made = format_member(name, step)
    if _is_there(there, name, applied):
        n = min(len(there.covered(there_run)) for there_run, _ in found.values())
        if step in there.steps(name) and len(there.covered(made)) == n:
            return made, 0
        there.remove(name)  # of fewer recordings than there are now, or interrupted
    sources = {one: there_run for one, (there_run, _) in found.items()}
    apply_head(here, member, there, sources=sources, name=name, labels=labels)
    return made, len(there.covered(made))


def _find_source(here: Store, member: str, there: Store, pairing: Pairing, options: Options) -> tuple[str, int]:
    """Return the run there that has the representations which a head is fitted on, and how many were computed now."""
    run, step = parse_member(member)
    record, held = here.run(run), here.describe_member(member).provenance
    if record.kind == "finetune":
        name = _name_run(here, run)
        return name, _apply_checkpoint(here, record, step, there, pairing, name, options)[1]
    if there.has_run(run) and there.steps(run):
        own = format_member(run, there.selected_step(run))
        differing = list_identity_differences(there.describe_member(own).provenance, held)
        if differing:
            raise StoreError(
                f"{own} in {there.path} is from other {' and '.join(differing)} than {member}, which the head was "
                "fitted on: nothing was computed; remove it with `rm()`, or give it another name"
            )
        if record.kind != "frozen" or _is_complete(there, own):
            return run, 0
    if record.kind != "frozen":
        raise StoreError(
            f"{there.path} has no run {run}, which the head was fitted on, of kind {record.kind}: expected the same "
            "representations of its recordings; import them there under this name"
        )
    asked: dict[str, Any] = list_options(record, held)
    [done] = extract(
        there,
        **asked,
        audio=options.audio,
        batch_size=options.batch_size,
        on_bad=options.on_bad,
        progress=options.progress,
    )
    return run, done.computed


def _is_there(there: Store, name: str, applied: Mapping[str, Any]) -> bool:
    """Whether there is the run that would be made.

    Raises:
        ExistsError: if it is anything else.
    """
    is_there = there.has_run(name)
    if is_there and there.run(name).details.get(APPLIED) != applied:
        raise ExistsError(
            f"run {name} is in {there.path} already, and not what {applied['run']} says now: remove it with `rm()`, or "
            "name this one with `name`"
        )
    return is_there


def _is_complete(there: Store, member: str) -> bool:
    """Whether a member covers all utterances, but for those whose recordings cannot be used."""
    run, step = parse_member(member)
    if step not in there.steps(run):
        return False
    left_out = there.run(run).details.get("left_out", {})
    return len(there.covered(member)) + len(left_out) >= len(there.header)
