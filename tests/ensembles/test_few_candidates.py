"""Which option left fewer candidates than an ensemble needs, and what can be done."""

import numpy as np
import pytest
from ensemble_samples import group_options

from ser_store import Limits, Store, vote
from ser_store.errors import EnsembleError
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord

# Of the ten utterances of the test part, and of the ten of the valid part, which come after them.
RIGHT = {
    "big@1": (9, 5),
    "big@2": (8, 9),
    "small@1": (8, 6),
    "small@2": (7, 5),
    "tiny@1": (5, 3),
    "short@1": (10, None),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Members with 9, 8, 8, 7 and 5 of 10 right on the test part; and one that covers that part only."""
    corpus = Corpus(
        name="counted",
        ids=np.array([f"u{row:02}" for row in range(20)]),
        labels=np.zeros(20, dtype=np.int16),
        classes=("no", "yes"),
        splits={"usual": np.repeat(["test", "valid"], 10)},
        default_split="usual",
    )
    store = Store.create(tmp_path_factory.mktemp("counted") / "counted.store", corpus)
    for name, counts in RIGHT.items():
        run, step = name.split("@")
        if not store.has_run(run):
            store.add_run(RunRecord(run, "import", "elsewhere"))
        predicted = np.concatenate([np.arange(10) >= count for count in counts if count is not None]).astype(np.int16)
        store.write_member(Member(run, int(step), np.arange(len(predicted), dtype=np.int32), predicted=predicted))
    return store


ALL = {"all_combos": True, "steps": "all", "correction": "none"}


EVERYBODY = "big@1, big@2, short@1, small@1, small@2, tiny@1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"k": 3, "min_accuracy": 0.85},
            "`k` is 3 with 2 candidates (big@1, short@1): `min_accuracy` 0.85 left 2 of 6: expected 1 to 2; "
            "`min_accuracy` 0.8 leaves 3 or more, choose another `k`",
        ),
        (
            {"k": 3, "min_accuracy": 0.95},
            "`k` is 3 with 1 candidate (short@1): `min_accuracy` 0.95 left 1 of 6: expected 1; `min_accuracy` 0.8 "
            "leaves 3 or more, choose another `k`",
        ),
        (
            {"k": 5, "exclude": ["small", "tiny*"]},
            "`k` is 5 with 3 candidates (big@1, big@2, short@1): `exclude` small `exclude` tiny* left 3 of 6: expected "
            "1 to 3; exclude fewer, choose another `k`",
        ),
        (
            {"k": 3, "exclude": ["short"], "min_accuracy": 0.9},
            "`k` is 3 with 1 candidate (big@1): `exclude` short left 5 of 6; `min_accuracy` 0.9 left 1 of 5: expected "
            "1; exclude fewer, `min_accuracy` 0.8 leaves 3 or more, choose another `k`",
        ),
        (
            {"k": 7, "exclude": ["short"], "min_accuracy": 0.9},
            "`k` is 7 with 1 candidate (big@1): `exclude` short left 5 of 6; `min_accuracy` 0.9 left 1 of 5: expected "
            "1; add members, choose another `k`",
        ),
        (
            {"k": 4, "select_on": "valid", "on": "test", "min_accuracy": 0.6},
            "`k` is 4 with 2 candidates (big@2, small@1): what they cover of valid left 5 of 6; `min_accuracy` 0.6 "
            "left 2 of 5: expected 1 to 2; choose another `on`, `min_accuracy` 0.5 leaves 4 or more, choose "
            "another `k`",
        ),
        (
            {"k": 6, "on": "valid"},
            "`k` is 6 with 5 candidates (big@1, big@2, small@1, small@2, tiny@1): what they cover of valid left 5 of "
            "6: expected 1 to 5; choose another `on`, choose another `k`",
        ),
        (
            {"k": 5, "steps": "selected"},
            "`k` is 5 with 4 candidates (big@2, short@1, small@2, tiny@1): `steps` selected left 4 of 6: expected 1 to "
            "4; take `steps` all, choose another `k`",
        ),
        (
            {"k": 3, "steps": "selected", "members": ["big", "small@1"]},
            "`k` is 3 with 2 candidates (big@2, small@1): `steps` selected left 2 of 3: expected 1 to 2; take `steps` "
            "all, choose another `k`",
        ),
        (
            {"k": 5, "one_step_per_run": True},
            f"no ensemble of 5 of the 6 candidates ({EVERYBODY}) is allowed: `one_step_per_run` allows one of each of "
            "4 runs: expected 1 to 4; drop `one_step_per_run`, choose another `k`",
        ),
        (
            {"k": 2, "one_step_per_run": True, "include": ["big@1", "big@2"]},
            f"no ensemble of 2 of the 6 candidates ({EVERYBODY}) is allowed: `one_step_per_run` allows one of each of "
            "4 runs; one each of big@1, big@2 is asked for by `include`: expected looser constraints; drop "
            "`one_step_per_run`, `include` fewer, choose another `k`",
        ),
        (
            {"k": 1, "include": ["big@1", "tiny"]},
            f"no ensemble of 1 of the 6 candidates ({EVERYBODY}) is allowed: one each of big@1, tiny is asked for by "
            "`include`: expected 2 to 6; `include` fewer, choose another `k`",
        ),
        (
            {"k": 2, "include": ["small"], "exclude": ["s*"]},
            "`include` small means nobody who is left: `exclude` s* left 3 of 6; expected a candidate",
        ),
        (
            {"k": 2, "include": ["short"], "on": "valid"},
            "`include` short means nobody who is left: what they cover of valid left 5 of 6; expected a candidate",
        ),
        ({"k": 2, "exclude": ["*"]}, "`exclude` leaves no candidate: expected at least one; exclude fewer"),
        (
            {"k": 2, "min_accuracy": 0.95, "exclude": ["short"]},
            "no candidate reaches `min_accuracy` 0.95: the best is big@1 with 0.9, 9 of 10 right",
        ),
    ],
    ids=str,
)
def test_the_option_that_left_too_few_is_named_with_the_counts_and_the_way_out(store, options, message):
    with pytest.raises(EnsembleError) as refused:
        vote(store, **group_options(**ALL | options))
    assert str(refused.value) == message


def test_a_way_out_that_is_named_is_one(store):
    assert vote(store, k=3, **ALL, limits=Limits(min_accuracy=0.8)).candidates == (
        "big@1",
        "big@2",
        "short@1",
        "small@1",
    )
    assert vote(store, k=4, **ALL, select_on="valid", on="test", limits=Limits(min_accuracy=0.5)).searched == 1
    assert vote(store, k=4, **ALL, limits=Limits(one_step_per_run=True)).searched == 4
    assert vote(store, k=2, **ALL, limits=Limits(include=["big@1", "tiny"])).searched == 1


@pytest.mark.parametrize(("bound", "kept"), [(0.9, 2), (0.8, 4), (0.7, 5), (0.70001, 4), (0.5, 6), (1.0, 1), (0.0, 6)])
def test_a_member_that_has_just_the_least_accuracy_stays(store, bound, kept):
    assert len(vote(store, k=1, **ALL, limits=Limits(min_accuracy=bound)).candidates) == kept


@pytest.mark.parametrize("n", [3, 7, 49, 288, 1000])
def test_no_accuracy_is_below_itself(n, tmp_path):
    labels = np.zeros(n, dtype=np.int16)
    corpus = Corpus(name="c", ids=np.array([f"u{row:04}" for row in range(n)]), labels=labels, classes=("no", "yes"))
    store = Store.create(tmp_path / "c.store", corpus)
    store.add_run(RunRecord("a", "import", "elsewhere"))
    for step, correct in enumerate(range(n - min(n, 20), n)):
        predicted = (np.arange(n) >= correct).astype(np.int16)
        store.write_member(Member("a", step, np.arange(n, dtype=np.int32), predicted=predicted))
    single = vote(store, k=1, **ALL, top=20)
    for place, one in enumerate(single.ensembles):
        kept = vote(store, k=1, **ALL, limits=Limits(min_accuracy=one.score.accuracy)).candidates
        assert len(kept) == place + 1
