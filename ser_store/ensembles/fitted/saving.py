"""What is kept of a fit: a run that has learned from what the fit and the members below it have learned from."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ser_store.ensembles.fitted.report import FittedVote
from ser_store.ensembles.saving import inherit
from ser_store.ensembles.utterances import Utterances
from ser_store.evaluation.choice.saved_ensembles import CHOSEN, KIND, MEMBERS
from ser_store.evaluation.fitted import Task
from ser_store_h5.fitted import Fitted
from ser_store_h5.member import Member
from ser_store_h5.names import format_member, parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


def save_fitted(store: Store, name: str, report: FittedVote, task: Task, utterances: Utterances) -> str:
    """Write what the fitted rule says of the utterances reported on as the only member of a run; return its name.

    Args:
        store: gains the run.
        name: of the run.
        report: of the vote.
        task: what was fitted where.
        utterances: those of the vote.

    Raises:
        ExistsError: if there is a run of this name.
    """
    members = list(report.ensembles[0].members)
    runs = list(dict.fromkeys(parse_member(member)[0] for member in report.candidates))
    mean = {one.member: one.mean for one in report.fitted_weights}
    details: dict[str, Any] = {
        MEMBERS: members,
        "rule": report.options.rule,
        "tie": report.options.tie,
        "weights": [mean[member] for member in members] if mean else None,
        CHOSEN: None,
        **describe_fit(store, runs, task, utterances),
    }
    store.add_run(RunRecord(name, KIND, "+".join(runs), details=details))
    provenance = {"source": "voted", "members": members}
    store.write_member(Member(name, 0, utterances.reported, report.said.astype(np.float32), provenance=provenance))
    return format_member(name, 0)


def describe_fit(store: Store, runs: Sequence[str], task: Task, utterances: Utterances) -> dict[str, Any]:
    """Return what a record says of a fit to members of these runs."""
    from ser_store.common.provenance import list_versions  # takes 20 ms, which only those who write pay

    rows, places = utterances.reported, task.groups.places
    if utterances.select_on is None:
        pairs = [(rows[places != one], rows[places == one]) for one in range(task.groups.count)]
        own = Fitted.by_fold(pairs, len(store.corpus))
    else:
        own = Fitted.on_rows(utterances.searched, len(store.corpus))
    return {
        "split": utterances.split,
        "on": utterances.on,
        "select_on": utterances.select_on,
        "cv": task.groups.split or "speaker" if utterances.select_on is None else None,
        "scores": "log-probabilities",
        **inherit(store, runs, own),
        "versions": list_versions(),
    }
