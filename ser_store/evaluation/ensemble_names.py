"""An ensemble by its name, ``a@1+b@2+c@3``: which members it holds, and what they decide together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import EnsembleError, UnknownNameError, describe_unknown
from ser_store.evaluation.member_choice import choose_members
from ser_store.metrics import compute_accuracy
from ser_store.metrics.calibration import softmax
from ser_store.voting.checks import check_tie
from ser_store.voting.rules import RULES, Votes, hard_vote, soft_log_vote, soft_vote
from ser_store_h5.store import Store

PLUS = "+"


@dataclass(frozen=True)
class VotingRule:
    """How the members of an ensemble decide: ``hard``, ``soft`` or ``soft-log``, and who wins the ties of the first."""

    rule: str = "hard"
    tie: str = "lowest"

    @property
    def needs_probabilities(self) -> bool:
        return self.rule != "hard" or self.tie == "confidence"


def check_voting_rule(rule: str, tie: str) -> VotingRule:
    """Raises UnknownNameError if there is no such rule for votes or for ties."""
    if rule not in RULES:
        raise UnknownNameError(describe_unknown("voting rule", rule, RULES))
    check_tie(tie)
    return VotingRule(rule, tie)


def resolve_ensemble(store: Store, name: str) -> list[str]:
    """Full names of the members in ``name``: one, or several joined by plus signs, in the order named.

    Raises:
        UnknownNameError: if there is no such member.
        StoreError: if one is named twice, or its name breaks the rule of names.
        EnsembleError: if there is nothing before, between or after the plus signs.
    """
    members = name.split(PLUS)
    if "" in members:
        raise EnsembleError(
            f"{name!r} names no member at one side of a plus sign: expected an ensemble such as a@1+b@2+c@3"
        )
    return choose_members(store, members)


def format_ensemble(members: Sequence[str]) -> str:
    """The ensemble's name: its members' full names joined by plus signs."""
    return PLUS.join(members)


def vote_ensemble(
    store: Store, members: Sequence[str], rows: NDArray[np.int32], *, rule: VotingRule
) -> NDArray[np.int16]:
    """What an ensemble decides, ``(n_rows,)`` int16, -1 where it abstains; of one member, what it predicts.

    Args:
        members: names; of equally accurate ones the earlier decides ties by ``best``.
        rows: indices into the corpus.
        rule: how they vote; ties by ``best`` take the members' accuracies on these very utterances.

    Raises:
        StoreError: if a member covers not all the rows, or lacks what the rule needs.
    """
    predicted = store.predictions(members, rows)
    if len(members) == 1:
        return np.asarray(predicted[0])
    probabilities = softmax(store.logits(members, rows)) if rule.needs_probabilities else None
    return _vote(predicted, probabilities, store, rows, rule).predicted


def _vote(
    predicted: NDArray[np.int16],
    probabilities: NDArray[np.float64] | None,
    store: Store,
    rows: NDArray[np.int32],
    rule: VotingRule,
) -> Votes:
    if rule.rule != "hard" and probabilities is not None:
        return soft_vote(probabilities) if rule.rule == "soft" else soft_log_vote(probabilities)
    truth = store.corpus.labels[rows]
    accuracies = [compute_accuracy(truth, own) for own in predicted] if rule.tie == "best" else None
    n_classes = len(store.corpus.classes)
    if predicted.min() < 0:  # an answer that is no class votes for a last one, which is never true
        votes = hard_vote(
            np.where(predicted < 0, n_classes, predicted), n_classes=n_classes + 1, tie=rule.tie, accuracies=accuracies
        )
        return replace(votes, predicted=np.where(votes.predicted == n_classes, np.int16(-1), votes.predicted))
    return hard_vote(predicted, n_classes=n_classes, tie=rule.tie, probabilities=probabilities, accuracies=accuracies)
