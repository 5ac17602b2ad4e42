"""What members hold is told apart: probabilities, whatever they are stored as, and scores that are none."""

import numpy as np
import pytest

from ser_store import Store, vote
from ser_store.errors import StoreError
from ser_store.evaluation.comparing import compare
from ser_store.evaluation.score_kinds import CONFIDENCE, LOSSES, SOFT_VOTES, caution_scores, find_kind
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord

N = 24
RUNS = {
    "net": ("finetune", {}),
    "svm": ("head", {"head": "svm"}),
    "knn": ("head", {"head": "knn"}),
    "logreg": ("head", {"head": "logreg"}),
    "stated": ("head", {"head": "svm", "scores": "log-probabilities"}),
    "theirs": ("import", {"scores": "scores"}),
    "shares": ("import", {"scores": "log-probabilities"}),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(1)
    corpus = Corpus(
        name="kinds",
        ids=np.array([f"u{row:02}" for row in range(N)]),
        labels=rng.integers(3, size=N).astype(np.int16),
        classes=("angry", "happy", "sad"),
    )
    store = Store.create(tmp_path_factory.mktemp("kinds") / "kinds.store", corpus)
    for run, (kind, details) in RUNS.items():
        store.add_run(RunRecord(run, kind, "elsewhere", details=details))
        logits = rng.normal(size=(N, 3)).astype(np.float32)
        store.write_member(Member(run, 1, np.arange(N, dtype=np.int32), logits=logits))
    return store


def test_the_record_says_what_is_stored_and_else_the_kind_of_head(store):
    kinds = {run: find_kind(store, run) for run in RUNS}
    assert kinds == {
        "net": "logits",
        "svm": "scores",
        "knn": "scores",
        "logreg": "log-probabilities",
        "stated": "log-probabilities",
        "theirs": "scores",
        "shares": "log-probabilities",
    }


def test_a_record_that_says_what_nobody_knows_is_refused(store, tmp_path):
    other = Store.create(tmp_path / "other.store", store.corpus)
    other.add_run(RunRecord("odd", "import", "elsewhere", details={"scores": "logit"}))
    with pytest.raises(StoreError, match=r"kind of scores in the record of odd 'logit': .* logits \(nearest\)"):
        find_kind(other, "odd")


@pytest.mark.parametrize(
    ("members", "of", "line"),
    [
        (["net@1", "logreg@1", "stated@1", "shares@1"], SOFT_VOTES, None),
        (["svm@1"], SOFT_VOTES, None),
        (["net@1", "logreg@1"], LOSSES, None),
        (
            ["net@1", "svm@1", "knn@1"],
            SOFT_VOTES,
            "soft voting adds up the softmax of what is not on one scale: svm@1 holds an SVM's decision values; knn@1 "
            "holds shares of a k-NN's neighbours; net@1 holds probabilities or logits; `calibrate()` makes "
            "probabilities of them, `rule` hard counts every vote alike",
        ),
        (
            ["svm@1", "theirs@1"],
            CONFIDENCE,
            "ties by confidence add up the softmax of what is not on one scale: svm@1 holds an SVM's decision values; "
            "theirs@1 holds scores that are no probabilities; `tie` lowest asks for none",
        ),
        (
            ["svm@1"],
            LOSSES,
            "svm@1 holds an SVM's decision values: their log-loss, Brier score and calibration error are those of the "
            "softmax, which makes no probabilities of them",
        ),
    ],
    ids=str,
)
def test_who_holds_what_is_one_line(store, members, of, line):
    assert caution_scores(store, members, of=of) == (() if line is None else (line,))


def test_many_members_of_a_kind_are_counted():
    class Runs:
        def run(self, name):
            return RunRecord(name, "head", "elsewhere", details={"head": "svm"})

    (line,) = caution_scores(Runs(), [f"svm{number}@1" for number in range(9)], of=SOFT_VOTES)
    assert "svm0@1, svm1@1, svm2@1 and 6 more hold an SVM's decision values" in line


@pytest.mark.parametrize(
    ("options", "is_said"),
    [
        ({"rule": "hard"}, False),
        ({"rule": "hard", "tie": "best"}, False),
        ({"rule": "hard", "tie": "confidence"}, True),
        ({"rule": "soft"}, True),
        ({"rule": "soft-log"}, True),
    ],
    ids=str,
)
def test_votes_that_add_up_scores_say_so(store, options, is_said):
    report = vote(store, ["net", "svm", "logreg"], correction="none", **options)
    compared = compare(store, ["net+svm+logreg", "knn"], **options)
    for cautions in (report.cautions, report.to_json()["cautions"], compared.cautions, compared.to_json()["cautions"]):
        said = [line for line in cautions if "svm@1 holds an SVM's decision values" in line]
        assert len(said) == is_said
    honest = vote(store, ["net", "logreg", "shares"], correction="none", **options)
    assert not any("softmax" in line for line in honest.cautions)
