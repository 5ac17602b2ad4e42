"""``corpus.h5``: what is written is read, and the corpus value's own rules."""

import hashlib
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from store_samples import assert_same_corpus, assert_same_member, get_bytes, make_corpus, make_member, make_store

from ser_store_h5.corpus import Corpus, order_classes
from ser_store_h5.corpus_file import read_corpus, write_corpus
from ser_store_h5.errors import CorpusError, ExistsError, FormatError, SerstoreError, StoreError, UnknownNameError
from ser_store_h5.store import Store

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = texts.filter(lambda name: name.strip(".") != "" and "/" not in name and "\0" not in name)
plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    named = texts.filter(lambda text: text.strip("\0") != "")
    ids = np.unique(np.array(draw(st.lists(named, min_size=1, max_size=9)), dtype=np.str_))
    n = len(ids)
    classes = tuple(draw(st.lists(plain.filter(bool), min_size=2, max_size=5, unique=True)))

    def draw_texts() -> Any:
        return np.array(draw(st.lists(texts, min_size=n, max_size=n)), dtype=np.str_)

    def draw_column(_: str) -> Any:
        kind = draw(st.sampled_from(["U", "<i8", "<f8"]))
        return draw_texts() if kind == "U" else draw(arrays.arrays(np.dtype(kind), n))

    return Corpus(
        name=draw(plain),
        ids=ids,
        labels=draw(arrays.arrays(np.int16, n, elements=st.integers(0, len(classes) - 1))),
        classes=classes,
        speakers=draw(st.sampled_from([None, np.array([""] * n), draw_texts()])),
        columns={name: draw_column(name) for name in draw(st.lists(names, max_size=3, unique=True))},
        splits={name: draw_texts() for name in draw(st.lists(names, max_size=3, unique=True))},
        default_split=draw(st.none() | plain.filter(bool)),
        paths=draw(st.none() | st.just(draw_texts())),
        audio_root=draw(st.none() | plain.filter(bool)),
        audio_digests=draw(st.none() | arrays.arrays(np.uint8, (n, 32))),
    )


@given(corpus=corpora())
@settings(max_examples=50)
def test_any_corpus_is_read_as_it_was_written_and_written_to_the_same_bytes_again(
    tmp_path_factory: pytest.TempPathFactory, corpus: Corpus
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "corpus.h5", corpus)
    found = read_corpus(folder / "corpus.h5")
    assert_same_corpus(found, corpus)
    write_corpus(folder / "again.h5", found)
    assert (folder / "again.h5").read_bytes() == (folder / "corpus.h5").read_bytes()


def test_the_files_depend_on_the_values_alone_and_not_on_the_hour(tmp_path: Path) -> None:
    first = make_store(tmp_path / "first")
    time.sleep(1.1)  # HDF5 counts whole seconds where it keeps times
    assert get_bytes(make_store(tmp_path / "later").path) == get_bytes(first.path)


def test_the_digest_is_that_of_the_format_page_and_knows_no_split_or_column() -> None:
    corpus = Corpus("sample", np.array(["a", "ä"]), np.array([1, 0], dtype=np.int16), ("no", "yes"))
    identity = b"\2\0\0\0no\3\0\0\0yes\0\0\0\0\1\0\0\0a\2\0\0\0\xc3\xa4\1\0\0\0"
    assert corpus.digest == hashlib.sha256(identity).hexdigest()
    assert corpus.with_split("other", np.array(["train", ""])).digest == corpus.digest
    assert replace(corpus, labels=np.array([1, 1], dtype=np.int16)).digest != corpus.digest


def test_a_corpus_of_one_utterance_without_optional_parts_is_kept(tmp_path: Path) -> None:
    corpus = Corpus("", np.array(["u"]), np.array([1], dtype=np.int16), ("no", "yes"))
    store = Store.create(tmp_path / "one", corpus)
    assert_same_corpus(Store(store.path).corpus, corpus)


def test_labels_of_another_integer_type_are_kept_as_int16(tmp_path: Path) -> None:
    corpus = make_corpus()
    wide = Corpus("sample", corpus.ids, corpus.labels.astype(np.int64), corpus.classes)
    write_corpus(tmp_path / "corpus.h5", wide)
    assert read_corpus(tmp_path / "corpus.h5").labels.dtype == np.int16


SURROGATE = "\udce9t\udce9"  # what Python makes of a file name that is not UTF-8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": {"a/b": np.arange(12)}}, r"column or split name 'a/b': expected 1 to 100 characters"),
        ({"columns": {"": np.arange(12)}}, r"column or split name '': expected"),
        ({"columns": {"x" * 101: np.arange(12)}}, r"column or split name 'x+': expected"),
        ({"splits": {"..": np.array(["a"] * 12)}}, r"column or split name '\.\.': expected"),
        ({"columns": {SURROGATE: np.arange(12)}}, r"column or split name .*: expected 1 to 100 characters of Unicode"),
        ({"columns": {"age": np.arange(12, dtype=np.int8)}}, r"column age has dtype int8: expected text, int64 or"),
        ({"columns": {"ok": np.zeros(12, dtype=bool)}}, r"column ok has dtype bool: expected text, int64 or float64"),
        ({"columns": {"any": np.array([None] * 12)}}, r"column any has dtype object: expected text, int64 or float64"),
        ({"speakers": np.arange(12)}, r"speakers has dtype int64: expected text"),
        ({"splits": {"s": np.arange(12)}}, r"s has dtype int64: expected text"),
        ({"audio_digests": np.zeros((12, 20), dtype=np.uint8)}, r"audio_digests are uint8 \(12, 20\): expected uint8"),
        ({"ids": np.array([*(f"u{i:04}" for i in range(11)), SURROGATE])}, r"is not valid Unicode: rename the file"),
        ({"paths": np.array([SURROGATE] * 12)}, r"is not valid Unicode: rename the file"),
        ({"audio_root": SURROGATE}, r"attribute audio_root: .* is not valid Unicode"),
        ({"name": "a\0b"}, r"attribute name: 'a\\x00b' holds a NUL"),
        ({"name": "ä" * 30_001}, r"attribute name has 60002 bytes: expected at most 60000"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_a_file_appears(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    corpus = make_corpus()
    parts = {name: getattr(corpus, name) for name in ("name", "ids", "labels", "classes")} | changes
    with pytest.raises(SerstoreError, match=message):
        Store.create(tmp_path / "store", Corpus(**parts))
    assert get_bytes(tmp_path) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ids": np.array([], dtype=np.str_), "labels": np.array([], dtype=np.int16)}, r"has no utterances"),
        ({"ids": np.array(["", *(f"u{i:04}" for i in range(11))])}, r"an utterance has an empty id: expected a name"),
        ({"classes": ("angry",)}, r"has 1 classes \(angry\): expected 2 to 1024"),
        ({"classes": tuple(f"c{i}" for i in range(1025))}, r"has 1025 classes"),
        ({"classes": ("a", "a", "b")}, r"classes are 'a', 'a', 'b': expected different names"),
        ({"classes": ("", "a", "b")}, r"classes are '', 'a', 'b': expected different names, none of them empty"),
        ({"ids": np.array(["b", "a", "c"])}, r"ids must be unique and ascending"),
        ({"ids": np.array(["a", "a", "c"])}, r"ids must be unique and ascending"),
        ({"labels": np.array([0, 1, 3], dtype=np.int16)}, r"labels must lie in 0\.\.2"),
        ({"labels": np.array([0, -1, 2], dtype=np.int16)}, r"labels must lie in 0\.\.2"),
        ({"labels": np.array([0, 1], dtype=np.int16)}, r"labels has 2 entries: expected 3"),
        ({"speakers": np.array(["s"])}, r"speakers has 1 entries: expected 3"),
        ({"columns": {"x": np.arange(2)}, "splits": {"x": np.array(["a"] * 3)}}, r"x has 2 entries: expected 3"),
    ],
)
def test_a_corpus_that_contradicts_itself_is_refused(changes: dict[str, Any], message: str) -> None:
    parts = {"name": "sample", "ids": np.array(["a", "b", "c"]), "labels": np.array([0, 1, 2], dtype=np.int16)}
    with pytest.raises(CorpusError, match=message):
        Corpus(**({"classes": ("angry", "happy", "sad")} | parts | changes))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["sad", "angry", "sad"], ("angry", "sad")),
        (["10", "2", "1", "0"], ("0", "1", "2", "10")),
        (["10", "-2", "+1", "2.0"], ("-2", "+1", "2.0", "10")),
        (["01", "1", "10", "9"], ("01", "1", "9", "10")),
        (["10", "2", "other"], ("10", "2", "other")),
        (["0.5", "10", "2"], ("0.5", "10", "2")),
        ([str(2**70), str(2**70 + 1), "3"], ("3", str(2**70), str(2**70 + 1))),
        ([], ()),
    ],
)
def test_classes_are_ordered_by_alphabet_and_whole_numbers_as_numbers(
    names: list[str], expected: tuple[str, ...]
) -> None:
    assert order_classes(names) == order_classes(names[::-1]) == expected


def test_an_id_in_another_unicode_form_is_found_if_only_one_can_be_meant() -> None:
    ids = np.array(sorted(["a\u0301", "m\u00fcller_01", "o\u0308", "\u00f6", "z"]))
    corpus = Corpus("x", ids, np.zeros(5, dtype=np.int16), ("a", "b"))
    assert corpus.ids[corpus.find(["mu\u0308ller_01", "\u00e1", "z"])].tolist() == ["m\u00fcller_01", "a\u0301", "z"]
    assert corpus.ids[corpus.find(["o\u0308", "\u00f6"])].tolist() == ["o\u0308", "\u00f6"]
    two = replace(corpus, ids=np.array(["a\u0307\u0323", "a\u0323\u0307", "b", "c", "d"]))
    with pytest.raises(UnknownNameError, match="1 of 1 utterances are not in this corpus"):
        two.find(["\u1ea1\u0307"])


def test_ids_are_found_in_the_order_asked_for_and_unknown_ones_are_counted() -> None:
    corpus = make_corpus()
    assert corpus.find(["u0007", "u0000", "u0007"]).tolist() == [7, 0, 7]
    with pytest.raises(
        UnknownNameError, match=r"^2 of 3 utterances are not in this corpus, the first is 'v': expected"
    ):
        corpus.find(["u0001", "v", ""])


def test_the_rows_meant_are_the_test_part_unless_another_is_named() -> None:
    corpus = make_corpus()
    assert corpus.rows().tolist() == [8, 9, 10, 11]
    assert corpus.rows("train").tolist() == list(range(8))
    assert len(corpus.rows("all")) == 12
    with pytest.raises(UnknownNameError, match=r"^unknown part 'tset': expected one of test \(nearest\), train, all$"):
        corpus.rows("tset")
    with pytest.raises(UnknownNameError, match=r"^unknown split 'usua': expected one of usual \(nearest\)"):
        corpus.rows(split="usua")


def test_an_updated_corpus_gains_a_split_and_keeps_the_members(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    before, member = get_bytes(store.path), store.read_member("tiny@20")
    grown = store.corpus.with_split("halves", np.array(["train", "test"] * 6))
    store.update_corpus(grown)
    assert store.corpus.rows(split="halves").tolist() == [1, 3, 5, 7, 9, 11]
    assert_same_corpus(Store(store.path).corpus, grown)
    assert_same_member(Store(store.path).read_member("tiny@20"), member)
    assert {file for file, held in get_bytes(store.path).items() if before.get(file) != held} == {"corpus.h5"}


def test_another_corpus_does_not_take_the_place_of_the_stores_own(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    before = get_bytes(store.path)
    with pytest.raises(
        StoreError, match=r"holds another corpus \(sample, 12 utterances\) than the one given \(other, 9"
    ):
        store.update_corpus(make_corpus(9, name="other"))
    assert get_bytes(store.path) == before


def make_plain(labels: dict[str, str], classes: tuple[str, ...] | None = None) -> Corpus:
    ids = sorted(labels)
    classes = classes or tuple(sorted(set(labels.values())))
    places = np.array([classes.index(labels[utterance]) for utterance in ids], dtype=np.int16)
    return Corpus(name="plain", ids=np.array(ids), labels=places, classes=classes)


BEFORE = {"u1": "fear", "u2": "joy", "u3": "joy", "u4": "fear"}


@pytest.mark.parametrize(
    ("given", "classes", "expected"),
    [
        (BEFORE, None, ""),
        (BEFORE | {"u3": "fear"}, None, "labels that differ: 1 of 4, the first that of 'u3' (joy there, fear given)"),
        (BEFORE | {"u5": "joy", "u0": "joy"}, None, "ids given but not there: 2, the first 'u0'"),
        ({"u1": "fear", "u2": "joy"}, None, "ids there but not given: 2, the first 'u3'"),
        ({"v1": "fear", "u2": "joy", "u3": "joy", "u4": "fear"}, None,
         "ids given but not there: 1, the first 'v1'; ids there but not given: 1, the first 'u1'"),
        (BEFORE | {"u4": "Fear"}, None, "classes given but not there: 1, the first 'Fear'; labels that differ: 1 of 4, "
         "the first that of 'u4' (fear there, Fear given)"),
        ({name: label.title() for name, label in BEFORE.items()}, None, "classes given but not there: 2, the first "
         "'Fear'; classes there but not given: 2, the first 'fear'; labels that differ: 4 of 4, the first that of 'u1' "
         "(fear there, Fear given)"),
        (BEFORE, ("joy", "fear"), "the classes are in another order (fear, joy there; joy, fear given)"),
        ({"v1": "fear", "v2": "joy"}, None,
         "ids given but not there: 2, the first 'v1'; ids there but not given: 4, the first 'u1'"),
    ],
)  # fmt: skip
def test_what_makes_another_corpus_is_said_with_the_first_example(
    tmp_path: Path, given: dict[str, str], classes: tuple[str, ...] | None, expected: str
) -> None:
    own, other = make_plain(BEFORE), make_plain(given, classes)
    assert own.describe_difference(other) == expected
    assert (own.digest == other.digest) == (expected == "")
    store = Store.create(tmp_path / "store", own)
    if expected:
        with pytest.raises(StoreError, match=re.escape(f": {expected}; its members rest on these, so choose another")):
            store.update_corpus(other)
    else:
        store.update_corpus(other)


def test_a_store_is_not_made_where_something_else_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"is there and not empty: expected a new folder, or an empty one"):
        Store.create(tmp_path, make_corpus())
    with pytest.raises(StoreError, match=r"notes.txt is there and not empty"):
        Store.create(tmp_path / "notes.txt", make_corpus())
    store = make_store(tmp_path / "store")
    with pytest.raises(ExistsError, match=r"is a store already: choose another `store`, or remove it first$"):
        Store.create(store.path, make_corpus())
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_store_is_made_in_an_empty_folder_and_beside_what_a_killed_writer_left(tmp_path: Path) -> None:
    (tmp_path / ".corpus.h5.0123456789ab.partial").write_bytes(b"torn")
    Store.create(tmp_path, make_corpus())
    assert_same_corpus(Store(tmp_path).corpus, make_corpus())


def test_a_written_corpus_is_not_overwritten_unasked(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.h5", make_corpus())
    with pytest.raises(ExistsError, match=r"corpus.h5 is there already: nothing written is overwritten$"):
        write_corpus(tmp_path / "corpus.h5", make_corpus(9))
    assert len(read_corpus(tmp_path / "corpus.h5")) == 12


@pytest.mark.parametrize("found", ["missing", "empty", "file"])
def test_where_there_is_no_store_the_way_to_one_is_named(tmp_path: Path, found: str) -> None:
    if found == "empty":
        (tmp_path / found).mkdir()
    elif found == "file":
        (tmp_path / found).write_text("x")
    with pytest.raises(StoreError, match=r"^no store at .*: .*; make one with `init\(\)`"):
        Store(tmp_path / found)


def test_a_member_file_in_the_corpus_place_is_told_apart(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    (store.path / "corpus.h5").write_bytes(store.member_path("tiny", 10).read_bytes())
    with pytest.raises(FormatError, match=r"corpus.h5: is of format 'ser-store/member': expected 'ser-store/corpus'$"):
        Store(store.path).corpus  # noqa: B018


def test_every_member_of_the_store_is_of_its_corpus(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    other = make_corpus(name="other").with_split("x", np.array(["train"] * 12))
    store.write_member(make_member(other, "tiny", 30))  # the same utterances under another name
    assert store.member_names() == ["tiny@10", "tiny@20", "tiny@30"]
