"""What ``serstore evaluate`` prints, on the reconstructed predictions and on a store with logits."""

import json

import numpy as np
import pytest

from ser_store_cli.hard_table import count_by_right
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


def test_the_paper_s_names_stand_beside_the_full_ones(serstore, paper_store):
    out = serstore("evaluate", "--names", "paper", "--store", paper_store).out
    assert "UA in the paper = accuracy" in out
    assert "WA in the paper = balanced accuracy" in out
    assert "elsewhere WA is accuracy" in out
    assert widest(out) <= 120
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
