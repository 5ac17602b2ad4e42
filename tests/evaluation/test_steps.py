"""The rules that choose a step, on curves made for each."""

import numpy as np
import pytest

from ser_store.errors import EnsembleError, StoreError, UnknownNameError
from ser_store.evaluation.step_selection import StepScore, choose_step, find_divergence, score_steps
from ser_store.evaluation.steps import steps
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


def scores(accuracies, eval_losses, train_losses):
    return [
        StepScore(100 * place, accuracy, accuracy, eval_loss, train_loss)
        for place, (accuracy, eval_loss, train_loss) in enumerate(
            zip(accuracies, eval_losses, train_losses, strict=True), start=1
        )
    ]


CURVE = scores(
    [0.5, 0.8, 0.7, 0.9, 0.9, 0.85],
    [1.5, 1.0, 1.1, 0.9, 1.2, 1.4],
    [1.4, 0.9, 0.7, 0.5, 0.3, 0.2],
)


@pytest.mark.parametrize(
    ("rule", "step"),
    [("best", 400), ("min-loss", 400), ("last", 600), ("divergence", 400)],
)
def test_each_rule_chooses_its_step(rule, step):
    selection = choose_step("r", CURVE, rule, "valid")
    assert (selection.step, selection.criterion, selection.on) == (step, rule, "valid")
    assert selection.reason


def test_of_equally_accurate_steps_the_earliest_is_best():
    curve = scores([0.5, 0.9, 0.9], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    assert choose_step("r", curve, "best", "test").step == 200


def test_divergence_is_told_from_a_wobble():
    """The loss at 300 rises once and falls again; from 400 on it rises twice while the training loss falls."""
    assert "rose twice after 400" in choose_step("r", CURVE, "divergence", "valid").reason


def test_divergence_ignores_what_comes_after_it():
    """A later, lower loss does not count once the curves have parted."""
    curve = scores([0.5] * 6, [1.5, 1.0, 1.2, 1.4, 0.8, 0.7], [1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert choose_step("r", curve, "divergence", "valid").step == 200
    assert choose_step("r", curve, "min-loss", "valid").step == 600


def test_a_training_loss_that_rises_too_is_no_divergence():
    curve = scores([0.5] * 4, [1.0, 1.1, 1.2, 0.9], [0.5, 0.6, 0.7, 0.4])
    selection = choose_step("r", curve, "divergence", "valid")
    assert selection.step == 400
    assert "did not rise while the training loss fell" in selection.reason


def test_rules_of_losses_need_logits():
    curve = [StepScore(1, 0.5, 0.5, None, None)]
    with pytest.raises(StoreError, match="run r holds labels, not logits: expected logits for `select` min-loss"):
        choose_step("r", curve, "min-loss", "test")


@pytest.fixture
def store(tmp_path):
    """Twelve utterances; run r has steps 10 and 20, right on all of valid at 10 and on all of test at 20."""
    corpus = Corpus(
        name="x",
        ids=np.array([f"u{i:02}" for i in range(12)]),
        labels=np.tile([0, 1], 6).astype(np.int16),
        classes=("a", "b"),
    ).with_split("s", np.repeat(["train", "valid", "test"], 4))
    store = Store.create(tmp_path / "x.store", corpus)
    store.add_run(RunRecord("r", "finetune", "tiny"))
    right = np.eye(2, dtype=np.float32)[corpus.labels]
    for step, right_part in ((10, "valid"), (20, "test")):
        rows = np.arange(4, 12, dtype=np.int32)
        logits = np.where((corpus.parts() == right_part)[rows][:, None], right[rows], 1 - right[rows])
        store.write_member(Member("r", step, rows, logits.astype(np.float32)))
    store.append_curve("r", step=10, train_loss=0.9)
    store.append_curve("r", step=15, train_loss=0.8)
    store.append_curve("r", step=25, train_loss=0.1)
    return store


def test_selection_looks_at_the_validation_part_where_there_is_one(store):
    comparison = steps(store, select="best")
    assert (comparison.on, comparison.runs[0].selected) == ("valid", 10)
    assert store.selected_step("r") == 10
    assert steps(store, select="best", on="test").runs[0].selected == 20


def test_it_says_whose_steps_and_draws_a_bar_for_each_with_the_choice_above_them(store):
    lines = str(steps(store, on="test")).splitlines()
    assert lines[0] == "steps of 1 run on test of the split s, 4 utterances"
    [bars, choice, first] = (
        next(place for place, line in enumerate(lines) if line.split()[:3] == begin)
        for begin in (["r", "10", "▁█"], ["r", "20", "100.00%"], ["r", "10", "0.00%"])
    )
    assert lines[bars] == "  r  10 ▁█ 20  0.00% to 100.00%"
    assert choice < bars < first


def test_a_step_carries_the_last_training_loss_logged_up_to_it(store):
    [run] = steps(store, on="test").runs
    assert [(score.step, score.train_loss, score.accuracy) for score in run.steps] == [(10, 0.9, 0.0), (20, 0.8, 1.0)]


def test_a_step_that_is_not_cached_cannot_be_selected(store):
    with pytest.raises(StoreError, match="run r has no cached step 30: expected one of 10, 20"):
        steps(store, select="30")
    with pytest.raises(UnknownNameError, match="unknown rule for a step 'bets': expected one of best"):
        steps(store, select="bets")


def test_the_divergence_is_a_step_or_never_or_unknown():
    assert find_divergence(CURVE) == 400
    assert find_divergence(scores([0.5] * 3, [1.0, 0.9, 0.8], [1.0, 0.9, 0.8])) is None
    assert find_divergence([StepScore(1, 0.5, 0.5, None, None)] * 5) is None


def test_steps_are_scored_from_arrays():
    truth = np.array([0, 0, 1, 1])
    predictions = np.array([[0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0]])
    first, second, third = score_steps(truth, predictions, [10, 20, 30], [0.9, 0.5, None], [(5, 1.5), (20, 0.7)], 2)
    assert (first.accuracy, first.balanced_accuracy, first.eval_loss) == (0.75, 0.75, 0.9)
    assert [score.train_loss for score in (first, second, third)] == [1.5, 0.7, 0.7]
    assert [score.agreement for score in (first, second, third)] == [None, 0.5, 0.75]


def write_run(store, name, right):
    """A run with one step for each row of ``right``, (n_steps, n) bool."""
    corpus = store.corpus
    store.add_run(RunRecord(name, "finetune", "tiny"))
    rows = np.arange(len(corpus), dtype=np.int32)
    for place, said in enumerate(right, start=1):
        predicted = np.where(said, corpus.labels, 1 - corpus.labels).astype(np.int16)
        store.write_member(Member(name, place, rows, predicted=predicted))


@pytest.fixture
def spoken(tmp_path):
    """Four hundred utterances by twenty speakers."""
    corpus = Corpus(
        name="x",
        ids=np.array([f"u{i:03}" for i in range(400)]),
        labels=np.tile([0, 1], 200).astype(np.int16),
        classes=("a", "b"),
        speakers=np.repeat([f"s{i:02}" for i in range(20)], 20),
    )
    return Store.create(tmp_path / "spoken.store", corpus)


def test_the_best_step_is_compared_with_the_last_by_speaker(spoken):
    rng = np.random.default_rng(0)
    write_run(spoken, "clear", rng.random((3, 400)) < np.array([[0.6], [0.9], [0.6]]))
    write_run(spoken, "noise", rng.random((3, 400)) < 0.6)
    clear, noise = steps(spoken).runs
    assert (clear.best, clear.verdict) == (2, "better")
    assert clear.best_against_last.method == "permutation by speaker"
    assert noise.verdict in ("cannot tell", "the same")
    document = steps(spoken).to_json()["runs"][0]
    assert document["best_against_last"]["only_best_right"] > document["best_against_last"]["only_last_right"]


def test_of_equally_good_steps_the_best_is_corrected_downwards(spoken):
    write_run(spoken, "noise", np.random.default_rng(0).random((30, 400)) < 0.6)
    [run] = steps(spoken).runs
    accuracies = [score.accuracy for score in run.steps]
    assert run.correction.apparent == max(accuracies)
    assert abs(run.correction.corrected - 0.6) < abs(run.correction.apparent - 0.6) / 2


def test_a_single_step_is_neither_compared_nor_corrected(spoken):
    write_run(spoken, "one", np.ones((1, 400), dtype=bool))
    [run] = steps(spoken).runs
    assert (run.verdict, run.best_against_last, run.correction, run.divergence) == ("the same", None, None, None)


def test_a_part_with_a_single_speaker_is_compared_by_utterance(spoken):
    write_run(spoken, "clear", np.random.default_rng(0).random((3, 400)) < np.array([[0.6], [0.95], [0.6]]))
    one = np.where(spoken.corpus.speakers == "s00", "test", "train")
    spoken.update_corpus(spoken.corpus.with_split("mine", one))
    [run] = steps(spoken).runs
    assert run.best_against_last.method == "McNemar"
    assert run.correction is None
    assert run.note.startswith("not corrected: 1 speaker is too few to tell what the choice costs")


@pytest.mark.parametrize(("n_speakers", "is_corrected"), [(2, False), (5, False), (7, False), (8, True), (20, True)])
def test_few_speakers_leave_the_choice_of_a_step_uncorrected_with_a_note(spoken, n_speakers, is_corrected):
    write_run(spoken, "noise", np.random.default_rng(0).random((5, 400)) < 0.6)
    on_test = np.isin(spoken.corpus.speakers, [f"s{place:02}" for place in range(n_speakers)])
    spoken.update_corpus(spoken.corpus.with_split("mine", np.where(on_test, "test", "train")))
    [document] = steps(spoken).to_json()["runs"]
    if is_corrected:
        assert document["selection"]["corrected"] <= document["selection"]["apparent"]
        assert "note" not in document
    else:
        assert document["selection"] is None
        assert document["note"].startswith(f"not corrected: {n_speakers} speakers are too few")


def test_few_speakers_and_absent_classes_are_cautioned_against(spoken):
    write_run(spoken, "clear", np.random.default_rng(0).random((2, 400)) < np.array([[0.9], [0.6]]))
    few = (spoken.corpus.speakers < "s03") & (spoken.corpus.labels == 0)
    spoken.update_corpus(spoken.corpus.with_split("mine", np.where(few, "test", "train")))
    assert steps(spoken).to_json()["cautions"] == [
        "b does not occur here: balanced accuracy and macro averages are those of a alone",
        "with a single true class Cohen's kappa and Matthews' correlation are 0, whatever is predicted",
        "3 speakers cannot give a p below 0.25, whatever the difference",
    ]


def test_the_command_prints_the_note_in_place_of_the_figure(spoken, serstore):
    write_run(spoken, "noise", np.random.default_rng(0).random((3, 400)) < 0.6)
    on_test = spoken.corpus.speakers < "s05"
    spoken.update_corpus(spoken.corpus.with_split("mine", np.where(on_test, "test", "train")))
    outcome = serstore("steps", "--store", spoken.path)
    assert "not corrected: 5 speakers are too few" in outcome.out
    assert "corrected: what to expect" not in outcome.out
    assert "5 speakers cannot give a p below 0.0625" in outcome.err


def test_a_step_selected_on_test_is_cautioned_against(spoken, serstore):
    write_run(spoken, "noise", np.random.default_rng(0).random((3, 400)) < 0.6)
    outcome = serstore("steps", "--select", "best", "--on", "all", "--json", "--store", spoken.path)
    assert not [line for line in outcome.json["cautions"] if "selected on test" in line]
    spoken.update_corpus(spoken.corpus.with_split("mine", np.where(spoken.corpus.speakers < "s10", "test", "train")))
    outcome = serstore("steps", "--select", "best", "--json", "--store", spoken.path)
    assert outcome.json["cautions"][0].startswith("selected on test: what is reported on test from now on is too high")
    assert "serstore: caution: selected on test" in outcome.err
    assert "p of best against last: permutation by speaker" in serstore("steps", "--store", spoken.path).out


def test_an_ensemble_votes_at_each_step_that_all_its_runs_have(spoken, serstore):
    right = np.random.default_rng(0).random((3, 3, 400)) < 0.7
    write_run(spoken, "a", right[0])
    write_run(spoken, "b", right[1])
    write_run(spoken, "c", right[2, :2])
    [votes] = steps(spoken, "a+b+c").runs
    assert [score.step for score in votes.steps] == [1, 2]
    majority = (right[:, :2].sum(axis=0) > 1).mean(axis=1)
    assert [score.accuracy for score in votes.steps] == pytest.approx(majority.tolist())
    assert (votes.selected, votes.correction.apparent) == (None, majority.max())
    done = serstore("steps", "--run", "a+b+c", "--run", "a", "--store", spoken.path)
    assert done.code == 0
    assert "steps of 2 runs" in done.out
    with pytest.raises(EnsembleError, match=r"`select` with a\+b: expected runs"):
        steps(spoken, "a+b", select="best")
    write_run(spoken, "d", np.zeros((0, 400), dtype=bool))
    with pytest.raises(StoreError, match="run d has no step that predicts anything"):
        steps(spoken, "a+d")
    with pytest.raises(EnsembleError, match=r"a\+a has no step that each of its runs has"):
        steps(spoken, "a+a")
