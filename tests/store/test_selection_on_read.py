"""Reading a part: by rows or by a part of a split, of one member or many, and of a large store no more than that."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import assert_same_array, assert_same_corpus, make_member, make_store

from ser_store_h5.corpus import Corpus
from ser_store_h5.errors import IntegrityError, StoreError, UnknownNameError
from ser_store_h5.hdf5 import arrays
from ser_store_h5.hdf5.attributes import decode_strings, encode_strings
from ser_store_h5.member import Member
from ser_store_h5.pack.packing import pack
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

N = 60_000
TEST = [8, 9, 10, 11]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


def make_large_corpus() -> Corpus:
    rows = np.arange(N)
    parts = np.where(rows < N - 20, "train", "test")
    ids = np.array([f"u{row:06}" for row in rows])
    return Corpus("large", ids, np.int16(rows % 3), ("a", "b", "c"), splits={"usual": parts}, default_split="usual")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store whose arrays span many chunks; every number tells which utterance it is about."""
    folder = tmp_path_factory.mktemp("large")
    store = Store.create(folder / "store", make_large_corpus())
    store.add_run(RunRecord("wide", "frozen", "mfcc"))
    rows = np.arange(0, N, 2, dtype=np.int32)
    logits = np.stack([rows, rows + 0.25, rows - 1], axis=1).astype(np.float32)
    pooled = np.repeat(rows[:, None], 64, axis=1).astype(np.float32)
    store.write_member(Member("wide", 0, rows, logits=logits, pooled=pooled))
    pack(store, folder / "store.h5")
    return store


def test_a_part_of_a_split_stands_for_its_rows(store: Store) -> None:
    names = ["tiny@20", "tiny@10"]
    rows = {None: TEST, "test": TEST, "train": list(range(8)), "all": list(range(12))}
    for on, meant in rows.items():
        chosen = np.array(meant, dtype=np.int32)
        for read in (store.logits, store.predictions, store.pooled):
            assert_same_array(read(names, on=on), read(names, chosen))
        assert_same_array(store.pooled("tiny", on=on, split="usual"), store.pooled("tiny", chosen))
    assert store.logits(names).shape == (2, 4, 3)
    assert store.predictions(names, on="all").shape == (2, 12)
    with pytest.raises(UnknownNameError, match=r"^unknown part 'tset': expected one of test \(nearest\), train, all$"):
        store.logits(names, on="tset")
    with pytest.raises(UnknownNameError, match=r"^unknown split 'usua': expected one of usual \(nearest\)"):
        store.pooled("tiny", split="usua")


def test_pooled_is_of_one_member_or_stacked_and_widened_on_request(store: Store) -> None:
    member = store.read_member("tiny@10").pooled
    assert member is not None
    one = store.pooled("tiny@10", on="all")
    assert_same_array(one, member)
    stacked = store.pooled(["tiny@20", "tiny@10"], on="all")
    assert (stacked.shape, stacked.dtype) == ((2, 12, 8), np.float16)
    assert_same_array(stacked[1], member)
    for dtype in ("float32", np.float32, np.float64):
        assert_same_array(store.pooled("tiny@10", on="all", dtype=dtype), member.astype(dtype))
    assert store.pooled(("tiny@10",)).shape == (1, 4, 8)


def test_stacked_members_of_two_widths_lose_nothing(store: Store) -> None:
    wide = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    store.write_member(make_member(store.corpus, "tiny", 30, pooled=wide))
    for names, place in ((["tiny@10", "tiny@30"], 1), (["tiny@30", "tiny@10"], 0)):
        stacked = store.pooled(names, on="all")
        assert_same_array(stacked[place], wide)
        assert_same_array(stacked[1 - place].astype(np.float16), store.pooled("tiny@10", on="all"))
    with pytest.raises(
        StoreError, match=r"^tiny@30 has float32 pooled representations: expected no narrower a dtype than that$"
    ):
        store.pooled("tiny@30", dtype="float16")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.logits("tiny"), r"^members is the text 'tiny': expected a sequence of names, as \['tiny'\]$"),
        (lambda s: s.predictions("tiny"), r"^members is the text 'tiny': expected a sequence of names"),
        (
            lambda s: s.logits(["tiny"], np.arange(3), on="test"),
            r"^rows and a part of a split were both named: expected",
        ),
        (lambda s: s.pooled("tiny", np.arange(3), split="usual"), r"^rows and a part of a split were both named"),
        (lambda s: s.logits(["tiny"], np.array([0, 12])), r"^rows 0 to 12: expected indices into 12 utterances$"),
        (lambda s: s.logits(["tiny"], np.array([-1])), r"^rows -1 to -1: expected indices into 12 utterances$"),
        (lambda s: s.logits(["tiny"], np.array([2**32])), r"^rows 4294967296 to 4294967296: expected indices into 12"),
        (
            lambda s: s.logits(["tiny"], np.array([0.5])),
            r"^rows are float64 of shape \(1,\): expected one axis of indi",
        ),
        (lambda s: s.logits(["tiny"], np.ones(12, bool)), r"^rows are bool of shape \(12,\): expected one axis"),
        (lambda s: s.logits(["tiny"], np.zeros((2, 2), int)), r"^rows are int64 of shape \(2, 2\): expected one axis"),
        (
            lambda s: s.pooled([]),
            r"^no members were named: expected at least one whose pooled representations to read$",
        ),
        (lambda s: s.pooled("tiny", dtype="int8"), r"^dtype 'int8': expected float16, float32 or float64, or None"),
        (lambda s: s.pooled("tiny", dtype="wide"), r"^dtype 'wide': expected float16, float32 or float64"),
    ],
)
def test_what_cannot_be_meant_is_refused(store: Store, call: Any, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        call(store)


def test_members_of_different_hidden_sizes_are_not_stacked(store: Store) -> None:
    store.write_member(make_member(store.corpus, "tiny", 30, hidden=9))
    with pytest.raises(
        StoreError, match=r"^tiny@30 has 9 hidden dimensions, tiny@10 has 8: expected the same of all to stack them; re"
    ):
        store.pooled(["tiny@10", "tiny@30"])


def test_no_members_and_no_rows_give_empty_arrays_of_the_right_shape(store: Store) -> None:
    assert store.logits([]).shape == (0, 4, 3)
    assert store.predictions(["tiny"], np.array([], dtype=np.int32)).shape == (1, 0)
    assert store.pooled("tiny", []).shape == (0, 8)  # type: ignore[arg-type]


@given(asked=st.lists(st.integers(0, N // 2 - 1).map(lambda half: 2 * half), max_size=40))
@settings(max_examples=25)
def test_rows_of_large_arrays_come_in_the_order_asked_for(large: Store, asked: list[int]) -> None:
    rows = np.array(asked, dtype=np.int32)
    for store in (large, Store(large.path.with_name("store.h5"))):
        assert store.logits(["wide"], rows)[0, :, 0].tolist() == asked
        assert store.pooled("wide", rows)[:, 63].tolist() == asked
        assert store.predictions(["wide"], rows).tolist() == [[1] * len(asked)]


@pytest.mark.parametrize("rows", [slice(None), slice(0, 20_000), slice(100, 25_000, 3), slice(29_000, 30_000)])
def test_ranges_of_large_arrays_are_read_as_they_were_written(large: Store, rows: slice) -> None:
    asked = np.arange(0, N, 2, dtype=np.int32)[rows]
    assert large.pooled("wide", asked)[:, 0].tolist() == asked.tolist()
    assert large.logits(["wide"], asked[::-1])[0, :, 0].tolist() == asked[::-1].tolist()


def count_read() -> int:
    """Bytes that this process has read so far."""
    (line,) = (line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("rchar"))
    return int(line.split()[1])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="this system does not count what a process reads")
def test_of_a_large_store_no_more_is_read_than_rows_a_split_and_the_chunks_asked_for(large: Store) -> None:
    few = np.arange(10_000, 10_020, 2, dtype=np.int32)
    for path in (large.path, large.path.with_name("store.h5")):
        begun = count_read()
        store = Store(path)
        assert len(store.header) == N
        assert count_read() - begun < 150_000
        begun = count_read()
        store.pooled("wide", few)
        assert count_read() - begun < N // 2 * 4 + 2 * arrays.CHUNK_BYTES + 150_000
        begun = count_read()
        store.header.rows("test")
        assert count_read() - begun < 5 * N + 150_000
        assert "corpus" not in vars(store)
    assert large.path.with_name("store.h5").stat().st_size > 8_000_000


def test_damage_to_ids_is_found_by_whoever_reads_them_and_logits_are_none_the_worse(store: Store) -> None:
    expected, path = store.logits(["tiny"]), store.path / "corpus.h5"
    content = bytearray(path.read_bytes())
    content[content.index(b"u0003u0004") + 4] ^= 1
    path.write_bytes(content)
    damaged = Store(store.path)
    assert_same_array(damaged.logits(["tiny"]), expected)
    with pytest.raises(IntegrityError, match=r"corpus.h5: ids: its bytes are damaged; restore the file from a copy$"):
        damaged.corpus  # noqa: B018


def test_the_header_says_what_the_corpus_says(store: Store) -> None:
    corpus, header = store.corpus, store.header
    assert (header.name, header.digest, header.classes) == (corpus.name, corpus.digest, corpus.classes)
    assert (len(header), header.default_split, list(header.splits)) == (12, "usual", ["usual"])
    for on in (None, "all", "test", "train"):
        assert_same_array(header.rows(on), corpus.rows(on))
    assert header.part_names() == corpus.part_names() == ["train", "test"]
    grown = corpus.with_split("halves", np.array(["train", "test"] * 6))
    store.update_corpus(grown)
    assert_same_array(store.logits(["tiny"], split="halves"), store.logits(["tiny"], grown.rows(split="halves")))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(said=st.lists(texts | st.text("ab\0", max_size=4), min_size=1, max_size=12))
@settings(max_examples=60)
def test_texts_are_encoded_as_numpy_encodes_them_and_decoded_again(said: list[str]) -> None:
    strings = np.array(said, dtype=np.str_)
    encoded = encode_strings(strings)
    assert_same_array(encoded, np.char.encode(strings, "utf-8"))
    assert decode_strings(encoded, where="x").tolist() == strings.tolist()


# numpy takes zeros at the end for none.
@given(said=st.sets(texts.map(lambda text: text.rstrip("\0")).filter(bool), min_size=1, max_size=12).map(sorted))
@settings(max_examples=60)
def test_the_digest_of_any_ids_is_that_of_ten_plain_lines(said: list[str]) -> None:
    ids = np.unique(np.array(said, dtype=np.str_))
    corpus = Corpus("any", ids, np.zeros(len(ids), dtype=np.int16), ("ja", "näin"))
    identity = b""
    for text in ["ja", "näin", "", *ids.tolist()]:
        identity += len(text.encode()).to_bytes(4, "little") + text.encode()
    assert corpus.digest == hashlib.sha256(identity + bytes(2 * len(ids))).hexdigest()


def test_a_corpus_of_many_utterances_is_read_as_it_was_written(large: Store) -> None:
    assert_same_corpus(Store(large.path).corpus, make_large_corpus())


def test_threads_may_read_one_store_at_once(large: Store) -> None:
    rows = np.arange(0, N, 600, dtype=np.int32)
    for store in (Store(large.path), Store(large.path.with_name("store.h5"))):
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda start, store=store: store.pooled("wide", rows + start), [0, 2, 4, 6] * 6))  # type: ignore[misc]
        for place, pooled in enumerate(found):
            assert pooled[:, 0].tolist() == (rows + [0, 2, 4, 6][place % 4]).tolist()
