"""``run.json`` and ``curves.jsonl``."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import find_problem_files, get_bytes, get_problem, make_corpus, make_store

from ser_store_h5.errors import ExistsError, FormatError, StoreError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.runs import RunRecord, Selection, append_curve, read_curves, read_run, write_run
from ser_store_h5.store import Store

RECORD = RunRecord(
    "tiny",
    "finetune",
    "tiny-hubert",
    state="running",
    selected=Selection(10, "best", "valid", "accuracy 0.5 at step 10"),
    details={"seed": 101, "recipe": {"learning_rate": 3e-5}, "audio": "Ärger/喜び"},
)
values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
texts = st.text(st.characters(exclude_categories=["Cs"]))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_run(tmp_path / "tiny", RECORD, replace=False)
    assert read_run(tmp_path / "tiny") == RECORD


def test_the_record_is_json_that_names_its_format(tmp_path: Path) -> None:
    write_run(tmp_path / "tiny", RECORD, replace=False)
    stated = json.loads((tmp_path / "tiny" / "run.json").read_text(encoding="utf-8"))
    assert list(stated)[:7] == ["format", "format_version", "run", "kind", "backbone", "state", "selected"]
    assert (stated["format"], stated["format_version"], stated["seed"]) == ("ser-store/run", 1, 101)


@given(kind=texts, backbone=texts, details=st.dictionaries(texts, st.lists(texts) | texts | st.integers()))
@settings(max_examples=60)
def test_any_record_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, kind: str, backbone: str, details: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("run") / "any"
    stated = set(RECORD.to_json()) - set(RECORD.details)
    record = RunRecord(
        "any", kind, backbone, details={key: value for key, value in details.items() if key not in stated}
    )
    write_run(folder, record, replace=False)
    assert read_run(folder) == record


def test_details_cannot_pass_for_what_the_record_states(tmp_path: Path) -> None:
    details = {"run": "other", "format": "x", "sha256": "0" * 64, "seed": 1}
    write_run(tmp_path / "tiny", replace(RECORD, details=details), replace=False)
    found = read_run(tmp_path / "tiny")
    assert (found.run, found.details) == ("tiny", {"seed": 1})


def test_an_updated_record_keeps_what_it_had(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    store.update_run(store.run("tiny").updated(state="interrupted", seconds=3.5))
    found = Store(store.path).run("tiny")
    assert (found.state, found.details) == ("interrupted", {"seed": 1, "seconds": 3.5})


def test_a_run_is_begun_once(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    before = get_bytes(store.path)
    with pytest.raises(ExistsError, match=r"^run tiny is in .* already: name this one with `run`, or remove the old"):
        store.add_run(RunRecord("tiny", "frozen", "mfcc"))
    assert get_bytes(store.path) == before


def test_a_run_whose_name_is_a_path_is_not_begun(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store", make_corpus())
    with pytest.raises(StoreError, match=r"^run name '\.\./\.\./up': expected"):
        store.add_run(RunRecord("../../up", "frozen", "mfcc"))
    assert sorted(get_bytes(tmp_path)) == ["store/corpus.h5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected the JSON object that FORMAT.md describes"),
        ("[]", r"expected the JSON object that FORMAT.md describes"),
        ("null", r"expected the JSON object that FORMAT.md describes"),
        ("{", r"expected the JSON object that FORMAT.md describes"),
        ("[" * 100_000, r"expected the JSON object that FORMAT.md describes"),
        ('{"format": "ser-store/run"}', r"expected the JSON object that FORMAT.md describes \('run'\)"),
        ({"format": "other"}, r"expected the ser-store/run of run tiny"),
        ({"run": "other"}, r"expected the ser-store/run of run tiny"),
        (
            {"format_version": 2},
            r"has format version 2: this release reads up to 1; upgrade with pip install -U ser-store",
        ),
        ({"format_version": 0}, r"has format version 0: expected 1 to 1$"),
        ({"format_version": "1"}, r"has format version '1': expected 1 to 1$"),
        ({"format_version": True}, r"has format version True: expected 1 to 1$"),
        ({"selected": 10}, r"expected the JSON object that FORMAT.md describes"),
        ({"selected": {"step": 10}}, r"expected the JSON object that FORMAT.md describes"),
        (
            {"selected": {"step": "10", "criterion": "", "on": "", "reason": ""}},
            r"selected step is '10': expected a whole number",
        ),
        (b"\xff\xfe", r"expected the JSON object that FORMAT.md describes"),
    ],
)
def test_a_record_that_is_none_is_refused_with_its_file(tmp_path: Path, text: Any, message: str) -> None:
    store = make_store(tmp_path / "store")
    path = store.run_folder("tiny") / "run.json"
    if isinstance(text, dict):
        text = json.dumps(store.run("tiny").to_json() | text)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    problem = get_problem(lambda: store.run("tiny"))
    assert isinstance(problem, FormatError)
    assert str(problem).startswith(f"{path}: ")
    with pytest.raises(FormatError, match=message):
        read_run(path.parent)
    assert find_problem_files(store.path) == ["runs/tiny/run.json"]


def test_a_record_too_large_to_be_one_is_not_read(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    with (store.run_folder("tiny") / "run.json").open("r+b") as file:
        file.truncate(1 << 40)  # takes no space
    with pytest.raises(FormatError, match=r"run.json: has 1099511627776 bytes: expected at most 16777216; to go on"):
        store.run("tiny")


def test_a_lost_record_is_named_where_its_members_remain(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    (store.run_folder("tiny") / "run.json").unlink()
    assert store.runs() == ["tiny"]  # nobody may take for granted that there was no such run
    verification = verify_store(store.path)
    assert [(found.file, found.problem[:50]) for found in verification.problems] == [
        ("runs/tiny/run.json", verification.problems[0].problem[:50])
    ]
    assert "missing; restore it from a copy, or remove the run's folder" in verification.problems[0].problem


def test_a_folder_that_cannot_be_a_run_is_named_and_hides_no_other(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    for folder in ("-odd", ".ipynb_checkpoints"):
        (store.path / "runs" / folder).mkdir()
        (store.path / "runs" / folder / "run.json").write_text("{}")
    (store.path / "runs" / "stray.txt").write_text("")
    assert store.member_names() == ["tiny@10", "tiny@20"]
    assert find_problem_files(store.path) == [
        "runs/-odd/run.json",
        "runs/.ipynb_checkpoints/run.json",
        "runs/stray.txt",
    ]


def test_a_stray_file_in_a_run_is_named_and_checkpoints_are_not(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    (store.run_folder("tiny") / "checkpoints").mkdir()
    (store.run_folder("tiny") / "checkpoints" / "model.safetensors").write_bytes(b"x")
    (store.run_folder("tiny") / "step-1.h5").write_bytes(b"x")
    assert find_problem_files(store.path) == ["runs/tiny/step-1.h5"]


@given(st.lists(st.dictionaries(st.text(), values), max_size=4))
@settings(max_examples=40)
def test_curves_are_read_in_the_order_written(
    tmp_path_factory: pytest.TempPathFactory, points: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("curves")
    for point in points:
        append_curve(folder, point)
    assert read_curves(folder) == points


def test_a_run_without_curves_has_none(tmp_path: Path) -> None:
    assert read_curves(tmp_path) == []


@pytest.mark.parametrize("torn", [b"{", b'{"step": 3', b'{"step": 3}', b"\xff", b"x" * 200_000, b"\0\0\0"])
def test_a_torn_last_line_is_ignored_and_the_next_writer_cuts_it_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "curves.jsonl"
    append_curve(tmp_path, {"step": 1})
    append_curve(tmp_path, {"step": 2})
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert [point["step"] for point in read_curves(tmp_path)] == [1, 2]
    append_curve(tmp_path, {"step": 4})
    assert path.read_bytes().startswith(whole)
    assert [point["step"] for point in read_curves(tmp_path)] == [1, 2, 4]


def test_a_first_line_that_is_torn_is_cut_off_too(tmp_path: Path) -> None:
    (tmp_path / "curves.jsonl").write_bytes(b'{"st')
    assert read_curves(tmp_path) == []
    append_curve(tmp_path, {"step": 1})
    assert read_curves(tmp_path) == [{"step": 1}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", r"curves.jsonl: line 2 is not JSON; restore the file from a copy$"),
        (b"", r"curves.jsonl: line 2 is not JSON"),
        (b"\0\0", r"curves.jsonl: line 2 is not JSON"),
        (b"[" * 100_000, r"curves.jsonl: line 2 is not JSON"),
        (b"[1]", r"curves.jsonl: line 2 is no JSON object"),
        (b"\xff", r"curves.jsonl: line 2 is not JSON"),
    ],
)
def test_a_damaged_line_before_the_last_is_refused_and_named(tmp_path: Path, line: bytes, message: str) -> None:
    store = make_store(tmp_path / "store")
    path = store.run_folder("tiny") / "curves.jsonl"
    first, second = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, line, second, b""]))
    with pytest.raises(FormatError, match=message):
        store.curves("tiny")
    assert find_problem_files(store.path) == ["runs/tiny/curves.jsonl"]
