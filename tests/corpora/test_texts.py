import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_store.corpora.texts import fold_text, is_missing, unite_spellings


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Fear", "fear"),
        ("FEAR", "fear"),
        ("Ärger", "A\u0308rger"),
        ("ärger", "A\u0308RGER"),
        ("very happy", "Very_Happy"),
        ("very happy", "very-happy"),
        ("very happy", "very  happy "),
        ("very happy", "very\u00a0happy"),
        ("very happy", "very – happy"),
        ("sad", "\u200bsad\ufeff"),
        ("Groß", "GROSS"),
        ("01", "1"),
        ("+1", "1"),
        ("-1", "-01"),
    ],
)
def test_spellings_of_one_name_are_alike(one: str, other: str) -> None:
    assert fold_text(one) == fold_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("sad", "mad"), ("-1", "1"), ("+", "-"), ("_", "-"), ("s1", "s10"), ("ä", "a"), ("anger/joy", "anger joy")],
)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert fold_text(one) != fold_text(other)


@pytest.mark.parametrize("cell", ["", "  ", "nan", "NaN", "NA", "N/A", "#N/A", "<NA>", "None", "null", "NaT"])
def test_words_for_no_value_are_none(cell: str) -> None:
    assert is_missing(cell)


@pytest.mark.parametrize("cell", ["0", "-", "no", "nano", "unknown", "neutral"])
def test_other_words_are_values(cell: str) -> None:
    assert not is_missing(cell)


def test_the_most_frequent_spelling_is_the_name() -> None:
    united, others = unite_spellings(["Fear", "fear", "fear", "sad", "FEAR"])
    assert united == ["fear", "fear", "fear", "sad", "fear"]
    assert others == {"fear": ["FEAR", "Fear"]}


@given(st.lists(st.sampled_from(["Anger", "very happy", "müde", "s 1", "10"]), min_size=1), st.randoms())
@settings(max_examples=60)
def test_however_names_are_spelt_there_are_as_many_as_were_meant(meant: list[str], random: "st.random.Random") -> None:
    def respell(name: str) -> str:
        name = random.choice([str.upper, str.lower, str.title, str])(name)
        name = unicodedata.normalize(random.choice(["NFC", "NFD"]), name)
        return random.choice(["", " "]) + name.replace(" ", random.choice("_- "))

    written = [respell(name) for name in meant]
    united, _ = unite_spellings(written)
    assert len(set(united)) == len(set(meant))
    assert [united.index(name) for name in united] == [meant.index(name) for name in meant]
    assert unite_spellings(united) == (united, {})
    assert set(united) <= set(written)
