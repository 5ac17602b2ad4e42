"""What is searched: the members' predictions, the rule and the constraints, checked once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import comb
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.common.checks import check_choice, check_number
from ser_store.errors import EnsembleError
from ser_store.voting.checks import TIES, check_votes, check_weights, take_steps
from ser_store.voting.quantize import MAX_SUM, Logits, count_weights
from ser_store.voting.rules import RULES, Votes, decide, decide_by_sums, find_most
from ser_store.voting.subsets import Constraints, make_constraints

Objective = Literal["accuracy", "balanced_accuracy"]

# Searches count their ensembles in 64 bits.
_MAX_ENSEMBLES = 2**62
# Bits of the planes, of which every thread has its own: 128 MB.
_MAX_PLANES = 2**30
# Margins that are tabled at 24 bytes each: 100 MB.
_MAX_MARGINS = 2**22
# A search that begins with more members than are allowed meets so many times as many ensembles at most.
_MOST_FREE = 100


@dataclass(frozen=True)
class Problem:
    """The ensembles of k of m candidates on n utterances of c classes, and the rule they vote by.

    Attributes:
        predictions: ``(m, n)`` class indices.
        truth: ``(n,)`` class indices.
        k: members of an ensemble.
        n_classes: number of classes, ``c``.
        rule: ``hard``, ``soft`` or ``soft-log``.
        tie: the tie rule of hard voting.
        steps: ``(m, n, c)``, what members give each class in whole numbers, or None where the rule needs none.
        accuracies: ``(m,)``, the members' accuracies on these utterances.
        weights: ``(m,)`` whole numbers of any size, or None where all weigh alike.
        objective: ``accuracy`` or ``balanced_accuracy``: what makes an ensemble better than another.
        constraints: which ensembles are allowed, or None where all are.
    """

    predictions: NDArray[np.intp]
    truth: NDArray[np.intp]
    k: int
    n_classes: int
    rule: str
    tie: str
    steps: NDArray[np.int64] | None
    accuracies: NDArray[np.float64]
    weights: NDArray[Any] | None = None
    objective: str = "accuracy"
    constraints: Constraints | None = None

    @property
    def m(self) -> int:
        """Number of candidates."""
        return len(self.predictions)

    @property
    def n(self) -> int:
        """Number of utterances."""
        return len(self.truth)

    @property
    def total(self) -> int:
        """Number of ensembles, those that are allowed."""
        if self.constraints is None:
            return comb(self.m, self.k)
        return self.constraints.count(self.k) if 1 <= self.k <= self.m else 0

    @property
    def is_bitsliceable(self) -> bool:
        """Whether the bit-sliced search can take it: the rules it knows, codes and counts in bytes, planes that fit."""
        plain = self.rule == "hard" and self.tie in ("lowest", "abstain") and self.weights is None
        planes = self.n * self.n_classes * (self.m + 7)
        return plain and 2 <= self.k <= 255 >= self.n_classes and planes <= _MAX_PLANES

    @property
    def bounded_by(self) -> str | None:
        """The compiled code that finds the best alone by leaving out what cannot be it; None where there is none."""
        if self.k < 4:
            return None
        if self.is_bitsliceable:
            return "bitsliced" if self.constraints is None else None
        free = self.free()
        is_near = free.total <= _MOST_FREE * self.total
        return "summed" if free.is_summable and self.fits(self.k) and is_near else None

    @property
    def is_summable(self) -> bool:
        """Whether the compiled search by sums can take it: a sum for each class decides, and the tables are not big."""
        return self._is_tabled and self.constraints is None and self.k >= 2

    @property
    def is_added_up(self) -> bool:
        """Whether exact sums for each class decide, of which the tables are not big; also with constraints."""
        return self._is_tabled and self.fits(self.k)

    @property
    def _is_tabled(self) -> bool:
        tabled = self.n * (self.n_classes - 1) * (self.m + 7) <= _MAX_MARGINS
        return tabled and self.tie in ("lowest", "abstain")

    @cached_property
    def most(self) -> int:
        """The most that a candidate gives a class."""
        return find_most(self.weights, self.steps)

    def free(self) -> "Problem":
        """Return the same without constraints."""
        return self if self.constraints is None else replace(self, constraints=None)

    def keep(self, candidates: NDArray[np.intp]) -> "Problem":
        """Return the problem of some of the candidates, without constraints."""
        return replace(
            self,
            predictions=self.predictions[candidates],
            steps=None if self.steps is None else self.steps[candidates],
            accuracies=self.accuracies[candidates],
            weights=None if self.weights is None else self.weights[candidates],
            constraints=None,
        )

    def fits(self, k: int) -> bool:
        """Return whether all that ``k`` members give adds up exactly in 64 bits."""
        return k * self.most < MAX_SUM

    def cut_off(self) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None, int]:
        """Return what searches add up, and by how much a margin between ``k`` members' sums may be wrong.

        Of hard voting these are the weights ``(m,)``, of the others what members give each class, ``(m, n, c)``.

        Where sums are too large, the last bits of every member's share are cut off. What that leaves open is to be
        decided by :meth:`decide`.
        """
        weights = self.weights
        steps = None if self.rule == "hard" else self.steps
        excess = max(0, (self.k * find_most(weights, steps)).bit_length() - (MAX_SUM.bit_length() - 1))
        if weights is not None and steps is not None:
            exact = (steps.astype(object) if excess else steps) * weights[:, None, None]
            steps = (exact >> excess).astype(np.int64)
        cut = None if weights is None else (weights >> excess).astype(np.int64)
        return cut, steps, self.k if excess else 0

    def vote(self, members: list[int]) -> Votes:
        """Return what the ensemble of these candidates decides."""
        return self.decide(np.array(members)[:, None], np.arange(self.n))

    def decide(self, members: NDArray[np.intp], utterances: NDArray[np.intp]) -> Votes:
        """Return for each of the ``(e,)`` utterances what its ``(k, e)`` or ``(k, 1)`` members decide."""
        if self.rule != "hard":
            return decide_by_sums(self.give(members, utterances))
        return decide(
            self.predictions[members, utterances],
            n_classes=self.n_classes,
            tie=self.tie,
            steps=None if self.steps is None else self.give(members, utterances),
            accuracies=self.accuracies[members],
            weights=self.weigh(members),
        )

    def weigh(self, members: NDArray[np.intp]) -> NDArray[Any]:
        """Return the weights of ``(k, e)`` members, of a type that their sums fit."""
        if self.weights is None:
            return np.ones(members.shape, dtype=np.int64)
        return self.weights[members].astype(np.int64 if self.fits(len(members)) else object)

    def give(self, members: NDArray[np.intp], utterances: NDArray[np.intp]) -> NDArray[Any]:
        """Return what members give each class of an utterance, times their weights, ``(k, e, c)``."""
        if self.steps is None:
            raise ValueError("this rule takes no probabilities")
        given = self.steps[members, utterances]
        return given if self.weights is None else given * self.weigh(members)[..., None]


def pose_problem(
    predictions: ArrayLike,
    truth: ArrayLike,
    *,
    k: int,
    n_classes: int,
    rule: str = "hard",
    tie: str = "lowest",
    probabilities: ArrayLike | Logits | None = None,
    weights: ArrayLike | None = None,
    objective: str = "accuracy",
    groups: ArrayLike | None = None,
    required: Sequence[Sequence[int]] = (),
) -> Problem:
    """Return the checked problem that every search takes.

    Args:
        predictions: ``(m, n)`` class indices in ``0..n_classes-1``, one row per candidate.
        truth: ``(n,)`` class indices.
        k: members of an ensemble; each search checks it against its own limits.
        n_classes: number of classes, ``c``, at least 2.
        rule: ``hard`` (see :func:`~ser_store.voting.rules.hard_vote`), ``soft``
            (:func:`~ser_store.voting.rules.soft_vote`) or ``soft-log``
            (:func:`~ser_store.voting.rules.soft_log_vote`); the latter two take nothing from ``predictions``.
        tie: the tie rule of hard voting; ``best`` goes by the candidates' accuracy on these utterances, and between
            equally accurate ones by their index.
        probabilities: ``(m, n, c)`` in 0..1, or :class:`~ser_store.voting.quantize.Logits`, for soft voting and the tie
            rule ``confidence``.
        weights: ``(m,)`` of the candidates, none negative and not all 0, which count as in
            :func:`~ser_store.voting.rules.hard_vote`. Default: all alike.
        objective: ``accuracy`` or ``balanced_accuracy``: what the best are best by.
        groups: ``(m,)`` whole numbers, the same for candidates of one group, of which an ensemble holds at most one
            and which must be next to each other. Default: everyone is a group of its own.
        required: sets of indices of candidates, of each of which an ensemble holds at least one.

    Raises:
        EnsembleError: if the arrays do not fit each other, leave their ranges, or one that is needed is missing; if the
            groups are scattered.
        UnknownNameError: if there is no such rule, tie rule or objective.

    >>> problem = pose_problem([[0, 0], [0, 1], [1, 1]], [0, 1], k=2, n_classes=2)
    >>> problem.total, problem.vote([1, 2]).predicted.tolist()
    (3, [0, 1])
    """
    check_choice("voting rule", rule, RULES)
    check_choice("objective", objective, get_args(Objective))
    check_choice("tie rule", tie, TIES)
    if rule != "hard" and tie != "lowest":
        raise EnsembleError(f"tie rule {tie!r} with {rule} voting: expected 'lowest'; the others are for hard voting")
    votes = check_votes(predictions, n_classes, kind="predictions")
    m, n = votes.shape
    true = _check_truth(truth, n, n_classes)
    steps = None
    if rule != "hard" or tie == "confidence":
        steps = take_steps(probabilities, (m, n, n_classes), rule=rule, needed_by="voting rule")
    return Problem(
        predictions=votes,
        truth=true,
        k=k,
        n_classes=n_classes,
        rule=rule,
        tie=tie,
        steps=steps,
        accuracies=(votes == true).mean(axis=1),
        weights=None if weights is None else count_weights(check_weights(weights, m)),
        objective=objective,
        constraints=make_constraints(m, groups=groups, required=required) if groups is not None or required else None,
    )


def _check_truth(truth: ArrayLike, n: int, n_classes: int) -> NDArray[np.intp]:
    true = np.asarray(truth)
    if true.shape != (n,) or not np.issubdtype(true.dtype, np.integer):
        raise EnsembleError(
            f"truth is {true.dtype} of shape {true.shape}: expected integers of shape ({n},), a class per utterance"
        )
    if true.min() < 0 or true.max() >= n_classes:
        raise EnsembleError(f"truth ranges from {true.min()} to {true.max()}: expected 0..{n_classes - 1}")
    return true.astype(np.intp, copy=False)


def check_plain(problem: Problem, *, search: str) -> None:
    """Refuse what only the exhaustive search takes: weights, constraints, another objective.

    Raises:
        EnsembleError: naming them.
    """
    if problem.weights is not None or problem.constraints is not None or problem.objective != "accuracy":
        raise EnsembleError(
            f"a {search} search with weights, groups, required members or objective {problem.objective!r}: expected "
            "none of these, and 'accuracy'; the exhaustive search takes them"
        )


def check_countable(problem: Problem) -> None:
    """Refuse a problem of no ensembles, or of more than a search can count.

    Raises:
        EnsembleError: naming what there is, and the way out.
    """
    m, k, constraints = problem.m, problem.k, problem.constraints
    check_number("k", k, EnsembleError, whole=True)
    if constraints is not None and not problem.total:
        raise EnsembleError(
            f"no ensemble of {k} of {m} members is allowed, with at most one of each of {len(constraints.sizes)} "
            f"groups and {len(constraints.required)} required: expected another k or looser constraints"
        )
    if not 1 <= k <= m:
        raise EnsembleError(f"k is {k} with {m} members: expected 1 to {m}; name more members or a smaller k")
    if problem.total > _MAX_ENSEMBLES:
        raise EnsembleError(
            f"there are {float(problem.total):.1e} ensembles of {k} of {m} members: expected at most "
            f"{float(_MAX_ENSEMBLES):.1e}; name fewer members or a smaller k"
        )
