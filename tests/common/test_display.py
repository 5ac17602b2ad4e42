"""Results print as the command does, show briefly, and become data frames."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ser_store.common.display import Percent, Points, Result, Table, summarise


@dataclass(frozen=True, repr=False)
class Answer(Result):
    members: tuple[str, ...]
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((8, 8), dtype=np.int64))
    cautions: tuple[str, ...] = ()
    a: int = 1
    b: int = 2
    c: int = 3
    d: int = 4
    e: int = 5
    f: int = 6

    def describe(self):
        yield "on test"
        yield Table(["member", "accuracy"], [[name, Percent(0.5)] for name in self.members])

    def records(self):
        return [{"member": name, "accuracy": 0.5} for name in self.members]


def test_printing_shows_the_table_and_the_cautions_above_it():
    assert str(Answer(("xlsr53@100",), cautions=("few speakers",))).splitlines() == [
        "caution: few speakers",
        "on test",
        "member      accuracy",
        "──────────  ────────",
        "xlsr53@100    50.00%",
    ]


def test_a_representation_has_ten_lines_at_most_whatever_it_holds():
    shown = repr(Answer(tuple(f"member@{step}" for step in range(1000))))
    assert len(shown.splitlines()) <= 10
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "members=<1000 × str>" in shown
    assert "confusion=<8 × 8 int64>" in shown


def test_signed_points_stand_to_the_right():
    """Their signs and decimal points stand below each other."""
    lines = str(Table(["points"], [[Points(-0.1)], [Points(0.0417)]])).splitlines()
    assert lines[2:] == ["-10.00", " +4.17"]


def test_html_escapes_what_stands_in_the_cells():
    page = Answer(("<b>@1",), cautions=("a & b",))._repr_html_()
    assert page.startswith("<pre>caution: a &amp; b\non test</pre><table>")
    assert '<td style="text-align:left">&lt;b&gt;@1</td><td style="text-align:right">50.00%</td>' in page


def test_a_frame_has_a_row_for_each_record():
    frame = Answer(("a@1", "b@1")).to_frame()
    assert frame.to_dict(as_series=False) == {"member": ["a@1", "b@1"], "accuracy": [0.5, 0.5]}


def test_what_is_long_is_counted():
    assert summarise(dict.fromkeys("abcdefghijklmnop", 1)) == "<16 entries>"
    assert summarise("x" * 100) == f"'{'x' * 59}…"
    assert summarise([1, "a"] * 40) == "<80 × object>"
    assert summarise(Answer(("a",) * 99)) == "<Answer>"
