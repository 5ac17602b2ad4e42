"""What is exported is what was stored, bit for bit, as other programs read it; and can be imported again."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ser_store.errors import ExistsError, StoreError, UnknownNameError
from ser_store.interchange.export import export
from ser_store.interchange.import_ import import_file
from ser_store.metrics.calibration import log_softmax
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

CLASSES = ("angry", "happy", "sad")
# Any text that is a name: commas, quotes, line feeds, white space at its ends and numbers are.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(str.strip)
PLAIN = st.text("aé,;\"'\n\r\t 0.1-#", min_size=1, max_size=6).filter(lambda name: name == name.strip())


def make_store(path, ids, labels, classes, members, kind=None):
    corpus = Corpus(
        name="sample",
        ids=np.array(ids),
        labels=np.array(labels, dtype=np.int16),
        classes=tuple(classes),
        speakers=np.array([f"s{row % 2}" for row in range(len(ids))]),
        columns={"take": np.arange(len(ids)), "label": np.array([f"l{row}" for row in range(len(ids))])},
        splits={"usual": np.array(["test"] * len(ids))},
        default_split="usual",
    )
    store = Store.create(path, corpus)
    for member in members:
        if not store.has_run(member.run):
            details = {} if kind is None else {"scores": kind}
            store.add_run(RunRecord(member.run, "finetune", "tiny-hubert", details=details))
        store.write_member(member)
    return store


def make_members(n, *, classes=3, hidden=(5, 7)):
    """Runs ``full`` (everything, two steps), ``frozen`` (pooled only) and ``said`` (labels only)."""
    rng, rows = np.random.default_rng(3), np.arange(n, dtype=np.int32)
    logits = rng.normal(size=(2, n, classes)).astype(np.float32)
    pooled = [rng.normal(size=(n, d)).astype(kind) for d, kind in zip(hidden, (np.float16, np.float32), strict=True)]
    return [
        Member("full", 10, rows, logits[0], pooled[0], provenance={"pooling": "mean", "nested": [1, {"a": None}]}),
        Member("full", 20, rows, logits[1], pooled[0] * 2),
        Member("frozen", 0, rows, pooled=pooled[1]),
        Member("said", 0, rows, predicted=(rows % classes).astype(np.int16)),
    ]


@pytest.fixture
def store(tmp_path):
    ids = [f"u{row}" for row in range(6)]
    return make_store(tmp_path / "x.store", ids, [2, 1, 0, 0, 1, 2], CLASSES, make_members(6))


@st.composite
def said(draw, names, *, logits):
    """Ids, labels of some classes, classes, two members that answer with any of them or none, and their kind."""
    classes = sorted(draw(st.sets(names, min_size=2, max_size=4)))
    ids = sorted(draw(st.sets(names, min_size=1, max_size=7)))
    labels = draw(st.lists(st.integers(0, len(classes) - 1), min_size=len(ids), max_size=len(ids)))
    rows = np.arange(len(ids), dtype=np.int32)
    kind = draw(st.sampled_from([None, "logits", "log-probabilities", "scores"])) if logits else None
    low, high = draw(st.sampled_from([(None, None), (-2, 2), (0, 1), (0, 0)]))
    numbers = st.floats(low, high, width=32, allow_nan=False, allow_infinity=False)
    members = []
    for step in (3, 40):
        if logits:
            values = draw(arrays(np.float32, (len(ids), len(classes)), elements=numbers))
            if kind == "log-probabilities":
                values = log_softmax(np.clip(values, -90, 90)).astype(np.float32)
            members.append(Member("m", step, rows, logits=values))
        else:
            values = draw(arrays(np.int16, len(ids), elements=st.integers(-1, len(classes) - 1)))
            members.append(Member("m", step, rows, predicted=values))
    return ids, labels, classes, members, kind


RESERVED = {"utterance", "run", "step", "label", "predicted", "scores"}


def assert_members_equal(found, members):
    for member in members:
        read = found.read_member(member.name)
        assert np.array_equal(read.rows, member.rows)
        for array, expected in ((read.logits, member.logits), (read.predicted, member.predicted)):
            assert (array is None) == (expected is None)
            assert array is None or array.tobytes() == expected.tobytes()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("what", ["predicted", "logits"])
def test_what_is_exported_is_imported_again_bit_for_bit(suffix, what):
    @settings(max_examples=25)
    @given(case=said(NAMES.filter(lambda name: name.strip() not in RESERVED), logits=what == "logits"))
    def run(case):
        ids, labels, classes, members, kind = case
        with tempfile.TemporaryDirectory() as folder:
            first = make_store(Path(folder, "a"), ids, labels, classes, members, kind)
            second = make_store(Path(folder, "b"), ids, labels, classes, [])
            file = Path(folder, f"out.{suffix}")
            export(first, file, what=what, steps="all")
            import_file(file, store=second.path, label="label")
            assert_members_equal(second, members)
            assert second.run("m").details.get("scores") == (None if what == "predicted" else kind or "logits")
            assert import_file(file, store=second.path, label="label").identical == ("m@3", "m@40")

    run()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("what", ["predicted", "logits"])
def test_a_store_that_is_made_from_an_export_has_its_corpus(suffix, what):
    @settings(max_examples=15)
    @given(case=said(PLAIN, logits=what == "logits"))
    def run(case):
        ids, labels, classes, members, kind = case
        with tempfile.TemporaryDirectory() as folder:
            first = make_store(Path(folder, "a"), ids, labels, classes, members, kind)
            file = Path(folder, f"out.{suffix}")
            export(first, file, what=what, steps="all")
            import_file(file, store=Path(folder, "b"), label="label", classes=classes)
            second = Store(Path(folder, "b"))
            assert second.corpus.digest == first.corpus.digest
            assert_members_equal(second, members)

    run()


@pytest.mark.parametrize("what", ["predicted", "logits"])
def test_an_export_gives_the_same_answers_without_a_list_of_classes(what):
    """Also where a class is never true, or an answer is none of them."""
    emotions = st.sampled_from(["angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "w\u00fcst"])

    @settings(max_examples=15)
    @given(case=said(emotions, logits=what == "logits"))
    def run(case):
        ids, labels, classes, members, kind = case
        assume(len(set(labels)) > 1)
        with tempfile.TemporaryDirectory() as folder:
            first = make_store(Path(folder, "a"), ids, labels, classes, members, kind)
            export(first, Path(folder, "out.csv"), what=what, steps="all")
            import_file(Path(folder, "out.csv"), store=Path(folder, "b"), label="label")
            assert name_answers(Store(Path(folder, "b"))) == name_answers(first)

    run()


def name_answers(store):
    codes = store.predictions(["m@3", "m@40"], on="all")
    return np.array([*store.corpus.classes, ""])[codes].tolist()


def test_the_float32_that_are_hardest_to_print_survive_a_csv(tmp_path):
    bits = np.concatenate([np.arange(64), 0x7F7FFFFF - np.arange(64), 0x4B000000 + np.arange(-64, 64)])
    bits = np.concatenate([bits, np.random.default_rng(0).integers(0, 0x7F800000, 12_000 - 2 * len(bits)), bits])
    signed = np.concatenate([bits, bits | 0x80000000]).astype(np.uint32).view(np.float32).reshape(-1, 2)
    ids = [f"u{row:05}" for row in range(len(signed))]
    member = Member("m", 1, np.arange(len(signed), dtype=np.int32), logits=signed)
    make_store(tmp_path / "a", ids, np.arange(len(ids)) % 2, "xy", [member])
    second = make_store(tmp_path / "b", ids, np.arange(len(ids)) % 2, "xy", [])
    export(Store(tmp_path / "a"), tmp_path / "out.csv", what="logits")
    import_file(tmp_path / "out.csv", store=second.path, label="label")
    assert_members_equal(second, [member])


@pytest.mark.parametrize("what", ["predicted", "logits", "pooled"])
def test_an_npz_file_is_read_with_numpy_alone(store, tmp_path, what):
    names = {"predicted": ["full@10", "said@0"], "logits": ["full@10", "full@20"], "pooled": ["frozen@0", "full@10"]}
    done = export(store, tmp_path / "out.npz", names[what], what=what)
    assert (done.what, done.members, done.n) == (what, 2, 6)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as read:
        assert set(read.files) == {"ids", "labels", "classes", *names[what]}
        assert read["ids"].tolist() == store.corpus.ids.tolist()
        assert read["labels"].tolist() == [2, 1, 0, 0, 1, 2]
        assert read["classes"].tolist() == list(CLASSES)
        for name in names[what]:
            member = store.read_member(name)
            expected = getattr(member, what) if what != "predicted" else store.predictions([name], member.rows)[0]
            assert read[name].dtype == expected.dtype
            assert read[name].tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("what", "steps", "expected"),
    [
        ("predicted", "selected", {"full@20", "said@0"}),
        ("logits", "all", {"full@10", "full@20"}),
        ("pooled", "selected", {"full@20", "frozen@0"}),
    ],
)
def test_without_names_those_are_written_that_hold_what_is_asked_for(store, tmp_path, what, steps, expected):
    export(store, tmp_path / "out.npz", what=what, steps=steps)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as read:
        assert set(read.files) - {"ids", "labels", "classes"} == expected


def test_the_one_member_with_pooled_representations_is_x_of_an_anndata(store, tmp_path):
    anndata = pytest.importorskip("anndata")
    export(store, tmp_path / "out.h5ad", ["full@10", "said"])
    read = anndata.read_h5ad(tmp_path / "out.h5ad")
    member = store.read_member("full@10")
    assert read.shape == (6, 5)
    assert read.obs_names.tolist() == store.corpus.ids.tolist()
    assert read.var_names.tolist() == list("01234")
    assert read.X.dtype == np.float16
    assert read.X.tobytes() == member.pooled.tobytes()
    assert set(read.obsm) == {"full@10.logits"}
    assert read.obsm["full@10.logits"].dtype == np.float32
    assert np.array_equal(read.obsm["full@10.logits"], member.logits)
    assert read.obs["said@0"].tolist() == ["angry", "happy", "sad"] * 2
    assert read.uns["classes"].tolist() == list(CLASSES)
    assert json.loads(read.uns["provenance"]["full@10"]) == member.provenance
    assert read.uns["corpus"] == {"name": "sample", "digest": store.corpus.digest}
    assert (read.uns["on"], read.uns["split"]) == ("test", "usual")


def test_several_members_with_pooled_representations_are_obsm_of_an_anndata(store, tmp_path):
    anndata = pytest.importorskip("anndata")
    export(store, tmp_path / "out.h5ad", steps="all", on="all")
    read = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert read.X is None
    assert set(read.obsm) == {"full@10", "full@20", "frozen@0", "full@10.logits", "full@20.logits"}
    for name in ("full@10", "full@20", "frozen@0"):
        expected = store.read_member(name).pooled
        assert read.obsm[name].dtype == expected.dtype
        assert read.obsm[name].tobytes() == expected.tobytes()
    assert read.obs["full@10"].tolist() == [
        CLASSES[label] for label in store.predictions(["full@10"], store.corpus.rows())[0]
    ]


def test_the_observations_of_an_anndata_say_what_the_corpus_says(store, tmp_path):
    anndata = pytest.importorskip("anndata")
    export(store, tmp_path / "out.h5ad")
    observations = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    assert observations["label"].tolist() == ["sad", "happy", "angry", "angry", "happy", "sad"]
    assert observations["label"].cat.categories.tolist() == list(CLASSES)
    assert observations["speaker"].tolist() == ["s0", "s1"] * 3
    assert observations["take"].tolist() == list(range(6))
    assert observations["column_label"].tolist() == [f"l{row}" for row in range(6)]
    assert set(observations["split_usual"]) == {"test"}


def test_without_anndata_one_line_names_it(store, tmp_path):
    program = (
        "import sys; sys.modules['anndata'] = None\n"
        "from pathlib import Path; from ser_store.interchange.export import export\n"
        "from ser_store_h5.store import Store\n"
        "from ser_store.errors import MissingExtraError\n"
        "try: export(Store(sys.argv[1]), Path(sys.argv[2]))\n"
        "except MissingExtraError as problem: print(problem)"
    )
    words = [sys.executable, "-c", program, str(store.path), str(tmp_path / "out.h5ad")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "anndata is not installed: .h5ad files need it; pip install anndata"
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.parametrize(
    ("file", "options", "error", "message"),
    [
        ("out.txt", {}, StoreError, r"out\.txt: cannot be written as \.txt: expected \.csv, \.parquet, \.npz, \.h5ad"),
        ("out", {}, StoreError, "cannot be written as a file without suffix"),
        ("out.csv", {"what": "pooled"}, StoreError, r"cannot hold pooled as \.csv: expected \.npz, \.h5ad"),
        ("out.npz", {"what": "logit"}, UnknownNameError, r"expected one of logits \(nearest\)"),
        ("out.npz", {"what": "everything"}, StoreError, r"expected \.h5ad"),
        ("out.csv", {"members": ["frozen"]}, StoreError, r"representations only: .*`what` pooled writes them as \.npz"),
        ("out.npz", {"members": ["said"], "what": "logits"}, StoreError, "has labels only: expected logits"),
        ("out.npz", {"members": ["said"], "what": "pooled"}, StoreError, "has no pooled representations"),
        ("out.npz", {"what": "logits", "steps": "some"}, UnknownNameError, "unknown choice of steps 'some'"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(store, tmp_path, file, options, error, message):
    with pytest.raises(error, match=message):
        export(store, tmp_path / file, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["x.store"]


def test_a_store_whose_members_hold_no_logits_says_so(tmp_path):
    store = make_store(tmp_path / "x", ["a", "b"], [0, 1], "xy", [make_members(2, classes=2)[3]])
    with pytest.raises(StoreError, match=r"has no logits to export: none of said@0 holds them"):
        export(store, tmp_path / "out.npz", what="logits")


def test_a_class_called_like_a_column_is_no_column(tmp_path):
    member = Member("m", 1, np.arange(2, dtype=np.int32), logits=np.zeros((2, 2), dtype=np.float32))
    store = make_store(tmp_path / "x", ["a", "b"], [0, 1], ["run", "walk"], [member])
    with pytest.raises(StoreError, match=r"class 'run' has the name of a column of the table: expected \.npz"):
        export(store, tmp_path / "out.csv", what="logits")


def test_a_file_that_is_there_is_left_alone(store, tmp_path):
    (tmp_path / "out.npz").write_text("mine")
    with pytest.raises(ExistsError, match="is there already"):
        export(store, tmp_path / "out.npz")
    assert (tmp_path / "out.npz").read_text() == "mine"


def test_a_table_of_labels_is_wide_and_one_of_logits_long(store, tmp_path):
    export(store, tmp_path / "said.parquet", steps="all")
    export(store, tmp_path / "logits.parquet", what="logits", steps="all")
    wide, long = (polars.read_parquet(tmp_path / f"{name}.parquet") for name in ("said", "logits"))
    assert wide.columns == ["utterance", "label", "full@10", "full@20", "said@0"]
    assert wide["label"].to_list() == ["sad", "happy", "angry", "angry", "happy", "sad"]
    assert long.columns == ["utterance", "run", "step", "label", *CLASSES]
    assert long["step"].to_list() == [10] * 6 + [20] * 6
    assert long.schema["angry"] == polars.Float32
