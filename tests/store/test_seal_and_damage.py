"""Damage: every byte counts, no wrong number is ever returned, and only stated problems come out."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_samples import seal
from store_samples import (
    assert_same_array,
    assert_same_corpus,
    assert_same_member,
    find_problem_files,
    get_problem,
    make_member,
    make_store,
)

from ser_store_h5.corpus_file import read_corpus
from ser_store_h5.errors import FormatError, IntegrityError, SerstoreError
from ser_store_h5.hdf5.seal import SEAL_BYTES, check_magic, check_seal
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

MEMBER, CORPUS = "runs/tiny/step-000010.h5", "corpus.h5"
FLIPS = 1_000
FEW = np.array([3, 17, 31], dtype=np.int32)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of forty utterances and one member."""
    store = make_store(tmp_path_factory.mktemp("whole") / "store", n=40)
    said = np.arange(40, dtype=np.int16) % 3
    store.write_member(make_member(store.corpus, "tiny", 10, hidden=16, predicted=said), replace=True)
    store.remove("tiny@20")
    return store


READS: dict[str, dict[str, Callable[[Store], Any]]] = {
    CORPUS: {"corpus": lambda store: read_corpus(store.path / CORPUS)},
    MEMBER: {
        "member": lambda store: store.read_member("tiny@10"),
        "info": lambda store: store.describe_member("tiny@10"),
        "predictions": lambda store: store.predictions(["tiny@10"], FEW),
        "pooled": lambda store: store.pooled("tiny@10", FEW),
    },
}
SAME: dict[str, Callable[[Any, Any], None]] = {"corpus": assert_same_corpus, "member": assert_same_member}


@pytest.fixture(scope="module")
def answers(whole: Store) -> dict[str, Any]:
    """What every reading call says of the undamaged store."""
    return {name: call(whole) for calls in READS.values() for name, call in calls.items()}


def count_stated(store: Store, file: str, answers: dict[str, Any]) -> int:
    """How many reads of a file state a problem; the others must give the right answer."""
    stated = 0
    for name, call in READS[file].items():
        found: list[Any] = []
        if get_problem(lambda call=call, found=found: found.append(call(store))):  # type: ignore[misc]
            stated += 1
        elif name == "info":
            assert found[0] == answers[name]
        else:
            SAME.get(name, assert_same_array)(found[0], answers[name])
    return stated


@pytest.fixture
def original(whole: Store, request: pytest.FixtureRequest) -> Iterator[tuple[str, bytes]]:
    """The file to be damaged and its bytes, which are put back."""
    file = str(request.param)
    content = (whole.path / file).read_bytes()
    yield file, content
    (whole.path / file).write_bytes(content)


both = pytest.mark.parametrize("original", [MEMBER, CORPUS], indirect=True)


def flip(content: bytes, seed: int) -> Iterator[bytes]:
    """``FLIPS`` copies of the content, each with one byte changed."""
    random = np.random.default_rng(seed)
    for place in random.choice(len(content), size=FLIPS, replace=False):
        changed = bytearray(content)
        changed[place] ^= int(random.integers(1, 256))
        yield bytes(changed)


@both
def test_every_flipped_byte_is_found_and_no_read_gives_a_wrong_number(
    whole: Store, answers: dict[str, Any], original: tuple[str, bytes]
) -> None:
    file, content = original
    path = whole.path / file
    noticed = 0
    for changed in flip(content, seed=1):
        path.write_bytes(changed)
        assert find_problem_files(whole.path) == [file]
        noticed += count_stated(whole, file, answers) > 0
    assert noticed > FLIPS / 3  # the others fell into the seal's hash and into gaps that hold nothing


def test_every_byte_of_the_structure_of_a_small_member_counts(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    path, expected = store.member_path("tiny", 10), store.read_member("tiny@10")
    content = path.read_bytes()
    for place in range(min(2_048, len(content))):
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << place % 8)]) + content[place + 1 :])
        found: list[Any] = []
        if not get_problem(lambda found=found: found.append(store.read_member("tiny@10"))):  # type: ignore[misc]
            assert_same_member(found[0], expected)
        if place % 16 == 0:  # reading is cheaper than verifying
            assert find_problem_files(store.path) == ["runs/tiny/step-000010.h5"]


@both
def test_bytes_flipped_before_the_file_was_sealed_give_no_wrong_number_either(
    whole: Store, answers: dict[str, Any], original: tuple[str, bytes]
) -> None:
    file, content = original
    path = whole.path / file
    for changed in itertools.islice(flip(content, seed=2), 150):
        path.write_bytes(changed)
        seal(path)
        count_stated(whole, file, answers)


@both
def test_a_file_cut_short_or_grown_is_refused_by_every_reader(
    whole: Store, answers: dict[str, Any], original: tuple[str, bytes]
) -> None:
    file, content = original
    path = whole.path / file
    random = np.random.default_rng(3)
    lengths = {0, 1, 66, 67, 511, 512, 513, len(content) - 1, *random.integers(0, len(content), size=40).tolist()}
    tails = (b"\0", b"\n", b"\0" * 512, content)
    for changed in [*(content[:length] for length in lengths), *(content + tail for tail in tails)]:
        path.write_bytes(changed)
        assert find_problem_files(whole.path) == [file]
        assert count_stated(whole, file, answers) == len(READS[file])
        if len(changed) >= SEAL_BYTES:
            with pytest.raises(
                IntegrityError, match=rf"has {len(changed)} bytes: expected {len(content)}; the file is"
            ):
                check_magic(path)


@both
def test_a_file_cut_short_before_it_was_sealed_gives_no_wrong_number(
    whole: Store, answers: dict[str, Any], original: tuple[str, bytes]
) -> None:
    file, content = original
    path = whole.path / file
    for length in np.random.default_rng(4).integers(SEAL_BYTES, len(content), size=40).tolist():
        path.write_bytes(content[:length])
        seal(path)
        assert count_stated(whole, file, answers) == len(READS[file])


@both
def test_a_block_of_zeros_is_found_wherever_it_lies(
    whole: Store, answers: dict[str, Any], original: tuple[str, bytes]
) -> None:
    file, content = original
    path = whole.path / file
    for start in range(0, len(content), 512):
        end = min(start + 512, len(content))
        if not any(content[start:end]):
            continue
        path.write_bytes(content[:start] + bytes(end - start) + content[end:])
        assert find_problem_files(whole.path) == [file]
        count_stated(whole, file, answers)


def find_dataset(content: bytes, values: Any) -> int:
    """Where an array's bytes lie in the file."""
    place = content.index(np.ascontiguousarray(values).tobytes())
    assert place > SEAL_BYTES
    return place


@pytest.mark.parametrize("name", ["rows", "logits", "pooled", "predicted"])
def test_damage_to_an_array_is_put_down_to_file_and_dataset(tmp_path: Path, name: str) -> None:
    store = make_store(tmp_path / "store")
    said = np.array([0, 1, 2, 2] * 3, dtype=np.int16)
    store.write_member(make_member(store.corpus, "tiny", 30, predicted=said))
    path = store.member_path("tiny", 30)
    content = bytearray(path.read_bytes())
    content[find_dataset(bytes(content), getattr(store.read_member("tiny@30"), name))] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        IntegrityError, match=rf"step-000030.h5: {name}: its bytes are damaged; restore the file from a"
    ):
        store.read_member("tiny@30")
    (problem,) = verify_store(store.path).problems
    assert (problem.file, problem.problem.split(":")[0]) == ("runs/tiny/step-000030.h5", name)


def test_members_that_changed_places_are_both_named(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    one, two = store.member_path("tiny", 10), store.member_path("tiny", 20)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert find_problem_files(store.path) == ["runs/tiny/step-000010.h5", "runs/tiny/step-000020.h5"]


def test_a_whole_store_verifies_and_says_how_much_was_read(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    files = [file for file in store.path.rglob("*") if file.is_file()]
    verification = verify_store(store.path)
    assert verification.ok
    assert (verification.files, verification.bytes) == (len(files), sum(file.stat().st_size for file in files))


def test_a_store_that_lost_its_corpus_is_no_store(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    (store.path / "corpus.h5").unlink()
    with pytest.raises(SerstoreError, match=r"^no store at .*: there is no corpus.h5 in it; make one with"):
        verify_store(store.path)


@pytest.mark.parametrize("content", [b"", b"x", b"\x89HDF\r\n\x1a\n" + bytes(2000), b"\0" * 512, b"x" * 5000])
def test_a_file_without_a_seal_is_refused_before_libhdf5_sees_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "corpus.h5"
    path.write_bytes(content)
    for call in (check_magic, check_seal, read_corpus):
        with pytest.raises(FormatError, match=r"corpus.h5: not a file of this format: expected the seal of FORMAT.md"):
            call(path)


@pytest.mark.parametrize("stated", [b"0" * 20, b"\n" * 20, b"-" * 20, "٣".encode() * 10, b"9" * 20])
def test_a_seal_that_states_no_such_size_is_refused_in_one_line(whole: Store, tmp_path: Path, stated: bytes) -> None:
    path = tmp_path / "corpus.h5"
    content = (whole.path / CORPUS).read_bytes()
    start = content.index(b"size ") + 5
    path.write_bytes(content[:start] + stated + content[start + 20 :])
    assert isinstance(get_problem(lambda: check_magic(path)), IntegrityError)


def test_a_seal_holds_for_the_file_it_was_written_for(tmp_path: Path) -> None:
    path = tmp_path / "any"
    path.write_bytes(bytes(SEAL_BYTES) + b"body")
    seal(path)
    check_seal(path)
    assert (path.stat().st_size, path.read_bytes()[-5:]) == (516, b"\nbody")
    path.write_bytes(path.read_bytes()[:-1] + b"i")
    with pytest.raises(
        IntegrityError, match=r"any: its bytes are not those that were written; restore the file from a"
    ):
        check_seal(path)
