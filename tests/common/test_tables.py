"""The tables of spreadsheets and data frames: one table, however it is written."""

import csv
import io
from pathlib import Path

import polars
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ser_store.common.tables import load_table
from ser_store.errors import CorpusError

cells = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=6) | st.sampled_from(
    ["a,b", "a;b", '"', 'say "x"', "one\ntwo", "0,5", "'", "#", ""]
)


def save(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        load_table(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(
    rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=6),
    separator=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    begin=st.sampled_from(["", "\ufeff", "\n\n"]),
    said=st.booleans(),
    blank=st.booleans(),
    numbered=st.booleans(),
    trailing=st.booleans(),
)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_a_table_is_the_same_in_every_dialect(
    tmp_path: Path,
    rows: list[tuple[str, str]],
    separator: str,
    end: str,
    quoting: int,
    begin: str,
    said: bool,
    blank: bool,
    numbered: bool,
    trailing: bool,
) -> None:
    text = io.StringIO(newline="")
    # Where rows end in CR, Python leaves LF in cells unquoted.
    quoting = csv.QUOTE_ALL if end == "\r" else quoting
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting)
    for place, (one, other) in enumerate([("one", "other"), *rows]):
        number = ["" if place == 0 else place] if numbered else []
        writer.writerow([*number, f"u{place}" if place else "utterance", one, other, *[""] * trailing])
        text.write(end * blank)
    sep = f"sep={separator}{end}" if said and end != "\r" else ""
    table = load_table(save(tmp_path / "m.csv", f"{begin}{sep}{text.getvalue()}"))
    assert table.frame.columns == ["utterance", "one", "other"]
    found = [tuple((cell or "").strip() for cell in row) for row in table.frame.rows()]
    assert found == [(f"u{place}", one.strip(), other.strip()) for place, (one, other) in enumerate(rows, start=1)]
    assert table.separator == separator
    assert len(table.notes) == numbered


def test_rows_without_a_cell_are_no_rows_and_short_rows_end_empty(tmp_path: Path) -> None:
    table = load_table(save(tmp_path / "m.csv", "a,b\n\n,\n  \n1,2\n , \n3\n"))
    assert table.frame.rows() == [("1", "2"), ("3", None)]


def test_parquet_keeps_its_types_and_loses_the_index_of_its_data_frame(tmp_path: Path) -> None:
    frame = polars.DataFrame({"n": [1, 2], "__index_level_0__": [7, 3]})
    frame.write_parquet(tmp_path / "m.parquet")
    table = load_table(tmp_path / "m.parquet")
    assert (table.frame.rows(), table.frame["n"].dtype, table.separator) == ([(1,), (2,)], polars.Int64, None)
    assert table.notes == ("left out, since it has no name and numbers the rows: column 2",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "(empty CSV)"),
        ("  \n \n", "(empty CSV)"),
        ("a,b\n", "has no rows"),
        ("a,b\n,\n", "has no rows"),
        ("a,b,a\n1,2,3\n", "column 'a' stands twice: expected every column once; drop or rename it"),
        ("a,b\n1,2,3\n", "found more fields than the 2 columns of the header in row 1, of '1'"),
        ('a,b\n"x",1\ny,"2\n', "(unexpected end of data in row 2: is a quotation mark missing?)"),
        (",a\nx,1\ny,2\n", "column 1 has no name, but cells such as 'x': expected a name for every column"),
        (",a\n1,1\n1,2\n", "column 1 has no name, but cells such as '1'"),
        (",a\n1,1\n,2\n", "column 1 has no name, but cells such as '1'"),
        ("a,b\n1,fröhlich\n".encode("latin-1"), "(byte 0xf6 in line 2 is not UTF-8): expected CSV in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "(NUL in its header, as in UTF-16): expected CSV in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-be"), "(NUL in its header, as in UTF-16): expected CSV in UTF-8"),
        (b"PK\x03\x04\xff\xfe", "is not UTF-8): expected CSV in UTF-8"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_what_is_wrong_with_it(
    tmp_path: Path, content: str | bytes, expected: str
) -> None:
    assert expected in refusal(save(tmp_path / "m.csv", content))


def test_only_the_separator_that_splits_all_rows_alike_is_one(tmp_path: Path) -> None:
    table = load_table(save(tmp_path / "m.csv", "path;label;score, mean\na.wav;x;0,5\n"))
    assert table.frame.rows() == [("a.wav", "x", "0,5")]
    table = load_table(save(tmp_path / "m.csv", "utterance,a;b@1,c;d@1\nu,x;y,z\n"))
    assert table.frame.columns == ["utterance", "a;b@1", "c;d@1"]
