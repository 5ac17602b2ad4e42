"""Checksums of ``run.json`` and ``curves.jsonl``: every byte counts, and files written without them are read."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_samples import find_problem_files, get_problem, make_store

from ser_store_h5.disk.json_objects import Check, check_line, check_record, seal_line, seal_record
from ser_store_h5.errors import FormatError, IntegrityError
from ser_store_h5.integrity.sweeping import gc
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.runs import RunRecord, Selection
from ser_store_h5.store import Store

RECORD, CURVES = "runs/tiny/run.json", "runs/tiny/curves.jsonl"
READS: dict[str, Callable[[Store], Any]] = {
    RECORD: lambda store: store.run("tiny"),
    CURVES: lambda store: store.curves("tiny"),
}
both = pytest.mark.parametrize("file", [RECORD, CURVES])
json_values = st.dictionaries(st.text(), st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = make_store(tmp_path / "store")
    selected = Selection(10, "best", "valid", "accuracy 0.5 at step 10")
    details = {"seed": 101, "recipe": {"learning_rate": 3e-5}, "audio": "Ärger/喜び", "digest": "ab" * 32}
    made.update_run(RunRecord("tiny", "finetune", "tiny-hubert", selected=selected, details=details))
    return made


def flip(content: bytes) -> Iterator[bytes]:
    """Copies with one byte changed: every byte, three ways."""
    for place in range(len(content)):
        for flipped in (0x01, 0x20, 0xFF):
            yield content[:place] + bytes([content[place] ^ flipped]) + content[place + 1 :]


@both
def test_every_flipped_byte_is_found(store: Store, file: str) -> None:
    path, read = store.path / file, READS[file]
    content = path.read_bytes()
    for number, changed in enumerate(flip(content)):
        path.write_bytes(changed)
        problem = get_problem(lambda: read(store))
        assert problem is not None
        assert str(problem).startswith(f"{path}: ")
        if number % 37 == 0:
            assert find_problem_files(store.path) == [file]


@both
def test_a_file_that_was_cut_short_is_read_as_far_as_it_is_whole_or_refused(store: Store, file: str) -> None:
    path, read = store.path / file, READS[file]
    content, expected = path.read_bytes(), read(store)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        found: list[Any] = []
        if not get_problem(lambda found=found: found.append(read(store))):  # type: ignore[misc]
            assert file == CURVES  # lines that are lost at the end are those a kill may have torn
            assert found[0] == expected[: content[:length].count(b"\n")]


@both
@pytest.mark.parametrize("tail", [b"\0", b"\n", b" ", b"}", b"{}\n", b"x\n"])
def test_what_was_put_behind_a_file_is_found(store: Store, file: str, tail: bytes) -> None:
    path, read = store.path / file, READS[file]
    content, expected = path.read_bytes(), read(store)
    path.write_bytes(content + tail)
    if file == CURVES and not tail.endswith(b"\n"):  # as a kill would leave it
        assert read(store) == expected
        assert verify_store(store.path).leftovers == (f"{CURVES} (torn last line)",)
    elif file == CURVES and tail == b"{}\n":  # a line written by a program that knows no checksums
        assert read(store) == [*expected, {}]
    else:
        assert isinstance(get_problem(lambda: read(store)), FormatError | IntegrityError)
        assert find_problem_files(store.path) == [file]


def test_a_line_whose_line_feed_is_damaged_is_not_cut_off_by_the_next_writer(store: Store) -> None:
    path = store.path / CURVES
    content = path.read_bytes()[:-1] + b"\v"
    path.write_bytes(content)
    for use in (READS[CURVES], lambda store: store.append_curve("tiny", step=30)):
        with pytest.raises(IntegrityError, match=r"curves.jsonl: last line: its bytes are not those that were written"):
            use(store)
    assert verify_store(store.path).leftovers == gc(store.path).removed == ()
    assert path.read_bytes() == content


def test_the_checksums_are_those_of_the_page(store: Store) -> None:
    record = (store.path / RECORD).read_bytes()
    body, _, digits = record.rpartition(b'"sha256": "')
    assert digits == hashlib.sha256(body).hexdigest().encode() + b'"\n}\n'
    for line in (store.path / CURVES).read_bytes().splitlines():
        body, _, digits = line.rpartition(b'"crc32": "')
        assert digits == f"{zlib.crc32(body):08x}".encode() + b'"}'


@both
def test_files_without_checksums_are_read_and_verified(store: Store, file: str) -> None:
    path, read = store.path / file, READS[file]
    expected = read(store)
    objects = [path.read_text()] if file == RECORD else path.read_text().splitlines()
    stripped = [
        {key: value for key, value in json.loads(text).items() if key not in ("sha256", "crc32")} for text in objects
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in stripped))
    assert read(store) == expected
    assert verify_store(store.path).ok


@both
def test_a_checksum_that_is_not_at_the_end_is_refused(store: Store, file: str) -> None:
    path, read = store.path / file, READS[file]
    first = json.loads(path.read_text() if file == RECORD else path.read_text().splitlines()[0])
    path.write_text(json.dumps(dict(reversed(first.items()))) + "\n")
    problem = get_problem(lambda: read(store))
    assert isinstance(problem, IntegrityError)
    assert "its bytes are not those that were written; restore the file from a copy, or remove the" in str(problem)


def test_checksums_are_no_values(store: Store) -> None:
    assert "sha256" not in store.run("tiny").details
    assert "sha256" not in store.run("tiny").to_json()
    store.append_curve("tiny", step=30, crc32="mine")
    assert store.curves("tiny")[-1] == {"step": 30}


@given(json_values)
def test_whatever_is_sealed_is_whole_json_with_one_more_key_at_the_end(stated: dict[str, Any]) -> None:
    for seal, check, key, layout in (
        (seal_record, check_record, "sha256", {"indent": 1}),
        (seal_line, check_line, "crc32", {}),
    ):
        text = json.dumps({name: value for name, value in stated.items() if name != key}, **layout)  # type: ignore[arg-type]
        if key == "sha256" and text == "{}":  # no record is empty
            continue
        content = seal(text)
        assert check(content) is Check.WHOLE
        found = json.loads(content)
        assert list(found)[-1] == key
        del found[key]
        assert found == json.loads(text)
        assert check(text.encode()) is Check.NONE
