"""Predictions from elsewhere, wide and long, are matched by utterance and class name, never by order."""

import numpy as np
import polars
import pytest

from ser_store.errors import CorpusError, StoreError
from ser_store.interchange.import_ import import_file
from ser_store.interchange.listing import ls
from ser_store_h5.store import Store

CLASSES = ["angry", "happy", "sad"]
LABELS = ["sad", "angry", "happy", "sad"]


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "x.store"
    table = polars.DataFrame({"utterance": ["d", "b", "c", "a"], "emotion": LABELS[::-1], "wide@1": LABELS})
    table.write_csv(tmp_path / "wide.csv")
    import_file(tmp_path / "wide.csv", store=path, label="emotion")
    return path


def write_long(path, logits, order, columns=CLASSES):
    """One row for each utterance a..d of run m at step 5, in any order of rows and columns."""
    ids = np.array(list("abcd"))[order]
    table = {"utterance": ids, "run": ["m"] * 4, "step": [5] * 4}
    table |= {name: logits[order, CLASSES.index(name)] for name in columns}
    polars.DataFrame(table).write_parquet(path)


def test_wide_predictions_are_matched_by_id(store):
    opened = Store(store)
    assert opened.corpus.ids.tolist() == ["a", "b", "c", "d"]
    assert [opened.corpus.classes[label] for label in opened.corpus.labels] == ["sad", "happy", "angry", "sad"]
    predicted = opened.predictions(["wide@1"], opened.corpus.rows())[0]
    assert [opened.corpus.classes[label] for label in predicted] == ["sad", "angry", "happy", "sad"]


def test_a_listing_tells_classes_alone_from_nothing(store):
    assert " –       classes alone " in str(ls(store))


def test_the_whole_imported_corpus_is_its_test_part(store):
    assert len(Store(store).corpus.rows("test")) == 4


@pytest.mark.parametrize(("order", "columns"), [([0, 1, 2, 3], CLASSES), ([3, 1, 0, 2], ["sad", "angry", "happy"])])
def test_long_logits_are_matched_by_id_and_class_name(store, tmp_path, order, columns):
    logits = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    write_long(tmp_path / "long.parquet", logits, order, columns)
    assert import_file(tmp_path / "long.parquet", store=store).members == ("m@5",)
    opened = Store(store)
    assert np.array_equal(opened.logits(["m@5"], opened.corpus.rows())[0], logits)


def test_long_labels_of_several_members_make_a_store(tmp_path):
    rows = [
        (u, run, 7, said, true)
        for run, said in (("m", "sad"), ("n", "angry"))
        for u, true in zip("ab", ("sad", "angry"), strict=True)
    ]
    table = polars.DataFrame(rows, schema=["utterance", "run", "step", "predicted", "emotion"], orient="row")
    table.write_csv(tmp_path / "long.csv")
    done = import_file(tmp_path / "long.csv", store=tmp_path / "new.store", label="emotion")
    assert (done.members, done.n, done.created) == (("m@7", "n@7"), 2, True)
    opened = Store(tmp_path / "new.store")
    assert opened.predictions(["m@7", "n@7"], opened.corpus.rows()).tolist() == [[1, 1], [0, 0]]


def test_a_member_may_cover_a_part_of_the_corpus(store, tmp_path):
    polars.DataFrame({"utterance": ["c"], "part@1": ["sad"]}).write_csv(tmp_path / "part.csv")
    import_file(tmp_path / "part.csv", store=store)
    assert Store(store).describe_member("part@1").n == 1


def test_true_labels_that_are_not_named_as_such_are_not_taken_for_a_member(store, tmp_path):
    polars.DataFrame({"utterance": ["c"], "emotion": ["sad"], "m@1": ["sad"]}).write_csv(tmp_path / "said.csv")
    with pytest.raises(CorpusError, match=r"column 'emotion' is not headed run@step: .* say `label` emotion"):
        import_file(tmp_path / "said.csv", store=store)


ONE_STEP = {"utterance": ["a"], "run": ["m"], "step": [1]}


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"id": ["a"], "m@1": ["sad"]}, CorpusError, "expected one called utterance"),
        ({"utterance": ["a"]}, CorpusError, "no column of predictions"),
        ({"utterance": ["a"], "my model@1": ["sad"]}, StoreError, "run name 'my model': expected 1 to 100 letters"),
        ({"utterance": ["a"], "m@first": ["sad"]}, StoreError, "expected run@step with a step"),
        ({**ONE_STEP, "step": ["x"], "predicted": ["sad"]}, CorpusError, "step 'x'"),
        ({**ONE_STEP, "sad": ["high"], "happy": [1.0], "angry": [0.0]}, CorpusError, "must hold logits"),
        ({**ONE_STEP, "sad": [np.nan], "happy": [1.0], "angry": [0.0]}, CorpusError, "expected finite numbers"),
        ({**ONE_STEP, "sad": [0.5], "happy": [1.0]}, CorpusError, "expected one column for each of angry, happy, sad"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_and_nothing_is_added(store, tmp_path, table, error, message):
    polars.DataFrame(table).write_csv(tmp_path / "bad.csv")
    with pytest.raises(error, match=message):
        import_file(tmp_path / "bad.csv", store=store)
    assert Store(store).member_names() == ["wide@1"]


def test_a_file_that_is_no_table_is_refused(store, tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CorpusError, match="cannot be read as a table"):
        import_file(tmp_path / "bad.parquet", store=store)
    with pytest.raises(CorpusError, match="no such file"):
        import_file(tmp_path / "none.csv", store=store)
    (tmp_path / "said.txt").write_text("x")
    with pytest.raises(CorpusError, match=r"expected one of \.csv, \.parquet"):
        import_file(tmp_path / "said.txt", store=store)


def save(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


WIDE = "utterance,m@1\na,sad\nb,angry\nc,happy\nd,sad\n"


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + WIDE,
        WIDE.replace("\n", "\r\n"),
        WIDE.replace(",", ", "),
        "utterance , m@1\n a ,sad \nc,happy\nd,sad\nb,\tangry\n",
        'utterance,m@1\n"a","sad"\n"b","angry"\n"d","sad"\n"c","happy"\n',
        WIDE.rstrip("\n"),
        WIDE.replace(",", ";"),
        WIDE.replace(",", "\t"),
        WIDE.replace("\nc", "\n\n,\nc"),
        "".join(f"{place},{line}\n" for place, line in zip(["", 4, 0, 2, 1], WIDE.split(), strict=True)),
    ],
    ids=[
        "byte order mark",
        "line ends of Windows",
        "spaces after commas",
        "spaces and shuffled",
        "quoted",
        "no end",
        "semicolons",
        "tabs",
        "blank lines",
        "index of a data frame",
    ],
)
def test_what_spreadsheets_add_to_a_csv_changes_nothing(store, tmp_path, text):
    import_file(save(tmp_path / "m.csv", text), store=store)
    opened = Store(store)
    assert opened.predictions(["m@1"], opened.corpus.rows())[0].tolist() == [2, 0, 1, 2]


def test_ids_and_classes_that_look_like_numbers_stay_as_they_are_written(tmp_path):
    save(tmp_path / "n.csv", "utterance,truth,m@1\n0010,0,1\n010,1,0\n1e3,1,1\n10,0,0\n")
    import_file(tmp_path / "n.csv", store=tmp_path / "n.store", label="truth")
    opened = Store(tmp_path / "n.store")
    assert opened.corpus.ids.tolist() == ["0010", "010", "10", "1e3"]
    assert opened.corpus.classes == ("0", "1")
    assert opened.predictions(["m@1"], opened.corpus.rows())[0].tolist() == [1, 0, 0, 1]


def test_whole_numbers_and_categories_of_parquet_are_names_too(tmp_path):
    table = polars.DataFrame({"utterance": [7, 3], "truth": [1, 0], "m@1": [1, 1]})
    table.with_columns(polars.col("truth").cast(polars.String).cast(polars.Categorical)).write_parquet(
        tmp_path / "n.parquet"
    )
    import_file(tmp_path / "n.parquet", store=tmp_path / "n.store", label="truth")
    opened = Store(tmp_path / "n.store")
    assert opened.corpus.ids.tolist() == ["3", "7"]
    assert opened.predictions(["m@1"], opened.corpus.rows())[0].tolist() == [1, 1]


def test_a_step_is_a_number_whatever_zeros_it_begins_with(store, tmp_path):
    text = "utterance,run,step,predicted\na,m,010,sad\nb,m,10,sad\nc,m,0,sad\n"
    assert import_file(save(tmp_path / "m.csv", text), store=store).members == ("m@0", "m@10")


def test_further_columns_of_a_long_table_of_labels_are_named_as_ignored(store, tmp_path):
    text = "utterance,run,step,predicted,confidence\na,m,1,sad,0.5\n"
    assert import_file(save(tmp_path / "m.csv", text), store=store).ignored == ("confidence",)


def test_a_class_that_no_utterance_of_a_new_store_has_is_named(tmp_path):
    text = "utterance,run,step,truth,sad,happy,calm\na,m,1,sad,0.5,1,3\nb,m,1,happy,0.5,1,3\n"
    done = import_file(save(tmp_path / "m.csv", text), store=tmp_path / "new.store", label="truth")
    assert done.unlabelled == ("calm",)


LONG = "utterance,run,step,angry,happy,sad\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("utterance,emotion,m@1,speaker\na,sad,sad,1\n", r"column 'emotion' is not .* the step is unknown$"),
        ("utterance,m@1,m@1\na,sad,happy\n", r"column 'm@1' stands twice"),
        ("utterance,m@1,m@01\na,sad,happy\n", r"two columns stand for the member m@1"),
        ("utterance,m@1\na,sad,happy\n", r"cannot be read as a table \(found more fields"),
        ("utterance,m@1,n@1\na,sad\n", r"column n@1 is empty in row 1"),
        ("utterance,m@1\na,sad\n,sad\n", r"column utterance is empty in row 2"),
        ("utterance,m@1\na,  \n", r"column m@1 is empty in row 1"),
        ("utterance,m@1\na,sad\n a,sad\n", r"utterance a stands in 2 rows"),
        (
            "utterance,m@1+n@1\na,sad\n",
            r"m@1\+n@1 is an ensemble: expected run@step; call it otherwise, such as best@0",
        ),
        ("utterance,m@1\na,sat\n", r"m@1: unknown label 'sat': expected one of sad \(nearest\), .*; `classes` angry,h"),
        ("utterance,k@1,m@1,n@1\na,2,sad,0.0\n", r"k@1: unknown label '2': .*; unknown labels also in n@1$"),
        ("utterance,m@1\na,sad\0\n", "column m@1 holds NUL"),
        ("utterance,m@1\n" + "a" * 2000 + ",sad\n", "more than 1000 characters"),
        ("utterance,run,step,predicted\na,m,²,sad\n", "step '²': expected whole numbers"),
        ("utterance,run,step,predicted\na,m,1.0,sad\n", r"step '1\.0': expected whole numbers"),
        ("utterance,run,step,predicted\na,m,01,sad\na,m,1,sad\n", r"utterance a stands in 2 rows of m@1"),
        (LONG.replace("\n", ",predicted\n") + "a,m,1,0,0,1,sad\n", "has predicted and logits: expected either"),
        (LONG + "a,m,1,0.1,1e39,0\n", r"column happy holds an empty cell, NaN or infinity in row 1"),
        (LONG + "a,m,1,0.1,1,0\nb,m,1,0,,1\n", r"column happy holds an empty cell, NaN or infinity in row 2"),
        (LONG + "a,m,1,0.1,-inf,0\n", r"column happy holds an empty cell, NaN or infinity"),
        (LONG + 'a,m,1,0.1,"0,5",0\n', r"column happy must hold logits, but row 1 has '0,5'"),
        (
            LONG.replace("happy", "happy,emotion") + "a,m,1,0.1,1,sad,0\n",
            r"column emotion must hold .* `label` emotion",
        ),
        (
            LONG.replace("happy", "happy,calm") + "a,m,1,0,1,0,0\n",
            r"for each of angry, happy, sad; `classes` angry,happy,sad,calm ",
        ),
    ],
)
def test_a_csv_that_cannot_be_meant_is_refused_by_what_is_wrong_with_it(store, tmp_path, text, message):
    with pytest.raises(CorpusError, match=message) as refusal:
        import_file(save(tmp_path / "m.csv", text), store=store)
    assert "\n" not in str(refusal.value)
    assert Store(store).member_names() == ["wide@1"]


@pytest.mark.parametrize("label", ["utterance", "m@1"])
def test_true_labels_are_no_column_of_another_meaning(store, tmp_path, label):
    with pytest.raises(CorpusError, match=f"column {label} does not hold true labels"):
        import_file(save(tmp_path / "m.csv", WIDE), store=store, label=label)


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [(WIDE.replace("sad", "süß"), "latin-1", "expected CSV in UTF-8"), (WIDE, "utf-16", "expected CSV in UTF-8")],
)
def test_another_encoding_is_refused(store, tmp_path, text, encoding, message):
    with pytest.raises(CorpusError, match=message):
        import_file(save(tmp_path / "m.csv", text, encoding), store=store)


@pytest.mark.parametrize("values", [[1.0, 2.0], [[1], [2]], [b"sad", b"sad"]], ids=["floats", "lists", "bytes"])
def test_parquet_columns_that_hold_no_names_are_refused(store, tmp_path, values):
    polars.DataFrame({"utterance": ["a", "b"], "m@1": values}).write_parquet(tmp_path / "m.parquet")
    with pytest.raises(CorpusError, match=r"column m@1 holds .*: expected names"):
        import_file(tmp_path / "m.parquet", store=store)


@pytest.mark.parametrize("values", [[True, False], [[1.0], [2.0]]], ids=["truth values", "lists"])
def test_parquet_columns_that_hold_no_numbers_are_refused(store, tmp_path, values):
    table = {"utterance": ["a", "b"], "run": ["m"] * 2, "step": [1, 1], "angry": [0.0, 1.0], "sad": [0, 1]}
    polars.DataFrame({**table, "happy": values}).write_parquet(tmp_path / "m.parquet")
    with pytest.raises(CorpusError, match="column happy must hold logits"):
        import_file(tmp_path / "m.parquet", store=store)


def test_labels_that_differ_between_the_members_of_a_long_table_are_refused(tmp_path):
    text = "utterance,run,step,predicted,truth\na,m,1,sad,sad\na,n,1,sad,happy\n"
    with pytest.raises(CorpusError, match="utterance a is labelled both sad and happy"):
        import_file(save(tmp_path / "m.csv", text), store=tmp_path / "new.store", label="truth")
    assert not (tmp_path / "new.store").exists()
