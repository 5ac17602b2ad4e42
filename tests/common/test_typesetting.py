"""Tables of a paper: LaTeX that a strict little parser takes, Markdown, and CSV with all digits."""

import csv
import re
from io import StringIO

import pytest

import ser_store as ss
from ser_store.common.display import Aside, Percent, Result, Table
from ser_store.common.typesetting import format_result

COMMANDS = {
    "begin", "end", "centering", "caption", "toprule", "midrule", "bottomrule", "textbf", "par", "footnotesize",
    "ensuremath", "pm", "times", "leftarrow", "cdot", "ldots", "textbackslash", "textasciitilde", "textasciicircum",
    "textless", "textgreater", "textbar",
}  # fmt: skip


class Answer(Result):
    """A result that says what a test lets it say."""

    cautions = ("100% of these speakers_are known",)

    def __init__(self, *blocks):
        self.blocks = blocks

    def describe(self):
        return self.blocks

    def records(self):
        return [{"member": "a, b", "accuracy": Percent(1 / 3), "right": True, "low": None}]

    def caption(self):
        return "on test of the split s_1, 12 utterances"


def parse_tables(text):
    """The tables of LaTeX as (caption, header, rows); fails on what LaTeX would not take."""
    bare = re.sub(r"\\[\\{}$&#_%]", "", text)
    assert not set("#$^_~%") & set(bare.replace("~", "")), "a special character stands bare"
    assert set(re.findall(r"\\([a-zA-Z]+)", text)) <= COMMANDS
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    found = []
    for body in re.findall(r"\\begin\{table\}(.*?)\\end\{table\}", text, re.DOTALL):
        [(columns, cells)] = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", body, re.DOTALL)
        top, middle, bottom = (cells.index(rf"\{rule}rule") for rule in ("top", "mid", "bottom"))
        assert top < middle < bottom
        lines = [line for line in cells.splitlines() if line and not line.endswith("rule")]
        assert all(line.endswith(r" \\") and not line.startswith("[") for line in lines)
        rows = [re.split(r"(?<!\\)&", line[:-3]) for line in lines]
        assert {len(row) for row in rows} == {len(columns)}
        stripped = [[cell.strip() for cell in row] for row in rows]
        [caption] = re.findall(r"^\\caption\{(.*)\}$", body, re.MULTILINE)
        found.append((caption, stripped[0], stripped[1:]))
    return found


def test_every_special_character_is_escaped():
    rows = [[r"a_1 & b\c ~ 5% #{x}^$", Percent(0.5)], ["[c] ± <d>|…", Percent(0.25)]]
    [(caption, _, cells)] = parse_tables(format_result(Answer("one_line:", Table(["member", "acc_1"], rows)), "latex"))
    assert caption == r"one\_line. On test of the split s\_1, 12 utterances."
    assert cells[0][0] == r"a\_1 \& b\textbackslash{}c \textasciitilde{} 5\% \#\{x\}\textasciicircum{}\$"
    assert cells[1] == [r"{}[c] \ensuremath{\pm} \textless{}d\textgreater{}\textbar{}\ldots{}", r"25.00\%"]


def test_the_best_of_a_column_is_bold_and_what_prints_alike_is_equal():
    rows = [["a", Percent(0.90001), Percent(0.3)], ["b", Percent(0.9), Percent(0.2)], ["c", Percent(0.1), "–"]]
    table = Table(["member", "accuracy", "loss"], rows, best={"accuracy": max, "loss": min})
    [(_, _, cells)] = parse_tables(format_result(Answer(table), "latex"))
    assert [row[1].startswith(r"\textbf") for row in cells] == [True, True, False]
    assert [row[2] for row in cells] == [r"30.00\%", r"\textbf{20.00\%}", "--"]
    alone = Table(["member", "accuracy"], rows[:1], best={"accuracy": max})
    assert r"\textbf" not in format_result(Answer(Table(alone.header, [rows[0][:2]], alone.best)), "latex")


def test_lines_become_headings_and_notes_and_cautions_stand_below_the_first_table():
    table = Table(["member", "n"], [["a", 1]])
    text = format_result(Answer("above", "head:", table, "a note", Aside("  1 ▁▂█ 3"), "\nsecond", table), "latex")
    first, second = text.split("\n\n")
    assert r"\caption{Head. On test" in first
    assert r"\par{\footnotesize A note.\par}" in first
    assert r"\par{\footnotesize Caution: 100\% of these speakers\_are known.\par}" in first
    assert r"\caption{Second. On test" in second
    assert not [word for word in ("above", "▁", "Caution") if word in second]
    assert "▁" not in first


def test_a_section_is_named_above_each_of_its_tables_and_names_keep_their_letters():
    table = Table(["member", "n"], [["a", 1]])
    blocks = (table, "\nxlsr53@1100", table, "", table, "", "matrix of counts", table, "\nby speaker:", table)
    captions = [caption for caption, _, _ in parse_tables(format_result(Answer(*blocks), "latex"))]
    assert [caption.partition(" On test")[0] for caption in captions] == [
        r"On test of the split s\_1, 12 utterances.",
        "xlsr53@1100.",
        "xlsr53@1100.",
        "xlsr53@1100. Matrix of counts.",
        "By speaker.",
    ]


def test_markdown_has_sides_bold_and_escaped_bars():
    table = Table(["member", "accuracy"], [["a|b_c", Percent(0.5)], ["d", Percent(0.25)]], best={"accuracy": max})
    lines = format_result(Answer(table, "note"), "markdown").splitlines()
    assert lines[:6] == [
        r"On test of the split s\_1, 12 utterances.",
        "",
        "| member | accuracy |",
        "| :-- | --: |",
        r"| a\|b\_c | **50.00%** |",
        "| d | 25.00% |",
    ]
    assert lines[6:] == ["", "Note.", "", r"Caution: 100% of these speakers\_are known."]


def test_csv_has_plain_numbers_with_all_digits():
    assert format_result(Answer(), "csv") == 'member,accuracy,right,low\n"a, b",0.3333333333333333,true,'


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate",),
        ("evaluate", "xlsr53", "hubert-base", "--by", "sex", "--names", "paper", "--normalise", "true", "--hard"),
        ("vote", "--k", "3", "--all-combos", "--diversity"),
        ("vote", "--k", "3,5", "--all-combos", "--objective", "balanced-accuracy"),
        ("vote", "xlsr53", "hubert-base"),
        ("compare", "--against", "best"),
        ("steps",),
        ("paper",),
    ],
    ids=" ".join,
)
def test_every_command_writes_tables_that_say_which_utterances_they_are_of(words, serstore, paper_store):
    done = serstore(*words, "--format", "latex", "--store", paper_store)
    assert done.code == 0
    tables = parse_tables(done.out)
    assert tables
    for caption, _, _ in tables:
        assert "on test of the split imported, 288 utterances" in caption.replace("On", "on")
    markdown = serstore(*words, "--format", "markdown", "--store", paper_store)
    assert markdown.out.count("\n| :--") + markdown.out.count("\n| --:") == len(tables)


def test_a_table_of_a_vote_says_what_was_chosen_and_what_is_left_of_it(serstore, paper_store):
    done = serstore("vote", "--k", 3, "--all-combos", "--format", "latex", "--store", paper_store)
    [(caption, header, rows)] = parse_tables(done.out)
    assert caption.startswith(
        "3 of 6 members on test of the split imported, 288 utterances: hard voting, ties to lowest"
    )
    assert "chosen on them, apparent 96.53\\%; corrected 95.03\\% [91.5, 98.5] for that choice" in caption
    assert rows[0][header.index("accuracy")] == r"\textbf{96.53\%}"
    assert rows[0][header.index("95\\% interval")] == "[93.8, 98.1]"


def test_csv_of_a_command_is_its_data_frame(serstore, paper_store):
    done = serstore("evaluate", "--format", "csv", "--store", paper_store)
    rows = list(csv.DictReader(StringIO(done.out)))
    expected = ss.evaluate(paper_store).records()
    assert [float(row["accuracy"]) for row in rows] == [one["accuracy"] for one in expected]
    assert [row["log_loss"] for row in rows] == [""] * 6


def test_json_and_a_format_together_are_wrong_usage(serstore, paper_store):
    done = serstore("evaluate", "--json", "--format", "latex", "--store", paper_store)
    assert done.code == 2
    assert "--json and --format are given: expected one of them" in " ".join(done.err.split())


def test_an_unknown_format_is_one_line_before_anything_is_computed(serstore, tmp_path):
    done = serstore("evaluate", "--format", "latx", "--store", tmp_path / "none")
    assert done.code == 1
    assert done.err == "serstore: unknown --format 'latx': expected one of latex (nearest), csv, markdown\n"
