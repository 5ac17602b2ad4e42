"""The candidates that may be chosen after what is asked of them, posed as a problem of plain arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.candidates import Candidates
from ser_store.ensembles.choice import CandidateChoice, Cut
from ser_store.ensembles.options import Limits, VoteOptions
from ser_store.errors import EnsembleError
from ser_store.voting.problem import Problem, pose_problem


@dataclass(frozen=True, eq=False)
class CandidatePool:
    """Candidates that may be chosen, and the problem that they pose.

    Attributes:
        candidates: those that have the least accuracy on these utterances, or are required.
        places: ``(m,)``, where they are among all candidates.
        weights: ``(m,)``, as they were derived or given, or None where all weigh alike.
        problem: their votes, weights and constraints, of ``k`` 1.
        ks: the sizes of the ensembles, ascending.
        options: what is asked of the vote, with these sizes.
    """

    candidates: Candidates
    places: NDArray[np.intp]
    weights: NDArray[Any] | None
    problem: Problem
    ks: tuple[int, ...]
    options: VoteOptions

    def count(self, k: int) -> int:
        """Return how many ensembles of ``k`` members are allowed."""
        return replace(self.problem, k=k).total

    def iter_problems(self) -> Iterator[Problem]:
        """Return the problem of each size, ascending."""
        return (replace(self.problem, k=k) for k in self.ks)

    def pose_on(self, on: Candidates) -> Problem:
        """Return the votes of this pool on the utterances of ``on``, all the candidates there, as a problem of ``k`` 1.

        The weights and accuracies are those of this pool.
        """
        there = on.keep(self.places)
        if there is self.candidates:
            return self.problem
        posed = _pose(there, self.options, weights=None)
        return replace(posed, accuracies=self.problem.accuracies, weights=self.problem.weights)

    def pose_members(self, members: Candidates) -> Problem:
        """Return the votes of some of the candidates on other utterances, as a problem of ``k`` 1 without constraints.

        The weights and accuracies are those of this pool.
        """
        places = np.array([self.candidates.names.index(name) for name in members.names])
        known = self.problem.keep(places)
        posed = _pose(members, replace(self.options, limits=Limits()), weights=None)
        return replace(posed, accuracies=known.accuracies, weights=known.weights)


def pose_pool(candidates: Candidates, options: VoteOptions, *, min_accuracy: float | None = None) -> CandidatePool:
    """Return the pool of the candidates that reach ``min_accuracy`` on these utterances, or are to be included.

    Args:
        candidates: all of them.
        options: what is asked of the vote.
        min_accuracy: another least accuracy than that of ``options``.

    Raises:
        EnsembleError: if no candidate does.
    """
    limits = options.limits
    bound = limits.min_accuracy if min_accuracy is None else min_accuracy
    is_required = np.zeros(len(candidates.names), dtype=bool)
    for pattern in limits.include:
        is_required[list(candidates.find(pattern))] = True
    places = np.flatnonzero((candidates.accuracies >= bound) | is_required)
    if not len(places):
        best = int(candidates.correct.argmax())
        raise EnsembleError(
            f"no candidate reaches `min_accuracy` {bound:g}: the best is {candidates.names[best]} with "
            f"{candidates.accuracies[best]:.6g}, {candidates.correct[best]} of {len(candidates.truth)} right"
        )
    kept = candidates.keep(places)
    ks = (len(places),) if options.ks is None else options.ks
    weights = None
    if options.weights is not None:
        weights = options.weights.weigh(kept.names, kept.predictions, kept.truth, kept.n_classes)
    return CandidatePool(kept, places, weights, _pose(kept, options, weights), ks, replace(options, ks=ks))


def _pose(candidates: Candidates, options: VoteOptions, weights: NDArray[Any] | None) -> Problem:
    limits = options.limits
    return pose_problem(
        candidates.predictions,
        candidates.truth,
        k=1,
        n_classes=candidates.n_classes,
        rule=options.voting_rule,
        tie=options.tie,
        probabilities=candidates.shares,
        weights=weights,
        objective=options.objective,
        groups=candidates.runs if limits.one_step_per_run else None,
        required=[sorted(candidates.find(pattern)) for pattern in limits.include],
    )


def check_sizes(pool: CandidatePool, everything: Candidates, choice: CandidateChoice, *, is_search: bool) -> None:
    """Refuse sizes of which there are no ensembles, or several and no search was asked for.

    Args:
        pool: the candidates that are searched.
        everything: all candidates, also those below the least accuracy.
        choice: how these were chosen.
        is_search: whether all ensembles of a size were asked for.

    Raises:
        EnsembleError: naming the candidates, what left no more of them, and the way out.
    """
    names, m = pool.candidates.names, len(pool.places)
    for k in pool.ks:
        if pool.options.search.method == "greedy" or pool.count(k):
            if k == m or is_search:
                continue
            raise EnsembleError(
                f"there are {m} candidates for {k} places: name exactly {k} members, or search all "
                f"{pool.count(k):,} ensembles with `all_combos`"
            )
        shown = f"{', '.join(names[:8])}{', …' if m > 8 else ''}"
        limits, ways_out = _explain_limits(pool, everything, k, choice.list_cuts())
        limits = [*limits, *choice.unread]
        possible = [size for size in range(1, m + 1) if pool.count(size)]
        sizes = " to ".join(map(str, dict.fromkeys([possible[0], possible[-1]]))) if possible else "looser constraints"
        refused = f"no ensemble of {k} of the {m} candidates ({shown}) is allowed"
        if k > m:
            refused = f"`k` is {k} with {m} candidate{'s' if m > 1 else ''} ({shown})"
        raise EnsembleError(
            f"{refused}{': ' if limits else ''}{'; '.join(limits)}: expected {sizes}; {', '.join(ways_out)}"
        )


def _explain_limits(
    pool: CandidatePool, everything: Candidates, k: int, cuts: Sequence[Cut]
) -> tuple[list[str], list[str]]:
    """Return the reasons why there are no ensembles of ``k``, and the ways out."""
    asked = pool.options.limits
    m, m_before = len(pool.places), len(everything.names)
    if m < m_before:
        # The k-th best, rounded down, so that it is reached.
        least = np.sort(everything.correct)[-min(k, m_before)] * 10_000 // len(everything.truth) / 10_000
        way_out = f"`min_accuracy` {least:g} leaves {min(k, m_before)} or more"
        cuts = [*cuts, Cut(f"`min_accuracy` {asked.min_accuracy:g}", m_before, m, way_out)]
    limits = list(map(str, cuts))
    ways_out = list(dict.fromkeys(cut.way_out for cut in cuts if cut.before >= k > m))
    if k > m and not ways_out:
        ways_out = ["add members"]
    if k <= m and asked.one_step_per_run:
        n_runs = len(set(pool.candidates.runs.tolist()))
        limits.append(f"`one_step_per_run` allows one of each of {n_runs} run{'s' if n_runs > 1 else ''}")
        ways_out.append("drop `one_step_per_run`")
    if k <= m and asked.include:
        limits.append(f"one each of {', '.join(asked.include)} is asked for by `include`")
        ways_out.append("`include` fewer")
    return limits, [*ways_out, "choose another `k`"]
