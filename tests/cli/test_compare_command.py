"""What ``serstore compare`` prints, on the reconstructed predictions of the paper."""

import pytest

THREE = "hubert-xlarge+unispeech-ml+xlsr53"


def widest(text):
    return max(map(len, text.splitlines()))


def test_an_ensemble_is_compared_with_its_best_member(serstore, paper_store):
    done = serstore("compare", THREE, "xlsr53", "--store", paper_store)
    out = done.out
    assert "278/288" in out
    assert "267/288" in out
    [pair] = [line for line in out.splitlines() if line.startswith("1  ") and "288" not in line]
    assert pair.split()[:5] == ["1", "better", "2", "14", "3"]
    assert "verdict: p below 0.05 by swapping 24 speakers whole" in out
    assert "caution: an ensemble that was chosen on these utterances" in done.err
    assert widest(out) <= 120


def test_mcnemar_s_counts_and_p_are_in_the_document(serstore, paper_store):
    document = serstore("compare", THREE, "xlsr53", "--unit", "utterance", "--json", "--store", paper_store).json
    [pair] = document["pairs"]
    assert (pair["only_first"], pair["only_second"], pair["method"]) == (14, 3, "McNemar")
    # 2 P(X <= 3) of 17 fair trials: 2 (1 + 17 + 136 + 680) / 2**17
    assert pair["p"] == pytest.approx(2 * 834 / 2**17)
    assert pair["verdict"] == "better"


def test_all_members_are_compared_where_none_is_named(serstore, paper_store):
    outcome = serstore("compare", "--store", paper_store)
    document = serstore("compare", "--json", "--store", paper_store).json
    assert len(document["compared"]) == 6
    assert len(document["pairs"]) == 15
    assert {pair["verdict"] for pair in document["pairs"]} == {"cannot tell"}
    assert "Cochran's Q" in outcome.out
    assert "with Holm's correction for 15 pairs" in outcome.out
    assert widest(outcome.out) <= 120


def test_all_can_be_compared_with_the_best_only(serstore, paper_store):
    document = serstore("compare", "--against", "best", "--json", "--store", paper_store).json
    assert {pair["second"] for pair in document["pairs"]} == {"xlsr53@1100"}
    assert len(document["pairs"]) == 5


def test_short_names_stand_in_the_table_of_pairs(serstore, paper_store):
    out = serstore("compare", "xlsr53", "w2v2-large", "--store", paper_store).out
    assert "w2v2-large@900" in out
    assert widest(out) <= 120


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("xlsr53",), "there is only xlsr53@1100 to compare"),
        (("xlsr53", "xlsr+hubert-base"), "unknown member 'xlsr'"),
        (("xlsr53", "w2v2-large+xlsr53", "--rule", "soft"), "labels only: expected logits"),
    ],
)
def test_what_cannot_be_compared_is_one_line_on_stderr(serstore, paper_store, words, message):
    outcome = serstore("compare", *words, "--store", paper_store)
    assert (outcome.code, outcome.out) == (1, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
