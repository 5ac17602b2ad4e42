"""What members bring, against voting by the rules without each of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ser_store.voting import TIES, hard_vote, pose_problem, soft_log_vote, soft_vote
from ser_store.voting.diversity import compute_contributions


@st.composite
def ensembles(draw):
    m, n, c = draw(st.integers(1, 6)), draw(st.integers(1, 10)), draw(st.integers(2, 5))
    predictions = draw(hnp.arrays(np.int16, (m, n), elements=st.integers(0, c - 1)))
    truth = draw(hnp.arrays(np.int16, n, elements=st.integers(0, c - 1)))
    probabilities = draw(hnp.arrays(np.float32, (m, n, c), elements=st.integers(0, 8).map(lambda p: p / 8)))
    members = draw(st.lists(st.integers(0, m - 1), min_size=2, max_size=7))
    return predictions, truth, probabilities, members, c


def vote_by_rule(case, members, rule, tie):
    predictions, truth, probabilities, _, n_classes = case
    if rule == "soft":
        return soft_vote(probabilities[members]).predicted == truth
    if rule == "soft-log":
        return soft_log_vote(probabilities[members]).predicted == truth
    accuracies = (predictions == truth).mean(axis=1)[members]
    options = {"n_classes": n_classes, "tie": tie, "probabilities": probabilities[members], "accuracies": accuracies}
    return hard_vote(predictions[members], **options).predicted == truth


@pytest.mark.parametrize(
    ("rule", "tie"), [*(("hard", tie) for tie in TIES), ("soft", "lowest"), ("soft-log", "lowest")]
)
@given(case=ensembles())
def test_a_member_brings_the_difference_between_voting_with_and_without_it(case, rule, tie):
    predictions, truth, probabilities, members, n_classes = case
    asked = {"k": 1, "n_classes": n_classes, "rule": rule, "tie": tie, "probabilities": probabilities}
    table = compute_contributions(pose_problem(predictions, truth, **asked), members)
    right = vote_by_rule(case, members, rule, tie)
    assert (table.n, table.correct, table.accuracy) == (len(truth), right.sum(), right.mean())
    assert [row.member for row in table.rows] == members
    for place, row in enumerate(table.rows):
        without = vote_by_rule(case, members[:place] + members[place + 1 :], rule, tie)
        assert row.accuracy == vote_by_rule(case, [members[place]], rule, tie).mean()
        assert row.accuracy_without == without.mean()
        assert row.gain == pytest.approx(right.mean() - without.mean())
        assert row.gained == sum(with_it and not w for with_it, w in zip(right, without, strict=True))
        assert row.lost == sum(w and not with_it for with_it, w in zip(right, without, strict=True))
