"""What ``serstore evaluate`` prints, on the reconstructed predictions and on a store with logits."""

import json
import re

import numpy as np
import pytest

from ser_store.evaluation.hard_utterances import count_by_right
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@pytest.fixture
def small_store(tmp_path):
    """Twelve utterances of two speakers, long class names, one member with logits at two steps."""
    labels = (np.arange(12) % 9).astype(np.int16)
    corpus = Corpus(
        name="c",
        ids=np.array([f"u{i:02}" for i in range(12)]),
        labels=labels,
        classes=tuple(f"an-emotion-{letter}" for letter in "abcdefghi"),
        speakers=np.array(["x", "y"])[np.arange(12) % 2],
    )
    store = Store.create(tmp_path / "c.store", corpus)
    store.add_run(RunRecord("net", "finetune", "tiny"))
    for step in (10, 20):
        logits = np.eye(9, dtype=np.float32)[labels]
        logits[:4] = 0
        store.write_member(Member("net", step, np.arange(12, dtype=np.int32), logits=logits))
    return store.path


def widest(text):
    return max(map(len, text.splitlines()))


def test_the_table_says_how_its_intervals_were_found(serstore, paper_store):
    out = serstore("evaluate", "--store", paper_store).out
    assert "95% intervals: bootstrap by speaker (24)" in out
    assert "95% intervals: Wilson" in serstore("evaluate", "--interval", "wilson", "--store", paper_store).out
    assert "92.71%" in out
    assert widest(out) <= 110


def test_a_named_member_is_reported_with_all_its_figures(serstore, paper_store):
    out = serstore("evaluate", "xlsr53", "--store", paper_store).out
    for figure in ("balanced accuracy", "macro F1", "Cohen's kappa", "Matthews' correlation", "weighted average"):
        assert figure in out
    assert "log-loss" not in out  # the reconstruction holds labels only
    assert widest(out) <= 110


def test_probabilities_are_scored_where_there_are_logits(serstore, small_store):
    out = serstore("evaluate", "net", "--store", small_store).out
    for figure in ("top-2 accuracy", "log-loss, nats", "Brier, 0 to 2", "calibration error"):
        assert figure in out


def test_a_wide_confusion_matrix_is_headed_by_numbers(serstore, small_store):
    out = serstore("evaluate", "net", "--store", small_store).out
    assert "9 an-emotion-i" in out
    assert widest(out) <= 110


def test_the_paper_s_names_stand_beside_the_full_ones(serstore, paper_store, monkeypatch):
    out = serstore("evaluate", "--names", "paper", "--store", paper_store).out
    assert "UA in the paper = accuracy" in out
    assert "WA in the paper = balanced accuracy" in out
    assert "elsewhere WA is accuracy" in out
    monkeypatch.setenv("COLUMNS", "120")
    assert widest(serstore("evaluate", "--names", "paper", "--store", paper_store).out) <= 120
    document = serstore("evaluate", "--names", "paper", "--json", "--store", paper_store).json
    assert document["names"]["balanced_accuracy"] == "WA in the paper = balanced accuracy"


@pytest.mark.parametrize(("over", "cell"), [("true", "0.79"), ("predicted", "0.88"), ("all", "0.052")])
def test_the_confusion_matrix_can_be_normalised(serstore, paper_store, over, cell):
    out = serstore("evaluate", "xlsr53", "--normalise", over, "--store", paper_store).out
    matrix = out[out.index("confusion matrix") :]
    [neutral] = [line for line in matrix.splitlines() if line.startswith("neutral")]
    assert cell in neutral.split()


def test_groups_come_with_the_worst_the_gap_and_whether_it_is_chance(serstore, paper_store):
    out = serstore("evaluate", "xlsr53", "--by", "speaker", "--store", paper_store).out
    assert "worst: 01 with 81.82%; best: 02 with 100.00%; gap 18.2 points" in out
    assert "groups differ: cannot tell, p 0." in out
    assert "under 10 utterances: 06, 10, 14, 24" in out
    assert widest(out) <= 110


def test_members_that_are_not_named_have_one_line_on_their_groups(serstore, paper_store):
    out = serstore("evaluate", "--by", "label", "--store", paper_store).out
    table = out[out.index("by label") :]
    assert len([line for line in table.splitlines() if "@" in line]) == 6
    assert "permutation of utterances within speaker" in table


def test_hard_utterances_are_listed_with_what_was_predicted(serstore, paper_store, tmp_path):
    out = serstore("evaluate", "w2v2-large", "xlsr53", "--hard", "--store", paper_store).out
    document = serstore("evaluate", "w2v2-large", "xlsr53", "--hard", "--json", "--store", paper_store).json["hard"]
    wrong, single = document["all_wrong"], document["one_right"]
    assert f"wrong for all members: {len(wrong)}" in out
    assert f"right for one member only: {len(single)}" in out
    assert all(one["utterance"] in out for one in (*wrong, *single))
    assert document["n_by_right"][:2] == [len(wrong), len(single)]
    assert sum(document["n_by_right"]) == document["n"] == 288


@pytest.mark.parametrize("n_members", [1, 2, 11, 12, 13, 14, 84, 1000])
def test_how_many_members_are_right_takes_few_lines_and_loses_no_utterance(n_members):
    lines = count_by_right([1] * (n_members + 1))
    assert len(lines) <= 13
    assert sum(n for _, n in lines) == n_members + 1
    assert [str(line[0]) for line in (lines[0], lines[1], lines[-1])] == ["0", "1", str(n_members)]


def test_all_steps_can_be_evaluated(serstore, small_store):
    members = serstore("evaluate", "--steps", "all", "--json", "--store", small_store).json["members"]
    assert [member["member"] for member in members] == ["net@10", "net@20"]


def test_json_is_one_document_of_numbers_that_every_reader_takes(serstore, small_store):
    outcome = serstore(
        "evaluate", "net", "--by", "label", "--hard", "--normalise", "all", "--json", "--store", small_store
    )

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(outcome.out, parse_constant=refuse)["members"][0]["n"] == 12


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--names", "papr"), "unknown style of names 'papr': expected one of paper (nearest), plain"),
        (("--normalise", "pred"), "unknown normalisation 'pred': expected one of"),
        (("--interval", "wilsn"), "unknown interval 'wilsn': expected one of wilson (nearest)"),
        (("--steps", "every"), "unknown choice of steps 'every'"),
    ],
)
def test_an_unknown_choice_is_one_line_on_stderr(serstore, paper_store, words, message):
    outcome = serstore("evaluate", *words, "--store", paper_store)
    assert (outcome.code, outcome.out) == (1, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def make_store(path, labels, predicted, *, classes, speakers=None):
    """A store with one run, named by what it predicts, for each of ``predicted``."""
    labels = np.asarray(labels, dtype=np.int16)
    ids = np.array([f"u{place:03}" for place in range(len(labels))])
    store = Store.create(path, Corpus(name="c", ids=ids, labels=labels, classes=classes, speakers=speakers))
    for run, said in predicted.items():
        store.add_run(RunRecord(run, "import", "tiny"))
        rows = np.arange(len(labels), dtype=np.int32)
        store.write_member(Member(run, 1, rows, predicted=np.asarray(said, dtype=np.int16)))
    return path


@pytest.mark.parametrize("seed", range(12))
def test_members_who_are_always_right_or_always_wrong_can_be_evaluated_by_name(serstore, tmp_path, seed):
    # A correlation of 1.0000000000000002 came of a quarter of such class distributions.
    rng = np.random.default_rng(seed)
    n_classes = 2 + seed % 5
    labels = rng.permutation(np.repeat(np.arange(n_classes), rng.integers(1, 60, size=n_classes)))
    wrong = (labels + 1) % n_classes
    speakers = np.array([f"s{place % 4}" for place in range(len(labels))]) if seed % 2 else None
    classes = tuple("abcdef"[:n_classes])
    path = make_store(
        tmp_path / "c.store", labels, {"right": labels, "wrong": wrong}, classes=classes, speakers=speakers
    )
    document = serstore("evaluate", "right", "wrong", "--json", "--store", path).json
    right, wrong = document["members"]
    assert (right["mcc"], right["kappa"], right["balanced_accuracy"], right["macro_avg"]["f1"]) == (1, 1, 1, 1)
    assert (wrong["balanced_accuracy"], wrong["macro_avg"]["f1"]) == (0, 0)
    assert wrong["mcc"] == -1 or n_classes > 2
    for member in (right, wrong):
        for name, (low, high) in member["intervals"].items():
            assert (-1 if name in ("kappa", "mcc") else 0) <= low <= high <= 1
            assert low < high or "samples do not show" in member["interval_cautions"][name]
    out = serstore("evaluate", "right", "--store", path).out
    assert "[1.000, 1.000]" not in out
    assert "the samples do not show how far the figure can be trusted" in out


def test_classes_that_do_not_occur_count_in_no_average_and_their_rows_say_so(serstore, tmp_path):
    path = make_store(tmp_path / "c.store", [0, 0, 0, 0], {"right": [0, 0, 0, 0]}, classes=("angry", "happy", "sad"))
    table = serstore("evaluate", "right", "--store", path).out.partition("support")[2].partition("confusion")[0]
    cells = {line.split("  ")[0]: line.split()[-4:] for line in table.splitlines() if line}
    assert cells["angry"] == ["1.000", "1.000", "1.000", "4"]
    assert cells["happy"] == cells["sad"] == ["–", "–", "–", "absent"]
    assert cells["macro average"] == ["1.000", "1.000", "1.000", "4"]
    [member] = serstore("evaluate", "right", "--json", "--store", path).json["members"]
    assert member["balanced_accuracy"] == member["macro_avg"]["recall"] == member["macro_avg"]["f1"] == 1.0


def test_intervals_of_few_speakers_say_so_in_the_document(serstore, tmp_path):
    labels, said = [0, 1] * 20, [0, 1, 1, 1] * 10
    speakers = np.array(["x", "y"])[np.arange(40) % 2]
    path = make_store(tmp_path / "c.store", labels, {"some": said}, classes=("a", "b"), speakers=speakers)
    [member] = serstore("evaluate", "--json", "--store", path).json["members"]
    assert len(member["ci95"]) == 2
    assert member["ci95_caution"] == "intervals take utterances as independent: 2 speakers are too few"


def test_where_rows_have_intervals_of_several_kinds_each_says_its_own(serstore, tmp_path):
    labels, speakers = [0, 1] * 20, np.array(list("wxyz"))[np.arange(40) // 10]
    said = {"all": labels, "some": [0, 1, 1, 1] * 7 + [0, 1] * 6}
    path = make_store(tmp_path / "c.store", labels, said, classes=("a", "b"), speakers=speakers)
    out = serstore("evaluate", "--store", path).out
    rows = [re.split("  +", line.split("]")[1].strip())[0] for line in out.splitlines() if "@1 " in line]
    assert rows == ["Wilson", "bootstrap by speaker (4)"]
    assert "95% intervals: found as each line says" in out
    assert "found by" not in serstore("evaluate", "some", "--interval", "bootstrap", "--store", path).out
    assert "found by" in serstore("compare", "--store", path).out


def test_a_class_never_predicted_has_0_and_one_never_true_has_none_in_the_table_and_in_json(serstore, tmp_path):
    path = make_store(tmp_path / "c.store", [0, 0, 1], {"one": [0, 0, 0]}, classes=("a", "b", "c"))
    [member] = serstore("evaluate", "one", "--json", "--store", path).json["members"]
    assert member["per_class"]["b"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert member["per_class"]["c"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert member["macro_avg"]["precision"] == pytest.approx((2 / 3 + 0) / 2)
    table = serstore("evaluate", "one", "--store", path).out.partition("support")[2].partition("confusion")[0]
    assert [line.split() for line in table.splitlines() if line[:2] in ("b ", "c ")] == [
        ["b", "0.000", "0.000", "0.000", "1"],
        ["c", "–", "–", "–", "absent"],
    ]
