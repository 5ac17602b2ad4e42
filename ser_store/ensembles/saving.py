"""The best ensemble of a vote becomes a run of its own, whose member holds what its members decide together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.splits.fitted import find_fitted
from ser_store.ensembles.candidate_pool import CandidatePool
from ser_store.ensembles.candidates import load_candidates
from ser_store.ensembles.report import VoteReport
from ser_store.ensembles.search import is_choice
from ser_store.evaluation.choice.saved_ensembles import CHOSEN, KIND, MEMBERS
from ser_store.voting.quantize import Logits
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.from_arrays import take_logarithms
from ser_store_h5.member import Member
from ser_store_h5.names import format_member, parse_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@dataclass(frozen=True)
class Decided:
    """What an ensemble says of the utterances in ``rows``, all that its members cover; scores where it adds them up."""

    rows: NDArray[np.int32]
    predicted: NDArray[np.int16]
    logits: NDArray[np.float32] | None


def check_save(store: Store, name: str | None) -> None:
    """Refuse the name of a run that is there already, and a store that cannot be written, before anything is searched.

    Raises:
        ExistsError, StoreError: saying the way out.
    """
    if name is not None:
        store.run_folder(name)
        store.refuse_run(name)


def save_best(store: Store, name: str, pool: CandidatePool, report: VoteReport) -> str:
    """Write the best ensemble as the only member of the run ``name``, at step 0; returns its full name.

    Of hard voting it holds the classes that were voted for, of ``soft`` the logarithms of the mean probabilities, of
    ``soft-log`` the mean logits.
    """
    from ser_store.common.provenance import list_versions  # takes 20 ms, which only those who save pay

    best = report.ensembles[0]
    decided = _decide(store, pool, list(best.members))
    weights = dict(zip(report.candidates, report.weights, strict=True)) if report.weights is not None else None
    runs = list(dict.fromkeys(parse_member(member)[0] for member in best.members))
    details: dict[str, Any] = {
        MEMBERS: list(best.members),
        "rule": report.options.rule,
        "tie": report.options.tie,
        "weights": None if weights is None else [weights[member] for member in best.members],
        "split": report.split,
        CHOSEN: _describe_choice(report),
        **inherit(store, runs),
        "versions": list_versions(),
    }
    if decided.logits is not None:
        details["scores"] = "log-probabilities" if report.options.rule == "soft" else "logits"
    store.add_run(RunRecord(name, KIND, "+".join(runs), state="running", details=details))
    provenance = {"source": "voted", "members": list(best.members)}
    predicted = decided.predicted if decided.logits is None else None
    store.write_member(Member(name, 0, decided.rows, logits=decided.logits, predicted=predicted, provenance=provenance))
    store.update_run(store.run(name).updated(state="finished"))
    return format_member(name, 0)


def _decide(store: Store, pool: CandidatePool, members: Sequence[str]) -> Decided:
    """Let the ensemble vote on every utterance that all its members cover, as it voted where it was chosen."""
    distinct = sorted(set(members))
    rows: NDArray[np.int32] = reduce(np.intersect1d, [store.covered(one) for one in distinct]).astype(np.int32)
    everywhere = load_candidates(store, distinct, rows, pool.options)
    problem = pool.pose_members(everywhere)
    places = [distinct.index(member) for member in members]
    predicted = problem.vote(places).predicted.astype(np.int16)
    predicted[predicted >= len(store.corpus.classes)] = -1  # a vote for none of the classes
    if pool.options.voting_rule == "hard" or everywhere.shares is None:
        return Decided(rows, predicted, None)
    weights = None if problem.weights is None else problem.weights[places].astype(np.float64)
    return Decided(rows, predicted, average_shares(everywhere.shares[places], weights, predicted))


def average_shares(
    shares: NDArray[np.floating] | Logits, weights: NDArray[np.float64] | None, predicted: NDArray[np.int16]
) -> NDArray[np.float32]:
    """Return the logarithms of the mean probabilities, or the mean logits, ``(n, c)``, the highest of what is voted.

    Args:
        shares: ``(k, n, c)`` of the members.
        weights: ``(k,)``; None, or all 0, where they weigh alike.
        predicted: ``(n,)``, what they vote for.
    """
    given = (shares.values if isinstance(shares, Logits) else shares).astype(np.float64)
    mean = np.average(given, axis=0, weights=weights if weights is None or weights.any() else None)
    averaged: NDArray[np.float32] = (mean if isinstance(shares, Logits) else take_logarithms(mean)).astype(np.float32)
    # Sums that decide differ by less than single precision resolves.
    behind = np.flatnonzero(averaged.argmax(axis=1) != predicted)
    averaged[behind, predicted[behind]] = np.nextafter(averaged[behind].max(axis=1), np.float32(np.inf))
    return averaged


def _describe_choice(report: VoteReport) -> dict[str, Any] | None:
    """Return how the ensemble was chosen, and what is left of its figure; None where there was nothing to choose."""
    if not is_choice(report.found, report.options):
        return None
    best, selection = report.ensembles[0].chosen_score, report.selection
    corrected = {} if selection is None else selection.to_json()
    return {
        "on": report.chosen_on or report.on,
        "split": report.split,
        "k": list(report.ks),
        "candidates": len(report.candidates),
        "ensembles": sum(one.total for one in report.found),
        "searched": report.searched,
        "objective": report.options.objective,
        "apparent": best.accuracy if report.options.objective == "accuracy" else best.balanced_accuracy,
        "note": report.note,
        **corrected,
    }


def inherit(store: Store, runs: Sequence[str], own: Fitted | None = None) -> dict[str, Any]:
    """Return what a record says of itself that holds for the runs that it stands on, together.

    Where one of them does not state what it has learned from, nothing is known of the record either.

    Args:
        store: has the runs.
        runs: their names.
        own: what was learned beside what they have learned.
    """
    below = [find_fitted(store, run) for run in runs]
    known = [one for one in (own, *below) if one is not None]
    details = [store.run(run).details for run in runs]
    standardised = [one["normalise"] for one in details if one.get("normalise", "train") != "train"]
    return {
        **({} if None in below else {KEY: reduce(Fitted.joined, known).to_json()}),
        **({"normalise": standardised[0]} if standardised else {}),
    }
