"""Tables and lines fit the width they are given, and nothing of them is lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_store.common.display import Percent, Table
from ser_store.common.layout import measure, wrap

NAMES = st.text("ab-@9", min_size=1, max_size=24)
ENSEMBLES = st.lists(NAMES, min_size=1, max_size=6).map("+".join)
HEADERS = st.lists(st.sampled_from(["member", "balanced accuracy", "95% interval", "n"]), min_size=1, max_size=9)


@st.composite
def tables(draw):
    header = draw(HEADERS)
    cells = [st.one_of(st.floats(0, 1).map(Percent), st.just("[91.2, 100.0]"), ENSEMBLES) for _ in header]
    rows = draw(st.lists(st.tuples(*cells), min_size=1, max_size=4))
    return Table(header, rows, best={"n": max}, keys=draw(st.integers(1, min(3, len(header)))))


@given(tables(), st.integers(60, 200))
def test_no_line_is_wider_than_the_width(table, width):
    lines = table.fit(width).split("\n")
    assert max(map(measure, lines)) <= width
    assert all(line == line.rstrip() for line in lines)


@given(ENSEMBLES, st.integers(40, 80))
def test_a_name_that_is_wrapped_is_whole_when_its_lines_are_put_together(name, width):
    shown = Table(["accuracy", "member"], [[Percent(0.5), name]]).fit(width).split("\n")
    assert "".join(shown).replace(" ", "").endswith(name)


@given(st.lists(ENSEMBLES, min_size=1).map(" ".join), st.integers(40, 80))
def test_wrapped_lines_say_what_the_line_said(text, width):
    lines = wrap(f"  {text}", width)
    assert max(map(measure, lines)) <= width
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_what_does_not_fit_wraps_its_headers_then_its_text_then_goes_below():
    table = Table(["", "balanced accuracy", "members"], [["1", Percent(0.5), "xlsr53@1100 hubert-base@900"]])
    assert table.fit(48).split("\n") == [
        "   balanced",
        "   accuracy  members",
        "─  ────────  ───────────────────────────",
        "1    50.00%  xlsr53@1100 hubert-base@900",
    ]
    assert table.fit(32).split("\n")[3:] == ["1    50.00%  xlsr53@1100", "             hubert-base@900"]
    assert table.fit(26).split("\n") == [
        "   balanced accuracy",
        "─  ─────────────────",
        "1             50.00%",
        "",
        "   members",
        "─  ───────────────────────",
        "1  xlsr53@1100",
        "   hubert-base@900",
    ]


def test_an_interval_is_never_wrapped():
    table = Table(["member", "95% interval"], [["a long name of a member", "[91.2, 100.0]"]])
    assert "[91.2, 100.0]" in table.fit(30)


def test_columns_in_which_nothing_is_said_are_left_out():
    table = Table(["step", "eval loss", "selected"], [[1, None, ""], [2, None, "←"]])
    assert str(table).split("\n")[0].split() == ["step", "selected"]


def test_wide_letters_take_two_columns():
    lines = str(Table(["class", "n"], [["悲しい", 1], ["sad", 2]])).split("\n")
    assert [measure(line) for line in lines] == [9, 9, 9, 9]


def test_what_a_terminal_would_obey_is_replaced():
    assert str(Table(["file"], [["a\x1b[2J\n"]])).split("\n")[2] == "a�[2J�"


@pytest.mark.parametrize("width", [60, None])
def test_the_best_is_bold_and_its_column_as_wide_as_without(width):
    table = Table(["member", "accuracy"], [["a", Percent(0.5)], ["b", Percent(0.75)]], best={"accuracy": max})
    bold = table.fit(width, bold=True)
    assert "\x1b[1m75.00%\x1b[0m" in bold
    assert re.sub(r"\x1b\[\d*m", "", bold) == table.fit(width)
