"""Ensembles by their names, such as ``a@1+b@2+c@3``: what their members decide together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice
from ser_store.evaluation.score_kinds import load_shares
from ser_store.metrics import compute_accuracy
from ser_store.voting.checks import TIES, Tie, count_unanswered
from ser_store.voting.rules import ABSTAINED, RULES, Rule, hard_vote, soft_log_vote, soft_vote
from ser_store_h5.names import PLUS, Ensemble
from ser_store_h5.store import Store


@dataclass(frozen=True)
class VotingRule:
    """How the members of an ensemble decide: ``hard``, ``soft`` or ``soft-log``, and what decides ties of ``hard``."""

    rule: Rule = "hard"
    tie: Tie = "lowest"

    @property
    def needs_probabilities(self) -> bool:
        return self.rule != "hard" or self.tie == "confidence"


def check_voting_rule(rule: Rule, tie: Tie) -> VotingRule:
    """Return the rule, or raise UnknownNameError if there is no such rule for votes or for ties.

    >>> check_voting_rule("hard", "confidence").needs_probabilities
    True
    """
    check_choice("voting rule", rule, RULES)
    check_choice("tie rule", tie, TIES)
    return VotingRule(rule, tie)


def format_ensemble(members: Sequence[str]) -> str:
    """Return the ensemble's name: its members' full names joined by plus signs.

    >>> format_ensemble(["a@1", "b@2"])
    'a@1+b@2'
    """
    return str(Ensemble(members))


def vote_ensemble(
    store: Store, members: Sequence[str], rows: NDArray[np.int32], *, rule: VotingRule
) -> NDArray[np.int16]:
    """Return what an ensemble decides, ``(n_rows,)`` int16, -1 where it abstains; of one member, what it predicts.

    The order in which the members are named does not matter. An answer that is none of the classes is a vote for a
    further class, which comes last.

    Args:
        store: the store.
        members: names; of equally accurate ones the one that comes first by name decides ties by ``best``.
        rows: indices into the corpus.
        rule: how they vote; ties by ``best`` take the members' accuracies on these very utterances.

    Raises:
        StoreError: if a member covers not all the rows, or lacks what the rule needs.
    """
    members = sorted(members)
    predicted = store.predictions(members, rows)
    if len(members) == 1:
        return np.asarray(predicted[0])
    shares = load_shares(store, members, rows, rule=rule.rule) if rule.needs_probabilities else None
    if rule.rule != "hard" and shares is not None:
        return (soft_vote if rule.rule == "soft" else soft_log_vote)(shares).predicted
    truth = store.corpus.labels[rows]
    accuracies = [compute_accuracy(truth, own) for own in predicted] if rule.tie == "best" else None
    ballots, n_classes = count_unanswered(predicted, len(store.corpus.classes))
    decided = hard_vote(
        ballots, n_classes=n_classes, tie=rule.tie, probabilities=shares, accuracies=accuracies
    ).predicted
    return np.where(decided == len(store.corpus.classes), ABSTAINED, decided).astype(np.int16)


def load_predictions(
    store: Store, names: Sequence[str], rows: NDArray[np.int32], *, rule: VotingRule | None = None
) -> NDArray[np.int16]:
    """Return what members and ensembles predict, ``(m, n_rows)`` int16; -1 where there is no answer.

    Args:
        store: the store.
        names: full names; of an ensemble those of its members, joined by plus signs.
        rows: indices into the corpus.
        rule: how ensembles vote. Default: hard, ties to the lowest class.

    Raises:
        StoreError: as :func:`vote_ensemble`.
    """
    plain = [name for name in names if PLUS not in name]
    said = dict(zip(plain, store.predictions(plain, rows), strict=True)) if plain else {}
    voting = rule or VotingRule()
    return np.stack(
        [said[name] if name in said else vote_ensemble(store, name.split(PLUS), rows, rule=voting) for name in names]
    )
