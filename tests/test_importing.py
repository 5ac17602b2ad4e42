"""Predictions from elsewhere, wide and long, are matched by utterance and class name, never by order."""

import numpy as np
import polars
import pytest

from ser_store.errors import CorpusError, StoreError
from ser_store.importing import import_predictions
from ser_store_h5.store import Store

CLASSES = ["angry", "happy", "sad"]
LABELS = ["sad", "angry", "happy", "sad"]


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "x.store"
    table = polars.DataFrame({"utterance": ["d", "b", "c", "a"], "emotion": LABELS[::-1], "wide@1": LABELS})
    table.write_csv(tmp_path / "wide.csv")
    import_predictions(tmp_path / "wide.csv", store=path, label="emotion")
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


def test_the_whole_imported_corpus_is_its_test_part(store):
    assert len(Store(store).corpus.rows("test")) == 4


@pytest.mark.parametrize(("order", "columns"), [([0, 1, 2, 3], CLASSES), ([3, 1, 0, 2], ["sad", "angry", "happy"])])
def test_long_logits_are_matched_by_id_and_class_name(store, tmp_path, order, columns):
    logits = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    write_long(tmp_path / "long.parquet", logits, order, columns)
    assert import_predictions(tmp_path / "long.parquet", store=store).members == ("m@5",)
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
    done = import_predictions(tmp_path / "long.csv", store=tmp_path / "new.store", label="emotion")
    assert (done.members, done.n, done.created) == (("m@7", "n@7"), 2, True)
    opened = Store(tmp_path / "new.store")
    assert opened.predictions(["m@7", "n@7"], opened.corpus.rows()).tolist() == [[1, 1], [0, 0]]


def test_a_member_may_cover_a_part_of_the_corpus(store, tmp_path):
    polars.DataFrame({"utterance": ["c"], "part@1": ["sad"]}).write_csv(tmp_path / "part.csv")
    import_predictions(tmp_path / "part.csv", store=store)
    assert Store(store).describe_member("part@1").n == 1


def test_true_labels_that_are_not_named_as_such_are_not_taken_for_a_member(store, tmp_path):
    polars.DataFrame({"utterance": ["c"], "emotion": ["sad"], "m@1": ["sad"]}).write_csv(tmp_path / "said.csv")
    with pytest.raises(CorpusError, match=r"column 'emotion' is not headed run@step: .* say --label emotion"):
        import_predictions(tmp_path / "said.csv", store=store)


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
        import_predictions(tmp_path / "bad.csv", store=store)
    assert Store(store).member_names() == ["wide@1"]


def test_a_file_that_is_no_table_is_refused(store, tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CorpusError, match="cannot be read as a table"):
        import_predictions(tmp_path / "bad.parquet", store=store)
    with pytest.raises(CorpusError, match="no such file"):
        import_predictions(tmp_path / "none.csv", store=store)
    (tmp_path / "said.txt").write_text("x")
    with pytest.raises(CorpusError, match=r"expected one of \.csv, \.parquet"):
        import_predictions(tmp_path / "said.txt", store=store)
