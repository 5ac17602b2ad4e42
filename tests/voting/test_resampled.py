"""The best ensemble in each of many samples, found in one pass, against a vote of every ensemble in each."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vote_samples import draw_candidates

from ser_store.voting import resampled
from ser_store.voting.problem import pose_problem
from ser_store.voting.resampled import find_bests


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m, n, n_classes = draw(st.integers(1, 8)), draw(st.integers(1, 90)), draw(st.integers(2, 6))
    predictions, truth = draw_candidates(m, n, n_classes, accuracy=draw(st.sampled_from([0.0, 0.5, 0.9])))
    rule = draw(st.sampled_from(["hard", "soft", "soft-log"]))
    options = {"rule": rule, "tie": draw(st.sampled_from(["lowest", "abstain"])) if rule == "hard" else "lowest"}
    if rule != "hard":
        # Quarters tie; others are divided, and the sums of those near 0 are added up exactly.
        shares = rng.integers(5, size=(m, n, n_classes)) / 4, rng.dirichlet(np.ones(n_classes), size=(m, n))
        options["probabilities"] = shares[draw(st.integers(0, 1))] * draw(st.sampled_from([1, 1e-3, 1e-9]))
    if draw(st.booleans()):
        options["weights"] = rng.integers(4, size=m) + draw(st.sampled_from([0.125, 1]))
    if draw(st.booleans()):
        options["groups"] = np.arange(m) // 2
    if draw(st.booleans()):
        options["required"] = [[0, m - 1]]
    problem = pose_problem(predictions, truth, k=draw(st.integers(1, m)), n_classes=n_classes, **options)
    units = rng.integers(draw(st.integers(1, n)), size=n)
    return problem, rng.integers(4, size=(draw(st.integers(1, 40)), units.max() + 1)), units


@pytest.mark.parametrize("size", [1, 2**20])
@settings(max_examples=60)
@given(case=cases())
def test_one_pass_finds_in_each_sample_what_a_vote_of_all_finds(case, size):
    problem, samples, units = case
    allowed = [
        members
        for members in combinations(range(problem.m), problem.k)
        if problem.constraints is None or problem.constraints.allow(np.array([members]))[0]
    ]
    if not allowed:
        return
    right = np.array([problem.vote(list(members)).predicted == problem.truth for members in allowed])
    best = np.array(allowed)[(samples[:, units] @ right.T).argmax(axis=1)]
    with pytest.MonkeyPatch.context() as patched:
        for name in ("_ROOTS", "_SCORES"):
            patched.setattr(resampled, name, size)
        assert find_bests(problem, samples, units, threads=2).tolist() == best.tolist()
