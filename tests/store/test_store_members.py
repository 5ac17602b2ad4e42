"""Members: what is written is read, rows align by utterance, and nothing is overwritten unasked."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from store_samples import assert_same_array, assert_same_member, get_bytes, make_corpus, make_member, make_store

from ser_store_h5.errors import ExistsError, FormatError, IntegrityError, SerstoreError, StoreError, UnknownNameError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.member import Member
from ser_store_h5.member_file import open_member, write_member
from ser_store_h5.names import member_file
from ser_store_h5.runs import RunRecord, Selection
from ser_store_h5.store import Store

CORPUS = make_corpus()
ALL = np.arange(12, dtype=np.int32)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of forty utterances."""
    return make_store(tmp_path_factory.mktemp("many") / "store", n=40)


def finite(shape: tuple[int, ...], width: Literal[16, 32]) -> st.SearchStrategy[Any]:
    elements = st.floats(width=width, allow_nan=False, allow_infinity=False)
    return arrays.arrays(np.dtype(f"f{width // 8}"), shape, elements=elements)


@st.composite
def members(draw: st.DrawFn) -> Member:
    rows = np.array(sorted(draw(st.sets(st.integers(0, 11), min_size=1))), dtype=np.int32)
    m = len(rows)
    held = draw(st.sets(st.sampled_from(["logits", "pooled", "predicted"]), min_size=1))
    shape = (m, draw(st.integers(1, 5)))
    return Member(
        run="tiny",
        step=draw(st.integers(0, 10**12 - 1)),
        rows=rows,
        logits=draw(finite((m, 3), 32)) if "logits" in held else None,
        pooled=draw(st.one_of(finite(shape, 16), finite(shape, 32))) if "pooled" in held else None,
        predicted=draw(arrays.arrays(np.int16, m, elements=st.integers(-1, 2))) if "predicted" in held else None,
        provenance=draw(st.dictionaries(st.text(max_size=5), json_values, max_size=3)),
    )


@given(member=members())
@settings(max_examples=50)
def test_any_member_is_read_as_it_was_written_and_written_to_the_same_bytes_again(
    tmp_path_factory: pytest.TempPathFactory, member: Member
) -> None:
    folder = tmp_path_factory.mktemp("member") / member.run
    folder.mkdir()
    path = folder / member_file(member.step)
    write_member(path, member, CORPUS)
    with open_member(path, CORPUS) as file:
        found, info = file.read(), file.describe()
    assert_same_member(found, member)
    assert (info.name, info.n, info.provenance) == (member.name, len(member.rows), member.provenance)
    assert info.logits == (None if member.logits is None else member.logits.shape)
    assert info.pooled == (None if member.pooled is None else member.pooled.shape)
    assert info.can_vote == (member.logits is not None or member.predicted is not None)
    assert info.bytes == path.stat().st_size
    write_member(folder / "two.h5", found, CORPUS)
    assert path.read_bytes() == (folder / "two.h5").read_bytes()


def test_arrays_that_are_strided_or_of_other_byte_order_are_kept_by_value(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    logits = np.random.default_rng(0).normal(size=(24, 6)).astype(">f4")[::2, ::2]
    store.write_member(Member("tiny", 5, ALL, logits=logits))
    assert_same_array(store.read_member("tiny@5").logits, np.ascontiguousarray(logits, dtype="<f4"))


@given(own=st.sets(st.integers(0, 39), min_size=1).map(sorted), data=st.data())
@settings(max_examples=40)
def test_rows_align_by_utterance_whatever_the_member_covers_and_the_order_asked_for(
    many: Store, own: list[int], data: st.DataObject
) -> None:
    covered = np.array(own, dtype=np.int32)
    # Every number tells which utterance it is about.
    logits = np.stack([covered, 100 - covered, covered * 0], axis=1).astype(np.float32)
    pooled = np.repeat(covered[:, None], 3, axis=1).astype(np.float32)
    many.write_member(Member("tiny", 7, covered, logits=logits, pooled=pooled), replace=True)
    asked = data.draw(st.lists(st.sampled_from(own), max_size=12))
    rows = np.array(asked, dtype=np.int32)
    assert many.pooled("tiny@7", rows).tolist() == [[row] * 3 for row in asked]
    assert many.logits(["tiny@7"], rows)[0].tolist() == [[row, 100 - row, 0] for row in asked]
    assert many.predictions(["tiny@7"], rows).tolist() == [[1] * len(asked)]


def test_members_of_different_cover_are_aligned_with_each_other(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    every, some = store.read_member("tiny@10"), np.array([1, 5, 8, 11])
    assert every.logits is not None
    store.write_member(Member("tiny", 30, some.astype(np.int32), logits=every.logits[some]))
    rows = np.array([11, 5], dtype=np.int32)
    stacked = store.logits(["tiny@30", "tiny@10"], rows)
    assert (stacked.shape, stacked.dtype.str) == ((2, 2, 3), "<f4")
    assert stacked[0].tolist() == stacked[1].tolist() == every.logits[[11, 5]].tolist()


def test_the_lowest_class_is_predicted_where_logits_are_equal(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    logits = np.array([[1, 1, 1], [0, 2, 2], [-1, -3, -1], [0.0, -0.0, 0.0]] * 3, dtype=np.float32)
    store.write_member(Member("tiny", 5, ALL, logits=logits))
    predicted = store.predictions(["tiny@5"], ALL)
    assert (predicted.dtype.str, predicted.tolist()) == ("<i2", [[0, 1, 0, 0] * 3])


def test_an_answer_that_is_none_of_the_classes_is_kept_as_that(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    said = np.array([-1, 0, 1, 2] * 3, dtype=np.int16)
    store.write_member(Member("tiny", 5, ALL, predicted=said))
    assert store.predictions(["tiny@5"], ALL)[0].tolist() == said.tolist()
    assert not verify_store(store.path).problems


def test_labels_count_as_predictions_and_logits_come_before_them(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    said = np.full(12, 2, dtype=np.int16)
    store.write_member(Member("tiny", 5, ALL, predicted=said))
    store.write_member(Member("tiny", 6, ALL, predicted=said, logits=np.zeros((12, 3), dtype=np.float32)))
    assert store.predictions(["tiny@5", "tiny@6"], ALL)[:, 0].tolist() == [2, 0]


def test_utterances_that_a_member_says_nothing_about_are_named(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    store.write_member(make_member(store.corpus, "tiny", 30, rows=[8, 9, 11]))
    for call in (store.logits, store.predictions):
        with pytest.raises(StoreError, match=r"^tiny@30 says nothing about 1 of the 4 utterances asked for \(u0010\)"):
            call(["tiny@10", "tiny@30"], store.corpus.rows("test"))
    with pytest.raises(StoreError, match=r"nothing about 9 of the 12 .* \(u0000, u0001, u0002, …\): expected all; "):
        store.pooled("tiny@30", ALL)


@pytest.mark.parametrize("row", [-1, 12])
def test_rows_outside_the_corpus_are_refused(tmp_path: Path, row: int) -> None:
    store = make_store(tmp_path / "store")
    with pytest.raises(StoreError, match=rf"^rows {row} to {row}: expected indices into 12 utterances$"):
        store.pooled("tiny@10", np.array([row], dtype=np.int32))


def test_what_a_member_does_not_hold_is_said_with_the_way_out(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    store.write_member(make_member(store.corpus, "tiny", 1, logits=None))
    store.write_member(make_member(store.corpus, "tiny", 2, pooled=None, logits=None, predicted=np.int16(ALL % 3)))
    with pytest.raises(
        StoreError, match=r"^tiny@1 has pooled representations only: expected logits or labels; `head\(\)` fits"
    ):
        store.predictions(["tiny@1"], ALL)
    with pytest.raises(StoreError, match=r"^tiny@1 has pooled representations only: expected logits"):
        store.logits(["tiny@1"], ALL)
    with pytest.raises(StoreError, match=r"^tiny@2 has labels only: expected logits"):
        store.logits(["tiny@2"], ALL)
    with pytest.raises(StoreError, match=r"^tiny@2 has no pooled representations: expected a member of finetune or"):
        store.pooled("tiny@2", ALL)


def test_a_member_of_another_corpus_is_refused(tmp_path: Path) -> None:
    store, other = make_store(tmp_path / "store"), make_store(tmp_path / "other", n=13)
    store.member_path("tiny", 30).write_bytes(other.member_path("tiny", 10).read_bytes())
    for call in (store.read_member, store.describe_member, lambda name: store.logits([name], ALL)):
        with pytest.raises(
            StoreError, match=r"step-000030.h5: belongs to another corpus \(digest .{12}…\): expected .{12}…"
        ):
            call("tiny@30")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "tiny@30",
            r"^unknown member 'tiny@30': expected one of tiny@20 \(nearest\), tiny@10; `ls\(\)` lists them$",
        ),
        ("tinny", r"^unknown member 'tinny': expected one of tiny \(nearest\); `ls\(\)`"),
        ("tinny@10", r"^unknown member 'tinny@10': expected one of tiny@10 \(nearest\)"),
        ("../tiny@10", r"^run name '\.\./tiny': expected 1 to 100 letters"),
    ],
)
def test_an_unknown_name_offers_the_nearest(tmp_path: Path, name: str, message: str) -> None:
    store = make_store(tmp_path / "store")
    with pytest.raises(SerstoreError, match=message):
        store.resolve(name)


def test_an_unknown_run_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown run 'tinny': expected one of tiny \(nearest\); `ls\(\)`"):
        make_store(tmp_path / "store").run("tinny")


def test_a_store_without_members_says_how_to_get_some(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store", CORPUS)
    with pytest.raises(StoreError, match=r"has no members yet: make some with `finetune\(\)`"):
        store.resolve("tiny")
    store.add_run(RunRecord("tiny", "finetune", "tiny-hubert", state="running"))
    with pytest.raises(
        StoreError, match=r"^run tiny has no members yet: it is running; expected at least one cached step$"
    ):
        store.resolve("tiny")


def test_a_run_alone_stands_for_its_selected_step_else_for_its_last(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    assert store.resolve("tiny") == ("tiny", 20)
    store.update_run(replace(store.run("tiny"), selected=Selection(10, "best", "valid", "accuracy 0.5")))
    assert store.resolve("tiny") == ("tiny", 10)
    assert store.resolve("tiny@20") == ("tiny", 20)
    assert_same_member(store.read_member("tiny"), store.read_member("tiny@10"))
    store.remove("tiny@10")
    assert store.resolve("tiny") == ("tiny", 20)


def test_members_are_listed_by_run_and_step_and_not_by_their_spelling(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    store.add_run(RunRecord("a", "import", "elsewhere"))
    for step in (1_000_000, 3):
        store.write_member(make_member(store.corpus, "a", step))
    assert store.member_names() == ["a@3", "a@1000000", "tiny@10", "tiny@20"]
    assert [info.name for info in store.members("a")] == ["a@3", "a@1000000"]


def test_a_written_member_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    before, other = get_bytes(store.path), make_member(store.corpus, "tiny", 10, seed=1)
    with pytest.raises(ExistsError, match=r"step-000010.h5 is there already: nothing written is overwritten$"):
        store.write_member(other)
    assert get_bytes(store.path) == before
    store.write_member(other, replace=True)
    assert_same_member(store.read_member("tiny@10"), other)


def test_a_member_needs_its_run(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    with pytest.raises(UnknownNameError, match=r"^unknown run 'absent': expected one of tiny"):
        store.write_member(make_member(store.corpus, "absent", 1))


ONE = np.zeros(1, dtype=np.int32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ALL[:0]}, r"covers no utterance"),
        ({"rows": ALL[::-1]}, r"rows must be ascending and unique indices below 12"),
        ({"rows": ALL + 1}, r"rows must be ascending and unique indices below 12"),
        ({"rows": np.repeat(ONE, 12)}, r"rows must be ascending and unique indices below 12"),
        ({"rows": ALL - 1}, r"rows must be ascending and unique indices below 12"),
        ({"logits": None, "pooled": None}, r"holds nothing: expected logits, pooled or predicted"),
        ({"logits": np.zeros((12, 4), np.float32)}, r"logits have shape \(12, 4\): expected \(12, 3\)"),
        ({"logits": np.zeros((11, 3), np.float32)}, r"logits have shape \(11, 3\): expected \(12, 3\)"),
        (
            {"logits": np.full((12, 3), np.nan, np.float32)},
            r"logits hold NaN or infinity, of utterance .* first: .* has its training diverged",
        ),
        ({"logits": np.full((12, 3), 1e300)}, r"logits hold NaN or infinity"),
        ({"pooled": np.zeros((11, 4), np.float16)}, r"pooled has shape \(11, 4\): expected \(12, hidden\)"),
        ({"pooled": np.zeros((12, 0), np.float16)}, r"pooled has shape \(12, 0\): expected \(12, hidden\)"),
        ({"pooled": np.zeros(12, np.float16)}, r"pooled has shape \(12,\): expected \(12, hidden\)"),
        ({"pooled": np.full((12, 2), np.inf, np.float16)}, r"pooled holds NaN or infinity"),
        ({"pooled": np.zeros((12, 2))}, r"pooled has dtype float64: expected float16 or float32"),
        ({"predicted": np.full(12, 3, np.int16)}, r"predicted must be 12 class indices below 3"),
        (
            {"predicted": np.full(12, -2, np.int16)},
            r"predicted must be 12 class indices below 3, or -1 for none of them",
        ),
        ({"predicted": np.zeros(3, np.int16)}, r"predicted must be 12 class indices below 3"),
        ({"step": -1}, r"^tiny@-1: expected a step of 0 to 9+$"),
        ({"step": 10**12}, r"^tiny@1000000000000: expected a step of 0 to 9+$"),
        ({"provenance": {"log": "x" * 60_000}}, r"attribute provenance has 600\d\d bytes: expected at most 60000"),
    ],
)
def test_a_member_that_contradicts_itself_or_the_corpus_is_refused_before_a_file_appears(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    store = make_store(tmp_path / "store")
    before = get_bytes(store.path)
    with pytest.raises(StoreError, match=message):
        store.write_member(replace(make_member(store.corpus, "tiny", 30), **changes))
    assert get_bytes(store.path) == before


def test_a_removed_member_is_gone_and_the_others_are_as_they_were(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    before = get_bytes(store.path)
    assert store.remove("tiny@000010") == ["tiny@10"]
    del before["runs/tiny/step-000010.h5"]
    assert get_bytes(store.path) == before
    with pytest.raises(UnknownNameError, match=r"^unknown member 'tiny@10'"):
        store.remove("tiny@10")


def test_a_removed_run_is_gone_with_all_it_had(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    store.add_run(RunRecord("other", "frozen", "mfcc"))
    assert store.remove("tiny") == ["tiny@10", "tiny@20"]
    assert [found.name for found in (store.path / "runs").iterdir()] == ["other"]
    assert store.runs() == ["other"]
    with pytest.raises(UnknownNameError, match=r"^unknown run 'tiny': expected one of other"):
        store.remove("tiny")


def test_a_member_that_vanishes_between_two_looks_is_said_to_be_missing(tmp_path: Path) -> None:
    with (
        pytest.raises(FormatError, match=r"step-000001.h5: no such file$"),
        open_member(tmp_path / "step-000001.h5", CORPUS),
    ):
        pass


def test_a_folder_in_a_members_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "step-000001.h5").mkdir()
    with (
        pytest.raises((FormatError, IntegrityError), match=r"step-000001.h5: expected a file$"),
        open_member(tmp_path / "step-000001.h5", CORPUS),
    ):
        pass


def test_a_number_that_json_does_not_have_is_kept_as_null(tmp_path: Path) -> None:
    provenance = {"loss": float("nan"), "rates": [float("inf"), 0.5]}
    store = Store.create(tmp_path / "x.store", CORPUS)
    store.add_run(RunRecord("r", "finetune", "tiny"))
    store.write_member(Member("r", 1, ALL, predicted=CORPUS.labels, provenance=provenance))
    assert store.read_member("r@1").provenance == {"loss": None, "rates": [None, 0.5]}
