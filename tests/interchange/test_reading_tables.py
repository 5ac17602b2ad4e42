"""What a prediction table means: classes, kinds of numbers, corpus columns, ids and labels in other spellings."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_store.corpora.texts import normalise_text
from ser_store.errors import CorpusError, ExistsError, SerstoreError, StoreError
from ser_store.evaluation import evaluate
from ser_store.evaluation.hard_utterances import find_hard_utterances
from ser_store.evaluation.score_kinds import KINDS
from ser_store.interchange.import_ import import_file
from ser_store.interchange.scores import FLOOR, recognise
from ser_store_h5.store import Store

LONG = "utterance,run,step,emotion"
CLASSES = ("angry", "calm", "happy", "sad")


@pytest.fixture
def read(tmp_path):
    """Imports a table written out; into a new store, or one that was made of an earlier table."""

    def read(text, *, label="emotion", into="new", **options):
        (tmp_path / "table.csv").write_text(text, encoding="utf-8")
        return import_file(tmp_path / "table.csv", store=tmp_path / into, label=label, **options)

    return read


def count_right(done):
    """Right answers of each member."""
    return {one.member: one.metrics.correct for one in evaluate(Store(done.store), on="all").members}


# Which columns are classes


def test_a_column_that_describes_utterances_is_no_class(read):
    rows = "a,m,1,angry,3.5,2.0,1.0\nb,m,1,sad,2.5,0.3,1.1\nc,m,1,sad,4.1,-1,0.3\nd,m,1,angry,1.1,0.2,0.4\n"
    done = read(f"{LONG},duration,angry,sad\n{rows}")
    assert count_right(done) == {"m@1": 3}
    corpus = Store(done.store).corpus
    assert corpus.classes == ("angry", "sad")
    assert corpus.columns["duration"].tolist() == [3.5, 2.5, 4.1, 1.1]
    assert "no class, but kept as columns of the corpus: duration" in done.understood
    assert count_right(read(f"{LONG},duration,angry,sad\n{rows}", into="of-names", classes=["sad", "angry"])) == {
        "m@1": 3
    }


def test_the_published_logits_are_read_as_they_are(tmp_path, published_logits):
    done = import_file(published_logits, store=tmp_path / "store", label="emotion")
    assert count_right(done) == {"lstm_au@0": 898, "mlp_au@0": 870, "wav2vec@0": 1180}
    store = Store(done.store)
    assert len(set(store.corpus.speakers.tolist())) == 24
    assert sorted(np.unique(store.corpus.columns["fold"]).tolist()) == [0, 1, 2, 3, 4]
    assert len(store.corpus.rows("fold-4", split="fold")) == 240
    assert done.scores["mlp_au"] == "log-probabilities"


@pytest.mark.parametrize(
    "column",
    [
        "duration",
        "Fold",
        "speaker_id",
        "age",
        "valence",
        "snr",
        "n_frames",
        "epoch",
        "sample rate",
        "take",
        "index",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_column_beside_the_classes_is_a_class(read, column, place):
    headers, rows = ["angry", "sad"], [[2.0, -1.0], [-1.0, 0.5], [0.3, 0.2]]
    headers.insert(place, column)
    for number, row in enumerate(rows, start=1):
        row.insert(place, 10 * number)
    text = "".join(
        f"{name},m,1,{label},{','.join(map(str, row))}\n"
        for name, label, row in zip("abc", ("angry", "sad", "sad"), rows, strict=True)
    )
    done = read(f"{LONG},{','.join(headers)}\n{text}")
    assert count_right(done) == {"m@1": 2}
    told = "numbers the rows" if column.startswith("Unnamed") else column
    assert any(told in line for line in (*done.understood, ", ".join(done.ignored)))


EXTRA = ("duration", "index", "snr", "year", "arousal", "valence", "session", "n_words", "loudness", "F0", "rank")


@pytest.fixture(scope="module")
def published_table(published_logits):
    """The published logits of every twelfth utterance, a row for each model."""
    import polars

    table = polars.read_csv(published_logits, schema_overrides={"utterance": polars.String})
    return table.filter(polars.int_range(table.height) % 12 == 0)


@settings(max_examples=20)
@given(
    columns=st.lists(st.sampled_from(EXTRA), unique=True, max_size=6),
    order=st.randoms(use_true_random=False),
    values=st.sampled_from(["fact", "answer", "probability"]),
)
def test_further_columns_of_numbers_change_no_figure_wherever_they_stand(
    tmp_path_factory, published_table, columns, order, values
):
    folder = tmp_path_factory.mktemp("extra")
    numbers = np.random.default_rng(len(columns)).uniform(
        0, 1 if values == "probability" else 90, published_table.height
    )
    if values == "fact":  # the same for every answer about an utterance
        _, numbers = np.unique(published_table["utterance"].to_numpy(), return_inverse=True)
    table = published_table.with_columns(**{name: numbers + place for place, name in enumerate(columns)})
    headers = order.sample(table.columns, len(table.columns))
    table.select(headers).sample(fraction=1, shuffle=True, seed=order.randrange(99)).write_csv(folder / "said.csv")
    done = import_file(folder / "said.csv", store=folder / "s", label="emotion")
    published_table.write_csv(folder / "plain.csv")
    plain = import_file(folder / "plain.csv", store=folder / "plain", label="emotion")
    assert count_right(done) == count_right(plain)
    corpus = Store(done.store).corpus
    assert corpus.digest == Store(plain.store).corpus.digest
    told = set(corpus.columns) | set(done.ignored)
    assert told >= set(columns)
    assert all(any(name in line for line in done.understood) for name in columns)


@pytest.mark.parametrize("column", ["contempt", "Other", "happy", "x"])
def test_a_class_of_the_model_that_no_utterance_is_labelled_with_can_win(read, column):
    rows = "a,m,1,angry,0.7,0.2,0.1\nb,m,1,sad,0.1,0.2,0.7\n"
    done = read(f"{LONG},angry,sad,{column}\n{rows}")
    assert count_right(done) == {"m@1": 1}
    assert done.unlabelled == (column,)


def test_numbered_classes_go_on_where_no_utterance_is_labelled_so(read):
    done = read(f"{LONG},c1,c2,c3,fold\na,m,1,c1,3,1,2,9\nb,m,1,c2,-1,1,2,9\n")
    assert Store(done.store).corpus.classes == ("c1", "c2", "c3")
    assert count_right(done) == {"m@1": 1}


@pytest.mark.parametrize(
    ("classes", "column", "is_class"),
    [("AN", "X", True), ("AN", "t", False), ("an", "T", False), ("12", "3", True), ("12", "x", False)],
)
def test_a_letter_is_a_class_only_where_classes_are_letters_of_its_case(read, classes, column, is_class):
    a, b = classes
    done = read(f"{LONG},{a},{b},{column}\nu,m,1,{a},3,1,9\nv,m,1,{b},-1,1,9\n")
    assert (column in Store(done.store).corpus.classes) == is_class
    assert count_right(done) == {"m@1": 0 if is_class else 2}


@pytest.mark.parametrize(("other", "n_classes"), [(("5", "4"), 2), (("0.1", "0.7"), 3)])
def test_a_word_for_an_emotion_is_no_class_where_the_probabilities_sum_to_one_without_it(read, other, n_classes):
    a, b = ("0.7,0.3", "0.1,0.9") if n_classes == 2 else ("0.7,0.2", "0.1,0.2")
    done = read(f"{LONG},angry,sad,other\na,m,1,angry,{a},{other[0]}\nb,m,1,sad,{b},{other[1]}\n")
    assert len(Store(done.store).corpus.classes) == n_classes
    assert count_right(done) == {"m@1": 4 - n_classes}


def test_what_differs_between_members_is_no_column_of_the_corpus(read):
    text = f"{LONG},angry,sad,loss,speaker\na,m,1,angry,2,1,0.1,s1\na,n,1,angry,2,1,0.2,s1\nb,m,1,sad,2,1,0.4,s2\n"
    done = read(text)
    assert done.ignored == ("loss",)
    assert Store(done.store).corpus.speakers.tolist() == ["s1", "s2"]


def test_a_wide_table_has_columns_of_the_corpus_too(read):
    done = read("utterance,emotion,m@1,fold,speaker\na,1,1,1,x\nb,2,2,2,y\nc,2,1,1,x\n")
    corpus = Store(done.store).corpus
    assert count_right(done) == {"m@1": 2}
    assert corpus.columns["fold"].tolist() == [1, 2, 1]
    assert corpus.speakers.tolist() == ["x", "y", "x"]


@pytest.mark.parametrize("header", ["angry,ANGRY,sad", "ANGRY,Sad ", " sad, angry", '"angry\u200b",SAD'])
def test_headers_are_matched_whatever_their_case(read, header):
    if header.count(",") == 2:
        with pytest.raises(CorpusError, match="columns angry and ANGRY stand for the class angry: expected one"):
            read(f"{LONG},{header}\na,m,1,angry,2,1,0\n")
        return
    angry_first = header.strip().casefold().strip('"').startswith("angry")
    done = read(f"{LONG},{header}\na,m,1,angry,2,1\nb,m,1,sad,1,2\n")
    assert count_right(done) == {"m@1": 2 if angry_first else 0}
    assert Store(done.store).corpus.classes == ("angry", "sad")


# What the numbers are

PROBABILITIES = f"{LONG},angry,sad\na,m,1,angry,0.9,0.1\nb,m,1,sad,0.2,0.8\nc,m,1,sad,0.7,0.3\n"


def find_scores(done):
    [one] = evaluate(Store(done.store), on="all").members
    return one.probabilities


def test_probabilities_are_taken_for_what_they_are(read):
    done = read(PROBABILITIES)
    assert done.scores == {"m": "log-probabilities"}
    assert Store(done.store).run("m").details["scores"] == "log-probabilities"
    assert find_scores(done).log_loss == pytest.approx(-np.log([0.9, 0.8, 0.3]).mean(), abs=1e-6)
    assert find_scores(done).ece == pytest.approx((0.1 + 0.2 + 0.7) / 3, abs=1e-6)
    assert "numbers read as probabilities of the classes angry, sad; `kind` says otherwise" in done.understood
    stated = read(PROBABILITIES, into="logits", kind="logits")
    assert stated.scores == {"m": "logits"}
    assert Store(stated.store).logits(["m@1"])[0].tolist() == np.float32([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]).tolist()


def test_probabilities_of_three_classes_have_their_own_log_loss_and_calibration_error(read):
    rows = "".join(
        f"{name},m,1,{label},{','.join('0.9' if other == label else '0.05' for other in 'xyz')}\n"
        for name, label in zip("abcdef", "xyzxyz", strict=True)
    )
    found = find_scores(read(f"{LONG},x,y,z\n{rows}"))
    assert (round(found.log_loss, 3), round(found.ece, 3)) == (0.105, 0.1)
    as_logits = find_scores(read(f"{LONG},x,y,z\n{rows}", into="logits", kind="logits"))
    assert (round(as_logits.log_loss, 3), round(as_logits.ece, 3)) == (0.618, 0.461)


@given(
    rows=st.lists(st.lists(st.floats(-30, 30), min_size=3, max_size=3), min_size=1, max_size=6),
    decimals=st.sampled_from([2, 4, 6, None]),
    percent=st.booleans(),
)
@settings(max_examples=60)
def test_the_softmax_of_any_logits_is_recognised_however_it_is_rounded(rows, decimals, percent):
    exponentials = np.exp(np.array(rows) - np.max(rows, axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    rounded = probabilities.astype(np.float32).astype(np.float64) if decimals is None else probabilities.round(decimals)
    assert recognise(rounded * (100 if percent else 1)) == "probabilities"
    with np.errstate(divide="ignore"):
        logarithms = np.log(rounded)
    if not (logarithms == 0).any():  # a row of 0 and -inf is as sure
        assert recognise(logarithms) == "log-probabilities"


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ([[2.0, -1.0]], "logits"),
        ([[0.9, 0.1], [3.0, -2.0]], "logits"),
        ([[-0.5, -3.0], [-4.0, -0.1]], "logits"),
        ([[0.9, 0.9], [0.2, 0.1]], "scores"),
        ([[0.0, 0.0]], "scores"),
        ([[1.0, 0.0]], "probabilities"),
        ([[0.0, -np.inf]], "log-probabilities"),
        ([[60.0, 40.0], [99.5, 0.5]], "probabilities"),
        ([[60.0, 41.0, 20.0]], "logits"),
        ([[0.9, 0.1], [0.2, 0.8], [0.9, 0.9]], None),
    ],
)
def test_numbers_show_what_they_are(numbers, kind):
    assert recognise(np.array(numbers)) == kind


def test_a_probability_of_zero_is_brought_in(read):
    text = f"{LONG},angry,sad\na,m,1,angry,1,0\nb,m,1,sad,0,1\nc,m,1,sad,1e-300,1.0\n"
    logs = f"{LONG},angry,sad\na,n,1,angry,0,-inf\nb,n,1,sad,-inf,0\nc,n,1,sad,-690,0\n"
    for table in (text, logs):
        done = read(table)
        run = next(iter(done.scores))
        stored = Store(done.store).logits([f"{run}@1"])[0]
        assert np.isfinite(stored).all()
        assert stored[0, 1] <= FLOOR
    assert count_right(done) == {"m@1": 3, "n@1": 3}


def test_each_run_of_a_table_has_its_own_kind(read):
    done = read(PROBABILITIES + "a,n,1,angry,4,-1\na,n,2,angry,0.9,0.1\na,s,1,angry,0.9,0.8\n")
    assert done.scores == {"m": "log-probabilities", "n": "logits", "s": "scores"}
    assert any("logits (n), probabilities (m), scores (s)" in line for line in done.understood)


@pytest.mark.parametrize(
    ("rows", "kind", "message"),
    [
        ("0.9,0.3", "probabilities", r"m: its row 1 is 0\.9, 0\.3: expected 0 to 1 and a sum of 1 .*; `kind` scores"),
        ("-0.1,0.3", "log-probabilities", "expected exponentials that sum to 1"),
        ("0.9,-inf", "logits", "column sad holds an empty cell, NaN or infinity .* `kind` log-probabilities"),
        ("0.9,0.1", "probs", "unknown kind of numbers 'probs': expected one of probabilities"),
        ("0.9,0.1\nb,m,1,sad,0.5,0.5\nc,m,1,sad,0.9,0.9", None, r"row 3 to 1\.8: expected the same of all; .* `kind`"),
    ],
)
def test_numbers_that_contradict_their_kind_are_refused(read, rows, kind, message):
    with pytest.raises(SerstoreError, match=message) as refusal:
        read(f"{LONG},angry,sad\na,m,1,angry,{rows}\n", kind=kind)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_the_same_whatever_the_numbers_are_called(read, kind):
    text = PROBABILITIES
    if kind == "log-probabilities":
        text = f"{LONG},angry,sad\na,m,1,angry,-0.105,-2.303\nb,m,1,sad,-1.609,-0.223\nc,m,1,sad,-0.357,-1.204\n"
    done = read(text, kind=kind)
    assert count_right(done) == {"m@1": 2}
    assert done.scores == {"m": "log-probabilities" if "prob" in kind else kind}


def test_a_run_holds_one_kind(read):
    read(PROBABILITIES)
    with pytest.raises(StoreError, match=r"run m in .* holds log-probabilities, and these numbers are scores"):
        read(f"{LONG},angry,sad\na,m,2,angry,0.9,0.8\n")


# Answers and classes


def test_a_class_that_is_only_predicted_is_a_class_and_named(read):
    done = read("utterance,emotion,m@1\na,angry,angry\nb,sad,calm\n")
    assert (Store(done.store).corpus.classes, done.unlabelled) == (("angry", "calm", "sad"), ("calm",))
    assert count_right(done) == {"m@1": 1}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "anger",
            r"unknown label 'anger': expected one of angry \(nearest\), sad; `classes` angry,sad counts any other",
        ),
        ("0", "unknown label '0': .*; `classes` angry,sad, in their order, are what numbers from 0 on stand for"),
        ("", r"column m@1 is empty in row 2 \(1 of 2 rows\): .*; `classes` angry,sad counts empty cells as wrong"),
        ("NaN", r"column m@1 is empty in row 2"),
    ],
)
def test_an_answer_that_may_be_a_slip_is_refused_with_the_option_that_settles_it(read, said, message):
    text = f"utterance,emotion,m@1\na,angry,angry\nb,sad,{said}\n"
    if said == "0":
        text = text.replace(",angry\n", ",1\n")
    with pytest.raises(CorpusError, match=message):
        read(text)
    done = read(text, classes=["angry", "sad"])
    assert count_right(done) == {"m@1": 0 if said == "0" else 1}


def test_a_model_of_nine_classes_is_judged_on_four(read):
    read("utterance,emotion,w@1\na,angry,angry\nb,sad,sad\nc,calm,calm\nd,happy,sad\n", into="four")
    labels = "utterance,m@1\na,angry\nb,contempt\nc,\nd,boredom\n"
    numbers = "utterance,run,step,angry,boredom,calm,contempt,happy,sad\na,n,1,9,1,2,3,4,5\nb,n,1,1,2,3,9,4,5\n"
    for text in (labels, numbers):
        with pytest.raises(CorpusError, match="`classes` angry,calm,happy,sad"):
            read(text, label=None, into="four")
    done = read(labels, label=None, into="four", classes=CLASSES)
    assert (
        "answers that are none of the classes count as wrong: none 1, boredom 1, contempt 1 (m@1 3)" in done.understood
    )
    done = read(numbers, label=None, into="four", classes=[*CLASSES, "contempt", "boredom"])
    assert any(
        line.startswith("the columns are not those of the corpus' classes: kept are the answers of n@1")
        for line in done.understood
    )
    store = Store(done.store)
    assert store.predictions(["m@1"], store.corpus.rows("all"))[0].tolist() == [0, -1, -1, -1]
    assert store.read_member("n@1").predicted.tolist() == [0, -1]


def test_no_answer_counts_as_wrong_in_every_figure(read):
    text = "utterance,emotion,m@1,n@1\na,angry,angry,angry\nb,sad,other,sad\nc,sad,sad,angry\nd,angry,,sad\n"
    store = Store(read(text, classes=["angry", "sad"]).store)
    first, second = evaluate(store).members
    assert (first.metrics.correct, first.metrics.n, second.metrics.correct) == (2, 4, 2)
    assert first.metrics.balanced_accuracy == 0.5
    assert first.metrics.per_class.recall.tolist() == [0.5, 0.5]
    assert first.metrics.per_class.precision.tolist() == [1.0, 1.0]
    hard = find_hard_utterances(store)
    assert [(one.utterance, dict(one.predicted)) for one in hard.all_wrong] == [
        ("d", {"(none)": ("m@1",), "sad": ("n@1",)})
    ]


def test_in_a_vote_no_answer_is_a_class_that_is_never_true(read, serstore):
    text = "utterance,emotion,m@1,n@1,o@1\na,angry,x,x,angry\nb,sad,x,sad,sad\nc,angry,x,sad,angry\nd,angry,x,x,x\n"
    store = read(text, classes=["angry", "sad"]).store
    # a: x wins with two votes; c: three are tied, the lowest class wins; d: x.
    for words in (("vote", "--k", 3), ("vote", "--k", 3, "--all-combos", "--tie", "best")):
        result = serstore(*words, "m", "n", "o", "--json", "--store", store).json["results"][0]
        assert result["correct"] == 2
    compared = serstore("compare", "m+n+o", "o", "--json", "--store", store).json["compared"]
    assert [one["correct"] for one in compared] == [2, 3]


@pytest.mark.parametrize(("true", "said"), [("1", "1.0"), ("1.0", "1"), ("01", "1")])
def test_whole_numbers_are_the_same_however_they_are_written(read, true, said):
    done = read(f"utterance,emotion,m@1\na,{true},{said}\nb,10,10\nc,10,{said}\n")
    assert count_right(done) == {"m@1": 2}
    assert Store(done.store).corpus.classes == (true, "10")


def test_whole_numbers_as_classes_are_in_their_order(read):
    done = read("utterance,emotion,m@1\na,10,2\nb,2,10\nc,1,10\n")
    assert Store(done.store).corpus.classes == ("1", "2", "10")


def test_stated_classes_have_their_order_and_every_label_is_one(read):
    done = read("utterance,emotion,m@1\na,sad,sad\nb,angry,calm\n", classes=["sad", "angry", "calm"])
    assert Store(done.store).corpus.classes == ("sad", "angry", "calm")
    assert done.understood == (
        "what the models learned from is not stated, so that figures on it carry no caution; `trained_on` states it",
    )
    with pytest.raises(
        CorpusError, match="utterance b is labelled angry: expected one of `classes` sad,calm; name its"
    ):
        read("utterance,emotion,m@1\na,sad,sad\nb,angry,calm\n", into="other", classes=["sad", "calm"])
    with pytest.raises(
        CorpusError, match="`classes` lacks angry: expected every class of the corpus, sad, angry, calm"
    ):
        read("utterance,n@1\na,sad\n", label=None, classes=["sad", "calm"])


def test_labels_that_are_indices_are_read_by_the_order_of_the_classes(read):
    text = f"{LONG},angry,sad,calm\na,m,1,0,2,1,0\nb,m,1,1,1,2,0\nc,m,1,2,1,2,0\n"
    with pytest.raises(CorpusError, match="for each of 0, 1, 2; `classes` angry,sad,calm, in their order, are what"):
        read(text)
    assert count_right(read(text, classes=["angry", "sad", "calm"])) == {"m@1": 2}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("utterance,emotion,angry,sad\na,sad,1,2\n", "columns angry, sad hold numbers: expected columns run and step"),
        ("utterance,run,emotion,angry,sad\na,m,sad,1,2\n", "hold numbers: expected columns run and step beside them"),
        (f"{LONG},sad\na,m,1,sad,1\n", "expected a column predicted, or one column of logits for each class"),
        (
            f"{LONG},sad,calm\na,m,1,sad,1,2\nb,m,1,angry,2,1\n",
            "for each of angry, sad; `classes` angry,sad,calm takes",
        ),
        (f"{LONG},p_sad,p_calm\na,m,1,sad,1,2\nb,m,1,calm,2,1\n", "a column predicted, or one column of logits"),
        ("utterance,emotion,m@1\na,sad,0.9\nb,calm,0.2\n", r"m@1: unknown label '0\.2': expected one of calm, sad"),
        (f"{LONG},predicted,angry,sad\na,m,1,sad,sad,1,2\nb,m,1,angry,sad,1,2\n", "has predicted and logits"),
        (f"{LONG},angry,sad\na,m,1,sad,1,2\na,m,1,sad,1,2\n", "utterance a stands in 2 rows of m@1"),
    ],
)
def test_a_table_that_lacks_something_is_refused_in_one_line(read, table, message):
    with pytest.raises(CorpusError, match=message) as refusal:
        read(table)
    assert "\n" not in str(refusal.value)


def test_members_may_leave_out_utterances_and_answers_of_a_long_table(read):
    done = read(f"{LONG},predicted\na,m,1,angry,angry\nb,m,1,sad,\nb,n,1,sad,sad\n")
    store = Store(done.store)
    assert store.read_member("m@1").predicted.tolist() == [0, -1]
    assert store.read_member("n@1").rows.tolist() == [1]


# Ids, labels and speakers


@pytest.mark.parametrize(
    "given", ["mu\u0308ller_01", "m\u00fcller_01.wav", "C:\\speech\\mu\u0308ller_01.FLAC", "x/m\u00fcller_01"]
)
@pytest.mark.parametrize("kept", ["m\u00fcller_01", "audio/mu\u0308ller_01.wav"])
def test_an_id_in_another_form_is_that_of_the_one_utterance_it_can_be(read, given, kept):
    read(f"utterance,emotion,m@1\n{kept},w\u00fctend,w\u00fctend\nz,sad,sad\n", into="store")
    done = read(f'utterance,n@1\n"{given}",WU\u0308TEND\nz,sad\n', label=None, into="store")
    assert Store(done.store).read_member("n@1").predicted.tolist() == Store(done.store).corpus.labels.tolist()
    is_same = normalise_text(given) == normalise_text(kept)
    assert any(line.startswith("ids read in the corpus' spelling") for line in done.understood) != is_same
    with pytest.raises(SerstoreError, match=r"1 of 2 utterances are not in this corpus, the first is 'muller_01'"):
        read("utterance,o@1\nmuller_01,sad\nz,sad\n", label=None, into="store")


def test_an_id_with_a_suffix_is_one_without_where_another_member_names_it_so(read):
    rows = "a,m,1,sad,sad\nb,m,1,calm,sad\na.wav,n,1,sad,calm\nx/b.flac,n,1,calm,calm\n"
    done = read(f"{LONG},predicted\n{rows}")
    assert (done.n, count_right(done)) == (2, {"m@1": 1, "n@1": 1})


def test_an_id_that_can_be_two_is_not_guessed(read):
    read("utterance,emotion,m@1\na/x.wav,sad,sad\nb/x.wav,angry,sad\n", into="store")
    with pytest.raises(SerstoreError, match="the first is 'x'"):
        read("utterance,n@1\nx,sad\n", label=None, into="store")
    read("utterance,emotion,m@1\nx,sad,sad\ny,angry,sad\n", into="other")
    with pytest.raises(CorpusError, match="utterance x stands in 2 rows"):
        read("utterance,n@1\nx,sad\nx.wav,sad\n", label=None, into="other")


@pytest.mark.parametrize("odd", ["03-01-05-01-01-01-24.wav", "actors/24/03-01-05-01-01-01-24"])
def test_an_odd_id_has_its_speaker_and_leaves_the_others_theirs(read, odd):
    rows = "".join(
        f"03-01-05-01-01-01-{actor:02},angry,angry\n03-01-04-01-01-01-{actor:02},sad,sad\n" for actor in range(1, 7)
    )
    done = read(f"utterance,emotion,m@1\n{rows}{odd},angry,sad\n")
    corpus = Store(done.store).corpus
    assert sorted(set(corpus.speakers.tolist())) == ["01", "02", "03", "04", "05", "06", "24"]
    done = read(f"utterance,emotion,m@1\n{rows}noise,angry,sad\n", into="unknown")
    corpus = Store(done.store).corpus
    assert corpus.speakers[corpus.ids == "noise"].tolist() == [""]
    assert len(set(corpus.speakers.tolist()) - {""}) == 6
    assert "the speaker of 1 of 13 utterances is unknown, such as that of noise" in done.understood


def test_ids_of_a_published_corpus_tell_their_speakers(read):
    names = ["Ses01F_impro01_F000", "Ses01F_impro01_M001", "Ses05M_script03_2_F010"]
    rows = "".join(f"{name},{emotion}\n" for name, emotion in zip(names, ("ang", "neu", "neu"), strict=True))
    done = read("utterance,emotion,m@1\n" + rows.replace("\n", ",neu\n"))
    corpus = Store(done.store).corpus
    assert corpus.speakers.tolist() == ["Ses01F", "Ses01M", "Ses05F"]
    assert corpus.columns["session"].tolist() == ["01", "01", "05"]
    assert "valence" not in corpus.columns
    assert "told by the ids, which are those of IEMOCAP: speakers, sex, session, scenario" in done.understood
    odd = read("utterance,emotion,m@1\n" + rows.replace("\n", ",neu\n") + "u1,ang,ang\n", into="odd")
    assert Store(odd.store).corpus.speakers is None
    silent = read("utterance,emotion,m@1\nMSP-PODCAST_0001_0008,A,A\nMSP-PODCAST_0001_0009,N,N\n", into="silent")
    assert Store(silent.store).corpus.speakers is None


def test_speakers_are_those_of_the_table(read):
    rows = "a,m,1,sad,sad,s1\nb,m,1,calm,sad,S1\nc,m,1,calm,sad,nan\nd,m,1,sad,sad,s1\n"
    done = read(f"{LONG},predicted,speaker_id\n{rows}")
    assert Store(done.store).corpus.speakers.tolist() == ["s1", "s1", "", "s1"]
    assert "the speaker of 1 of 4 utterances is unknown, such as that of c" in done.understood
    with pytest.raises(CorpusError, match="column actor gives utterance a two speakers, s1 and s2: expected one"):
        read(f"{LONG},predicted,actor\na,m,1,sad,sad,s1\na,n,1,sad,calm,s2\n", into="other")


# Again

KILLED = """
import os, signal, sys
from pathlib import Path
from ser_store.interchange.import_ import import_file
from ser_store_h5.store import Store
write, written = Store.write_member, []
def kill(self, member, **options):
    write(self, member, **options)
    written.append(member)
    if len(written) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
Store.write_member = kill
import_file(Path(sys.argv[1]), store=Path(sys.argv[2]), label="emotion")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("is_new", [True, False])
def test_an_import_that_was_killed_is_gone_on_with(read, tmp_path, is_new):
    members = [f"w{run}r{step}@{step}" for run in range(4) for step in range(2)]
    text = f"utterance,emotion,{','.join(members)}\n" + "".join(
        f"u{row},{'angry' if row % 2 else 'sad'},{','.join(['sad'] * 8)}\n" for row in range(4)
    )
    if not is_new:
        read(
            "utterance,emotion,first@1\n" + "".join(f"u{r},{'angry' if r % 2 else 'sad'},sad\n" for r in range(4)),
            into="store",
        )
    (tmp_path / "t.csv").write_text(text)
    words = [sys.executable, "-c", KILLED, str(tmp_path / "t.csv"), str(tmp_path / "store")]
    assert subprocess.run(words, check=False).returncode == -9
    with pytest.raises(ExistsError, match=r"w0r0@0 is in .* already, with other numbers \(3 of 8 are\): nothing was"):
        read(
            text.replace("u0,sad,sad", "u0,sad,angry").replace("u1,angry,sad,sad,sad", "u1,angry,angry,angry,angry"),
            into="store",
        )
    done = read(text, into="store")
    assert (len(done.identical), len(done.members)) == (3, 5)
    assert set(done.identical) | set(done.members) | (set() if is_new else {"first@1"}) == set(
        Store(done.store).member_names()
    )
    again = read(text, into="store")
    assert (len(again.identical), again.members) == (8, ())
