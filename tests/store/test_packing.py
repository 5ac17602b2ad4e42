"""Packed stores: one file that reads like the folder, made and unmade without a number changing."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from store_samples import (
    assert_one_line,
    assert_same_array,
    assert_same_corpus,
    assert_same_member,
    get_bytes,
    get_problem,
    make_corpus,
    make_member,
    make_store,
)

from ser_store_h5.corpus import Corpus
from ser_store_h5.errors import ExistsError, FormatError, IntegrityError, StoreError, UnknownNameError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.member import Member
from ser_store_h5.pack.packing import pack, unpack
from ser_store_h5.runs import RunRecord, Selection
from ser_store_h5.store import Store

ALL = np.arange(12, dtype=np.int32)
LABELS = np.int16(ALL % 3)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three runs: one with a selected step and curves, one of labels and of pooled alone, one without members."""
    made = make_store(tmp_path / "store")
    made.update_run(replace(made.run("tiny"), selected=Selection(10, "best", "test", "accuracy 0.5")))
    made.add_run(RunRecord("other.1", "import", "elsewhere"))
    made.write_member(make_member(made.corpus, "other.1", 0, pooled=None, logits=None, predicted=LABELS))
    made.write_member(make_member(made.corpus, "other.1", 1_000_000, logits=None, rows=[3, 8]))
    made.add_run(RunRecord("begun", "finetune", "tiny-hubert", state="running"))
    return made


@pytest.fixture
def packed(store: Store, tmp_path: Path) -> Store:
    pack(store, tmp_path / "store.h5")
    return Store(tmp_path / "store.h5")


def assert_same_store(found: Store, expected: Store) -> None:
    """Everything but where it and its recordings lie."""
    assert found.corpus.audio_root is None
    assert_same_corpus(found.corpus, replace(expected.corpus, audio_root=None))
    assert (found.runs(), found.member_names()) == (expected.runs(), expected.member_names())
    for run in expected.runs():
        assert found.run(run) == expected.run(run)
        assert found.curves(run) == expected.curves(run)
        assert found.steps(run) == expected.steps(run)
        assert found.place.read_texts(run) == expected.place.read_texts(run)
    for name in expected.member_names():
        assert_same_member(found.read_member(name), expected.read_member(name))


def test_every_reading_method_says_of_the_pack_what_it_says_of_the_folder(store: Store, packed: Store) -> None:
    assert_same_store(packed, store)
    for name in ("tiny", "tiny@20", "other.1@0"):
        assert packed.resolve(name) == store.resolve(name)
    assert packed.selected_step("tiny") == 10
    assert (packed.has_run("tiny"), packed.has_run("absent")) == (True, False)
    for on in (None, "train", "all"):
        assert_same_array(packed.logits(["tiny", "tiny@20"], on=on), store.logits(["tiny", "tiny@20"], on=on))
        assert_same_array(packed.predictions(["other.1@0"], on=on), store.predictions(["other.1@0"], on=on))
        assert_same_array(packed.pooled("tiny", on=on), store.pooled("tiny", on=on))
    for ours, theirs in zip(packed.members(), store.members(), strict=True):
        assert replace(ours, bytes=0) == replace(theirs, bytes=0)
        assert sum(ours.dataset_bytes.values()) <= ours.bytes < theirs.bytes
    assert packed.header.digest == store.header.digest
    assert (packed.is_packed, store.is_packed) == (True, False)
    assert repr(packed) == f"Store({str(packed.path)!r})"


def test_sizes_are_told_by_run_and_add_up_to_the_file(store: Store, packed: Store) -> None:
    runs = {run: packed.place.measure_run(run) for run in packed.runs()}
    assert runs["tiny"] > runs["begun"] > 0
    assert sum(runs.values()) + packed.place.measure_corpus() == packed.path.stat().st_size
    files = [file.stat().st_size for file in store.path.rglob("*") if file.is_file()]
    assert sum(map(store.place.measure_run, store.runs())) + store.place.measure_corpus() == sum(files)
    (store.run_folder("tiny") / "checkpoints").mkdir()
    (store.run_folder("tiny") / "checkpoints" / "model").write_bytes(b"x" * 100)
    (store.run_folder("tiny") / "checkpoints" / "link").symlink_to(store.path / "corpus.h5")
    assert store.place.measure_checkpoints("tiny") == 100
    assert packed.place.measure_checkpoints("tiny") == 0


def test_unpacked_it_is_the_same_folder_byte_for_byte_but_for_files_of_hdf5(
    store: Store, packed: Store, tmp_path: Path
) -> None:
    again = unpack(packed.path, tmp_path / "again")
    assert_same_store(again, store)
    ours, theirs = get_bytes(again.path), get_bytes(store.path)
    assert ours.keys() == theirs.keys()
    assert [file for file in ours if not file.endswith(".h5") and ours[file] != theirs[file]] == []
    assert verify_store(again.path).ok
    pack(again, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == packed.path.read_bytes()


def test_unknown_names_in_a_pack_offer_the_nearest(packed: Store) -> None:
    with pytest.raises(
        UnknownNameError, match=r"^unknown member 'tiny@11': expected one of tiny@10 \(nearest\), tiny@20"
    ):
        packed.logits(["tiny@11"])
    with pytest.raises(UnknownNameError, match=r"^unknown run 'tinny': expected one of tiny \(nearest\), begun"):
        packed.run("tinny")


def test_a_pack_is_never_written_to(packed: Store) -> None:
    before = packed.path.read_bytes()
    changes: dict[str, Callable[[], object]] = {
        "write_member": lambda: packed.write_member(make_member(make_corpus(), "tiny", 30)),
        "add_run": lambda: packed.add_run(RunRecord("new", "import", "x")),
        "update_run": lambda: packed.update_run(packed.run("tiny")),
        "append_curve": lambda: packed.append_curve("tiny", step=1),
        "remove member": lambda: packed.remove("tiny@10"),
        "remove run": lambda: packed.remove("tiny"),
        "update_corpus": lambda: packed.update_corpus(packed.corpus),
        "run_folder": lambda: packed.run_folder("tiny"),
        "member_path": lambda: packed.member_path("tiny", 10),
    }
    for change in changes.values():
        with pytest.raises(
            StoreError,
            match=r"store.h5 is a packed store, which is never changed: .*make one with `unpack\(\)`$",
        ):
            change()
    assert packed.path.read_bytes() == before


def test_a_pack_of_logits_leaves_out_pooled_and_members_that_hold_nothing_else(store: Store, tmp_path: Path) -> None:
    done = pack(store, tmp_path / "logits.h5", with_pooled=False)
    assert done.members == ("other.1@0", "tiny@10", "tiny@20")
    assert done.bytes == (tmp_path / "logits.h5").stat().st_size
    found = Store(tmp_path / "logits.h5")
    assert [info.pooled for info in found.members()] == [None, None, None]
    assert_same_array(found.logits(["tiny@20"]), store.logits(["tiny@20"]))
    assert found.runs() == store.runs()
    assert verify_store(found.path).ok


def test_a_pack_of_some_members_has_their_runs_alone(store: Store, tmp_path: Path) -> None:
    seen: list[str] = []

    def watch(names: Any, /, *, total: int, label: str) -> Iterator[Any]:
        assert (total, label) == (2, "packing")
        for name in names:
            seen.append(name)
            yield name

    done = pack(store, tmp_path / "some.h5", members=["tiny@20", "other.1@0", "tiny@20"], progress=watch)
    assert done.members == ("other.1@0", "tiny@20") == tuple(seen)
    found = Store(tmp_path / "some.h5")
    assert (found.runs(), found.member_names()) == (["other.1", "tiny"], ["other.1@0", "tiny@20"])
    with pytest.raises(StoreError, match=r"^members is the text 'tiny': expected a sequence of names$"):
        pack(store, tmp_path / "none.h5", members="tiny")
    with pytest.raises(UnknownNameError, match=r"^unknown member 'tinny'"):
        pack(store, tmp_path / "none.h5", members=["tinny"])
    assert not (tmp_path / "none.h5").exists()


def test_a_pack_can_be_packed_again(packed: Store, tmp_path: Path) -> None:
    pack(packed, tmp_path / "less.h5", members=["tiny@10"])
    assert_same_member(Store(tmp_path / "less.h5").read_member("tiny"), packed.read_member("tiny@10"))


def test_an_empty_store_can_be_packed(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store", make_corpus())
    assert pack(store, tmp_path / "store.h5").members == ()
    found = Store(tmp_path / "store.h5")
    assert (found.runs(), found.members()) == ([], [])
    assert verify_store(found.path).ok
    assert_same_store(unpack(found.path, tmp_path / "again"), store)


def test_nothing_that_is_there_is_overwritten(store: Store, packed: Store, tmp_path: Path) -> None:
    before = packed.path.read_bytes()
    with pytest.raises(ExistsError, match=r"store.h5 is there already: nothing written is overwritten; name a new"):
        pack(store, packed.path)
    assert packed.path.read_bytes() == before
    with pytest.raises(ExistsError, match=r"store is there and not empty: nothing written is overwritten; name a"):
        unpack(packed.path, store.path)
    with pytest.raises(ExistsError, match=r"store.h5 is there and not empty"):
        unpack(packed.path, packed.path)
    with pytest.raises(StoreError, match=r"store is a folder already: expected a file that `pack\(\)` wrote$"):
        unpack(store.path, tmp_path / "again")
    (tmp_path / "empty").mkdir()
    assert_same_store(unpack(packed.path, tmp_path / "empty"), store)


def test_a_file_that_is_no_pack_is_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x" * 1000)
    with pytest.raises(StoreError, match=r"^no store at .*text: it is a file that `pack\(\)` did not write; make"):
        Store(tmp_path / "text")
    with pytest.raises(
        FormatError, match=r"step-000010.h5: is of format 'ser-store/member': expected 'ser-store/pack'"
    ):
        Store(store.member_path("tiny", 10))


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Within the block no file grows beyond ``size`` bytes, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.6, 0.9, 0.98])
def test_a_full_disk_is_said_in_one_line_and_leaves_nothing_behind(tmp_path: Path, share: float) -> None:
    store = make_store(tmp_path / "store", n=1000, hidden=64)
    pack(store, tmp_path / "whole.h5")
    whole, before = tmp_path / "whole.h5", get_bytes(tmp_path)
    for path, change in (
        ("new.h5", lambda: pack(store, tmp_path / "new.h5")),
        ("new", lambda: unpack(whole, tmp_path / "new")),
    ):
        size = whole.stat().st_size if path == "new.h5" else store.member_path("tiny", 10).stat().st_size
        with limited(int(size * share)), pytest.raises(StoreError) as problem:
            change()
        assert_one_line(problem.value)
        assert f"{tmp_path / path}: could not be written (File too large); nothing there was changed" in str(
            problem.value
        )
        assert get_bytes(tmp_path) == before
        assert sorted(tmp_path.iterdir()) == [store.path, whole]
    pack(store, tmp_path / "new.h5")  # libhdf5 remembers nothing of what failed
    assert (tmp_path / "new.h5").read_bytes() == whole.read_bytes()


def test_a_damaged_member_is_not_packed_and_not_unpacked(store: Store, packed: Store, tmp_path: Path) -> None:
    logits = store.read_member("tiny@20").logits
    assert logits is not None
    for path in (store.member_path("tiny", 20), packed.path):
        content = bytearray(path.read_bytes())
        content[content.index(logits.tobytes())] ^= 1
        path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"step-000020.h5: logits: its bytes are damaged; restore the file"):
        pack(store, tmp_path / "new.h5")
    with pytest.raises(IntegrityError, match=r"store.h5: runs/tiny/step-000020: logits: its bytes are damaged; rest"):
        unpack(packed.path, tmp_path / "new")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["store", "store.h5"]


def test_an_interrupt_while_packing_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    def interrupt(names: Any, /, *, total: int, label: str) -> Iterator[Any]:
        yield names[0]
        raise KeyboardInterrupt

    pack(store, tmp_path / "store.h5")
    with pytest.raises(KeyboardInterrupt):
        pack(store, tmp_path / "new.h5", progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        unpack(tmp_path / "store.h5", tmp_path / "new", progress=interrupt)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["store", "store.h5"]


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_kill_while_packing_or_unpacking_leaves_all_or_nothing(tmp_path: Path) -> None:
    """Kills fall between each member and the next, and before and after all: the process waits for leave to go on."""
    store = make_store(tmp_path / "store", n=2000, hidden=256)
    pack(store, tmp_path / "store.h5")
    call = """
import sys, ser_store_h5.pack.packing as p, ser_store_h5.store as s
def wait():
    print("at", flush=True)
    sys.stdin.readline()
def progress(items, **_):
    for item in items:
        wait()
        yield item
    wait()
p.pack(s.Store(sys.argv[1]), sys.argv[3], progress=progress)
p.unpack(sys.argv[2], sys.argv[4], progress=progress)
wait()
"""
    random, each = np.random.default_rng(0), len(store.member_names()) + 1
    for turn in range(2 * each + 2):
        new, folder, is_last = tmp_path / f"new-{turn}.h5", tmp_path / f"new-{turn}", turn == 2 * each + 1
        arguments = [str(place) for place in (store.path, tmp_path / "store.h5", new, folder)]
        command = [sys.executable, "-c", call, *arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for _ in range(min(turn, 2 * each)):
                assert process.stdout.readline() == b"at\n"
                process.stdin.write(b"\n")
            if turn == 0 or is_last:
                assert process.stdout.readline() == b"at\n"
            time.sleep(random.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
        # Each is made whole in the one turn that neither statement holds for.
        assert new.exists() if turn > each else turn == each or not new.exists()
        assert folder.exists() if is_last else turn == 2 * each or not folder.exists()
        if new.exists():
            assert new.read_bytes() == (tmp_path / "store.h5").read_bytes()
        if folder.exists():
            assert verify_store(folder).ok
            assert_same_store(Store(folder), store)
        for found in tmp_path.glob(".*.partial"):
            looks_like_a_store = get_problem(lambda found=found: Store(found)) is None  # type: ignore[misc]
            assert not looks_like_a_store or verify_store(found).ok


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
# No path of a machine, which a pack leaves out: see test_private_packs.py.
placeless = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/\\"), max_size=6)
run_names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,12}[A-Za-z0-9]\Z").filter(
    lambda name: (
        name.split(".")[0].lower() not in {"con", "prn", "aux", "nul"} and name[:3].lower() not in ("com", "lpt")
    )
)


def finite(shape: tuple[int, ...], dtype: str) -> st.SearchStrategy[Any]:
    width: Any = 8 * int(dtype[1])
    return arrays.arrays(np.dtype(dtype), shape, elements=st.floats(width=width, allow_nan=False, allow_infinity=False))


@st.composite
def stores(draw: st.DrawFn) -> tuple[Corpus, list[Member]]:
    ids = np.unique(np.array(draw(st.lists(plain.filter(bool), min_size=1, max_size=6)), dtype=np.str_))
    n, classes = len(ids), tuple(draw(st.lists(plain.filter(bool), min_size=2, max_size=4, unique=True)))
    texts = st.lists(plain, min_size=n, max_size=n).map(lambda said: np.array(said, dtype=np.str_))
    words = st.lists(placeless, min_size=n, max_size=n).map(lambda said: np.array(said, dtype=np.str_))
    names = plain.filter(lambda name: name and "/" not in name and name not in {".", ".."})
    corpus = Corpus(
        name=draw(plain),
        ids=ids,
        labels=draw(arrays.arrays(np.int16, n, elements=st.integers(0, len(classes) - 1))),
        classes=classes,
        speakers=draw(st.none() | texts),
        columns=draw(st.dictionaries(names, words | arrays.arrays("<i8", n) | arrays.arrays("<f8", n), max_size=2)),
        splits=draw(st.dictionaries(names, texts, max_size=2)),
        paths=draw(st.none() | texts),
        audio_root=draw(st.none() | plain.filter(bool)),
        audio_digests=draw(st.none() | arrays.arrays(np.uint8, (n, 32))),
    )
    members = []
    for run in draw(st.lists(run_names, max_size=3, unique_by=str.lower)):
        for step in draw(st.sets(st.integers(0, 10**12 - 1), max_size=3)):
            rows = np.array(sorted(draw(st.sets(st.integers(0, n - 1), min_size=1))), dtype=np.int32)
            held = draw(st.sets(st.sampled_from(["logits", "f2", "f4", "predicted"]), min_size=1))
            shape, widths = (len(rows), draw(st.integers(1, 4))), sorted(held & {"f2", "f4"})
            labels = arrays.arrays(np.int16, len(rows), elements=st.integers(0, len(classes) - 1))
            member = Member(
                run,
                step,
                rows,
                logits=draw(finite((len(rows), len(classes)), "f4")) if "logits" in held else None,
                pooled=draw(finite(shape, widths[0])) if widths else None,
                predicted=draw(labels) if "predicted" in held else None,
                provenance=draw(st.dictionaries(placeless, placeless | st.integers() | st.none(), max_size=2)),
            )
            members.append(member)
    return corpus, members


@given(held=stores())
@settings(max_examples=40)
def test_any_store_is_packed_and_unpacked_without_a_bit_changing(
    tmp_path_factory: pytest.TempPathFactory, held: tuple[Corpus, list[Member]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    corpus, members = held
    store = Store.create(folder / "store", corpus)
    for run in {member.run for member in members}:
        store.add_run(RunRecord(run, "import", "ä", details={"ø": [1.5, None]}))
    for member in members:
        store.write_member(member)
        store.append_curve(member.run, step=member.step, eval_loss=0.1)
    pack(store, folder / "store.h5")
    packed = Store(folder / "store.h5")
    assert_same_store(packed, store)
    assert_same_store(unpack(folder / "store.h5", folder / "again"), store)
    assert verify_store(folder / "store.h5").problems == ()
    for member in members:
        assert_same_member(packed.read_member(member.name), member)
