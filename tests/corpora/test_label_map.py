"""A label map says of every label which class it means, or that it is dropped."""

from pathlib import Path

import pytest

from ser_store.corpora.label_map import read_label_map
from ser_store.errors import CorpusError, SerstoreError


def write(text: str) -> str:
    Path("map.toml").write_text(text, encoding="utf-8")
    return "map.toml"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_label_means_what_it_is_listed_under_and_others_stay():
    read = read_label_map(write('angry = ["anger", "A", 5]\nsad = "N"\ndrop = ["calm"]\n'))
    assert read.apply(["A", "ANGER", "5", "sad", "N", "calm", "happy"]) == [
        *["angry"] * 3,
        "sad",
        "sad",
        None,
        "happy",
    ]


def test_case_tells_codes_apart_where_both_are_listed():
    read = read_label_map(write('angry = ["A"]\nanxious = ["a"]\n'))
    assert read.apply(["A", "a"]) == ["angry", "anxious"]


def test_the_rest_is_dropped_where_that_is_stated():
    read = read_label_map(write('angry = ["A"]\ndrop = "rest"\n'))
    assert read.apply(["A", "B", "angry"]) == ["angry", None, "angry"]


def test_what_was_read_and_dropped_is_said_with_numbers():
    read = read_label_map(write('angry = ["A", "ANG"]\ndrop = "rest"\n'))
    assert read.describe(["A", "ANG", "A", "angry", "X", "X"]) == [
        "labels read by map.toml: A, ANG as angry",
        "labels dropped by map.toml: X (2)",
    ]
    assert read.describe(["angry"]) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('a = ["x"]\nb = ["x"]\n', "map.toml: label 'x' is listed under b and means a: expected every label once"),
        ('a = ["b"]\nb = []\n', "map.toml: label 'b' is listed under a and means b"),
        ('a = []\ndrop = ["a"]\n', "map.toml: label 'a' is listed under drop and means a"),
        ("a = [1.5]\n", "map.toml: a is [1.5]: expected the labels that mean it"),
        ('[a]\nb = "c"\n', "map.toml: a is {'b': 'c'}: expected the labels"),
        ("", "map.toml lists no label: expected lines such as"),
        ('drop = "rest"\n', "map.toml lists no label"),
    ],
)
def test_a_map_that_contradicts_itself_is_refused(text: str, said: str):
    with pytest.raises(CorpusError) as problem:
        read_label_map(write(text))
    assert str(problem.value).startswith(said)


def test_what_is_no_toml_is_refused_with_an_example():
    with pytest.raises(SerstoreError, match=r'^map.toml is no TOML .*expected lines such as angry = \["anger", "A"\]'):
        read_label_map(write("angry: anger\n"))
    with pytest.raises(SerstoreError, match=r"^none.toml cannot be read .*expected a label map"):
        read_label_map("none.toml")
