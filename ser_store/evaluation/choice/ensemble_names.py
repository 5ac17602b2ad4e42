"""Ensembles by their names, such as ``a@1+b@2+c@3``: what their members decide together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ser_store.common.checks import check_choice
from ser_store.errors import EnsembleError
from ser_store.evaluation.fitted import group_speakers, pose_task
from ser_store.evaluation.score_kinds import load_shares
from ser_store.metrics import compute_accuracy
from ser_store.voting.checks import TIES, Tie, count_unanswered
from ser_store.voting.fitted import FITS, FittedRule
from ser_store.voting.rules import ABSTAINED, RULES, Rule, hard_vote, soft_log_vote, soft_vote
from ser_store_h5.corpus import Corpus
from ser_store_h5.names import PLUS
from ser_store_h5.store import Store

EnsembleRule = Rule | FittedRule
_WAY_OUT = "take `rule` soft-log, which fits nothing"


@dataclass(frozen=True)
class VotingRule:
    """How the members of an ensemble decide.

    Attributes:
        rule: of the vote; or one that fits weights, by which each utterance is scored without its speaker.
        tie: what decides ties of ``hard``.
        split: whose folds are left out in turn where weights are fitted. Default: the corpus' default split.

    Raises:
        EnsembleError: if ties are to be decided where weights are fitted.
        UnknownNameError: if there is no such rule for votes or for ties.

    >>> VotingRule("hard", "confidence").needs_probabilities
    True
    """

    rule: EnsembleRule = "hard"
    tie: Tie = "lowest"
    split: str | None = None

    def __post_init__(self) -> None:
        check_choice("voting rule", self.rule, [*RULES, *FITS])
        check_choice("tie rule", self.tie, TIES)
        if self.fits_weights and self.tie != "lowest":
            raise EnsembleError(f"`tie` with `rule` {self.rule}: expected a rule that fits no weights; drop `tie`")

    @property
    def needs_probabilities(self) -> bool:
        return self.rule in ("soft", "soft-log") or self.tie == "confidence"

    @property
    def fits_weights(self) -> bool:
        return self.rule in FITS


def vote_ensemble(
    store: Store, members: Sequence[str], rows: NDArray[np.int32], *, rule: VotingRule
) -> NDArray[np.int16]:
    """Return what an ensemble decides, ``(n_rows,)`` int16, -1 where it abstains; of one member, what it predicts.

    The order in which the members are named does not matter. An answer that is none of the classes is a vote for a
    further class, which comes last.

    Args:
        members: names; of equally accurate ones the one that comes first by name decides ties by ``best``.
        rows: indices into the corpus.
        rule: how they vote; ties by ``best`` take the members' accuracies on these very utterances.

    Raises:
        CorpusError, EnsembleError: if weights cannot be fitted.
        StoreError: if a member covers not all the rows, or lacks what the rule needs.
    """
    members = sorted(members)
    if rule.fits_weights and len(members) > 1:
        return np.asarray(_score_fitted(store, members, rows, rule).argmax(axis=1), dtype=np.int16)
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


def _score_fitted(
    store: Store, members: Sequence[str], rows: NDArray[np.int32], rule: VotingRule
) -> NDArray[np.float64]:
    """Return the log-probabilities of a rule that fits weights, ``(n_rows, c)``, as ``vote`` has them."""
    task = pose_task(store, members, rows, on="them", split=rule.split, way_out=_WAY_OUT)
    fitted = cast(FittedRule, rule.rule)
    obstacle = task.find_obstacle(fitted, store.corpus.classes)
    if obstacle is not None:
        raise EnsembleError(obstacle)
    return task.solve(fitted)[0]


def describe_fits(
    corpus: Corpus, names: Sequence[str], rows: NDArray[np.int32], *, on: str, rule: VotingRule
) -> tuple[str, ...]:
    """Return the line that says what the weights of these ensembles were fitted on; none where none were."""
    if not rule.fits_weights or not any(PLUS in name for name in names):
        return ()
    groups = group_speakers(corpus, rows, split=rule.split, way_out=_WAY_OUT)
    return (f"ensembles by `rule` {rule.rule}: {groups.describe(on)}",)


def load_members(
    store: Store, names: Sequence[str], rows: NDArray[np.int32], *, rule: VotingRule | None = None
) -> tuple[NDArray[np.int16], list[NDArray[Any] | None]]:
    """Load what members and ensembles predict, ``(m, n_rows)`` int16, -1 where there is no answer; and their scores.

    Args:
        names: full names; of an ensemble those of its members, joined by plus signs.
        rows: indices into the corpus.
        rule: how ensembles vote. Default: hard, ties to the lowest class.

    Returns:
        The predictions; and of each the logits, or log-probabilities of fitted weights, ``(n_rows, c)``, None of
        members that hold labels alone and of ensembles that vote.

    Raises:
        CorpusError, EnsembleError, StoreError: as :func:`vote_ensemble`.
    """
    voting = rule or VotingRule()
    predicted = np.empty((len(names), len(rows)), dtype=np.int16)
    scores: list[NDArray[Any] | None] = []
    for place, name in enumerate(names):
        members = sorted(name.split(PLUS))
        own: NDArray[Any]
        if len(members) == 1:
            own = store.answers([name], rows)[0]
        elif voting.fits_weights:
            own = _score_fitted(store, members, rows, voting)
        else:
            own = vote_ensemble(store, members, rows, rule=voting)
        predicted[place] = own if own.ndim == 1 else own.argmax(axis=1)
        scores.append(None if own.ndim == 1 else own)
    return predicted, scores
