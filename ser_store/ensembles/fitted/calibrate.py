"""``calibrate``: a temperature for each member, fitted on other speakers; its scores are a member again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ser_store.common.display import Aside, Block, Figure, Result, Table, format_count
from ser_store.ensembles.fitted.saving import describe_fit
from ser_store.ensembles.options import Correction
from ser_store.ensembles.utterances import Utterances, caution_fit, find_utterances
from ser_store.errors import ExistsError, StoreError
from ser_store.evaluation.choice.member_choice import resolve_members
from ser_store.evaluation.choice.saved_ensembles import TEMPERATURE
from ser_store.evaluation.fitted import Task, pose_task
from ser_store.evaluation.folds import refuse_single_folds
from ser_store.evaluation.leakage import caution_leakage
from ser_store.evaluation.tables import caption_utterances
from ser_store.metrics.calibration import ProbabilityScores, evaluate_logits, log_softmax
from ser_store_h5.member import Member
from ser_store_h5.names import format_member, list_names
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store, StoreLike, open_store

_SUFFIX = "-calibrated"
_WAY_OUT = "fit on another part with `select_on`"
# What all steps of a run have in common.
_IDENTITY = ("head", "split", "on", "select_on", "cv")


@dataclass(frozen=True)
class CalibratedMember:
    """A member with a temperature.

    Attributes:
        member: the new one.
        source: the member whose scores are divided by the temperature.
        temperatures: of each fit; above 1 where the source is surer than it is right.
        n: utterances that the figures are of.
        before: of the source on these.
        after: of the new one.
    """

    member: str
    source: str
    temperatures: tuple[float, ...]
    n: int
    before: ProbabilityScores
    after: ProbabilityScores

    @property
    def temperature(self) -> float:
        """The mean over the fits."""
        return sum(self.temperatures) / len(self.temperatures)

    def to_json(self) -> dict[str, Any]:
        return {
            "member": self.member,
            "source": self.source,
            "n": self.n,
            "temperature": self.temperature,
            "temperatures": list(self.temperatures),
            "log_loss": {"before": self.before.log_loss, "after": self.after.log_loss},
            "ece": {"before": self.before.ece, "after": self.after.ece},
        }


@dataclass(frozen=True, repr=False)
class Calibration(Result):
    """The members that were calibrated.

    Attributes:
        on: the part of the split that the figures are of.
        split: the split; None where the corpus has none.
        fitted: what was fitted where, in words.
        members: one for each that was named.
        cautions: why the figures are better than they should be.
    """

    on: str
    split: str | None
    fitted: str
    members: tuple[CalibratedMember, ...]
    cautions: tuple[str, ...] = ()

    def describe(self) -> Iterator[Block]:
        """Yield the temperatures, and the figures before and after."""
        where = caption_utterances(self.on, self.split, self.members[0].n)
        yield Aside(f"{format_count(len(self.members), 'member')} {where}")
        header = ["member", "temperature", "lowest", "highest", "log-loss before", "after"]
        rows = [
            [
                one.member,
                *map(Figure, (one.temperature, min(one.temperatures), max(one.temperatures))),
                *map(Figure, (one.before.log_loss, one.after.log_loss, one.before.ece, one.after.ece)),
            ]
            for one in self.members
        ]
        yield Table([*header, "calibration error before", "after"], rows)
        yield f"temperatures: {self.fitted}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each member: ``member``, ``source``, ``temperature``, and log-loss and error by name."""
        return [
            {"member": one.member, "source": one.source, "n": one.n, "temperature": one.temperature}
            | {"log_loss_before": one.before.log_loss, "log_loss": one.after.log_loss}
            | {"ece_before": one.before.ece, "ece": one.after.ece}
            for one in self.members
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore calibrate --json``."""
        members = [one.to_json() for one in self.members]
        return {"on": self.on, "fitted": self.fitted, "members": members, "cautions": list(self.cautions)}


def calibrate(
    store: StoreLike,
    members: str | Sequence[str],
    *,
    on: str | None = None,
    split: str | None = None,
    select_on: str | None = None,
    run: str | None = None,
) -> Calibration:
    """Fit a temperature for each member on speakers that it does not score, and keep the result as a member.

    The scores are divided by the temperature that gives the least log-loss, so that their softmax is as sure as it is
    right; the predicted classes stay. Decision values become probabilities. Each utterance is scored by a temperature
    that was fitted without its speaker, over the folds of the split where it has some that keep speakers apart, else
    over five groups of whole speakers; the new member covers these utterances. With ``select_on`` there is one fit on
    that part, and all that the member covers is scored by it.

    Source: C. Guo et al., "On calibration of modern neural networks", ICML 2017.

    Args:
        store: a store, or its path.
        members: names of members with logits or other scores, or patterns such as ``hubert-*``.
        on: the utterances to score and report on: a part of the split, or ``all``. Default: ``test`` where there is
            one, else all.
        split: the split that ``on`` and ``select_on`` are parts of. Default: the store's default split.
        select_on: another part, such as ``valid``, to fit on.
        run: the name of the new run, for a single member. Default: that of the source with ``-calibrated``.

    Returns:
        The temperatures, and log-loss and calibration error before and after.

    Raises:
        CorpusError: if there are not two speakers to keep apart.
        ExistsError: if the new run is there and was fitted otherwise, or has this step.
        StoreError: if a member has no scores or does not cover the utterances, or is no better than a guess.
        UnknownNameError: if there is no such member, part or split.

    >>> import numpy as np, ser_store as ss
    >>> ids, truth = [f"u{n}" for n in range(40)], np.arange(40) % 2
    >>> store = ss.Store.create("mine.store", ids=ids, labels=truth, classes=["a", "b"], speakers=list("stuv") * 10)
    >>> right = np.random.default_rng(0).random(40) < 0.75
    >>> _ = store.add("sure", ids=ids, logits=9.0 * np.eye(2)[np.where(right, truth, 1 - truth)])
    >>> done = ss.calibrate(store, "sure").members[0]
    >>> done.member, done.temperature > 5, done.after.log_loss < done.before.log_loss
    ('sure-calibrated@0', True, True)
    """
    store = open_store(store)
    names = resolve_members(store, list_names(members))
    if not names:
        raise StoreError("no member is named: expected one or several that have logits or other scores")
    sources = [store.resolve(name) for name in names]
    runs = {source for source, _ in sources}
    if run is not None and len(runs) > 1:
        raise StoreError(f"`run` {run} for members of {len(runs)} runs: expected those of one; leave `run` out")
    utterances = find_utterances(store.corpus, on=on, split=split, select_on=select_on, correction=Correction())
    for rows in utterances.parts.values():
        refuse_single_folds(store, names, rows)
    tasks = [pose_task(store, (name,), **utterances.fitted, way_out=_WAY_OUT) for name in names]
    records = [_describe_run(store, one, run or one[0] + _SUFFIX, tasks[0], utterances) for one in sources]
    for record, (_, step) in zip(records, sources, strict=True):
        _refuse_other(store, record, step)
    done = tuple(_calibrate(store, *one, utterances) for one in zip(names, records, tasks, strict=True))
    leaks = caution_leakage(store, [one.member for one in done], utterances.reported)
    cautions = (*leaks, *caution_fit(store, names, utterances))
    return Calibration(utterances.on, utterances.split, tasks[0].describe(), done, cautions)


def _calibrate(store: Store, name: str, record: RunRecord, task: Task, utterances: Utterances) -> CalibratedMember:
    """Write the calibrated member, and return what it has become."""
    said, fits = task.solve("pool")
    weights = np.array([one.weights for one in fits])
    if not weights.min() > 0:
        raise StoreError(f"{name} is no better than a guess on {task.on}: expected scores that say something of it")
    before = (task.scores if task.judged is None else task.judged)[0]
    labels = store.corpus.labels[utterances.reported]
    rows, scores = utterances.reported, said
    if task.judged is not None:
        rows = store.covered(name)
        scores = fits[0].combine(log_softmax(store.logits([name], rows)))
    temperatures = tuple((1 / weights.ravel()).tolist())
    step = store.resolve(name)[1]
    if not store.has_run(record.run):
        store.add_run(record)
    provenance = {"source": name, "head": TEMPERATURE, "temperatures": list(temperatures)}
    store.write_member(Member(record.run, step, rows, scores.astype(np.float32), provenance=provenance))
    return CalibratedMember(
        member=format_member(record.run, step),
        source=name,
        temperatures=temperatures,
        n=len(labels),
        before=evaluate_logits(labels, before),
        after=evaluate_logits(labels, said),
    )


def _describe_run(store: Store, source: tuple[str, int], run: str, task: Task, utterances: Utterances) -> RunRecord:
    """Return the record of the new run; a step that was selected on this split is the selected one again."""
    name, step = source
    own, below = describe_fit(store, [name], task, utterances), store.run(name)
    selected = below.selected
    if selected is not None and (selected.step != step or below.details.get("split") != utterances.split):
        selected = None
    return RunRecord(run, "head", name, selected=selected, details={"head": TEMPERATURE, "source": name, **own})


def _refuse_other(store: Store, record: RunRecord, step: int) -> None:
    """Refuse a run of the name that has this step, or was fitted otherwise.

    Raises:
        ExistsError: saying what differs.
    """
    if not store.has_run(record.run):
        store.refuse_run(record.run)  # one whose name differs in case alone
        return
    there = store.run(record.run)
    differing = [name for name in _IDENTITY if there.details.get(name) != record.details.get(name)]
    if (there.kind, there.backbone) != (record.kind, record.backbone) or step in store.steps(record.run):
        store.refuse_run(record.run)
    if differing:
        before, now = (", ".join(f"{name} {one.details.get(name)}" for name in differing) for one in (there, record))
        raise ExistsError(f"run {record.run} was fitted with {before}, this one with {now}: name this one with `run`")
