"""Which column of a manifest is meant for what, and its cells as names or values."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ser_store.corpora.building import Cell
from ser_store.corpora.texts import is_missing, normalise_text
from ser_store.errors import CorpusError

if TYPE_CHECKING:
    from polars import DataFrame, Series

# Headers of published corpora and their tools, without case, white space and separators. The field's own name goes
# before the others: in a table with `label` and `emotion`, `emotion` is a further column.
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "path": (
        *("file", "filename", "filenames", "filepath", "paths", "fname", "wav", "wavfile", "wavpath", "wavfilename"),
        *("audio", "audiofile", "audiopath", "audiofilename", "audiofilepath", "soundfile", "recording"),
        *("relativepath", "relpath", "fullpath"),
    ),
    "label": (
        *("emotion", "emotions", "labels", "emo", "emotionlabel", "labelemotion", "emotionname", "labelname"),
        *("emoclass", "emotionclass", "class", "classname", "category", "target"),
    ),
    "utterance": ("utteranceid", "uttid", "utt", "utterancename", "fileid", "recordingid", "clipid"),
    "speaker": (
        *("speakers", "speakerid", "speakername", "speakernumber", "spk", "spkid", "spkr", "spkrid", "talker"),
        *("talkerid", "actor", "actorid", "subject", "subjectid", "participant", "participantid", "clientid"),
    ),
    "split": ("splits", "splitset", "splitname", "datasplit", "partition", "subset"),
}
_NEEDED = ("path", "label")
# What may be the id where no column names recordings; beside one, these are further columns.
_IDS_ALONE = ("id", "ids", "key", "name", "segment", "segmentid")
_SEGMENT = re.compile(
    r"(segment|seg|clip|utterance|utt|turn|time|t)?(start|begin|onset|offset|end|stop)"
    r"(s|time|times|sec|secs|second|seconds|ms|sample|samples|frame|frames)?"
)
# What begins with a zero, or is longer than any number kept, is a code.
_WHOLE = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(rf"{_WHOLE.pattern}(\.[0-9]*)?(e[+-]?[0-9]+)?|[+-]?\.[0-9]+|[+-]?inf", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(rf"{_WHOLE.pattern}(,[0-9]+)?")


def find_fields(headers: Sequence[str], manifest: Path, *, may_lack_path: bool = False) -> dict[str, str]:
    """Return the header that is meant by each field: path, label and, where there, utterance, speaker and split.

    Args:
        may_lack_path: whether ids are enough.

    Raises:
        CorpusError: if path or label is missing, or two headers may be meant.
    """
    fields: dict[str, str] = {}
    for field, others in _HEADERS.items():
        meant = [header for header in headers if _fold_header(header) == field]
        meant = meant or [header for header in headers if _fold_header(header) in others]
        if not meant and field == "utterance" and may_lack_path and "path" not in fields:
            meant = [header for header in headers if _fold_header(header) in _IDS_ALONE]
        if len(meant) > 1:
            raise CorpusError(
                f"{manifest} has the columns {meant[0]!r} and {meant[1]!r}: expected one for the {field}; rename the "
                f"one that is meant to {field!r}, and drop or rename the other if it is called so too"
            )
        fields |= {field: meant[0]} if meant else {}
    for field in _NEEDED:
        if field not in fields and not (field == "path" and may_lack_path and "utterance" in fields):
            found = ", ".join(repr(header) for header in headers[:12]) or "none"
            first = "'utterance', or 'path'" if may_lack_path else "'path'"
            raise CorpusError(
                f"{manifest} has no column {field!r}: expected the columns {first} (or {_HEADERS['path'][0]!r}) and "
                f"'label' (or {_HEADERS['label'][0]!r}), found {found}; rename its columns"
            )
    return fields


def find_field(header: str) -> str | None:
    """Return the field that a header alone can be meant for; None for a further column.

    >>> find_field("Spkr_ID"), find_field("wav"), find_field("loudness")
    ('speaker', 'path', None)
    """
    folded = _fold_header(header)
    return next((field for field, others in _HEADERS.items() if folded in (field, *others)), None)


def _fold_header(header: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFC", header).casefold())


def refuse_segments(table: "DataFrame", manifest: Path) -> None:
    """Refuse a table whose rows are stretches of recordings: whole files would stand under every stretch's label."""
    for header in table.columns:
        if _SEGMENT.fullmatch(_fold_header(header)):
            for row, cell in enumerate(read_texts(table.get_column(header), manifest), start=1):
                if re.search("[1-9]", cell):
                    raise CorpusError(
                        f"{manifest} has a column {header!r} ({cell} in row {row}): expected whole recordings, not "
                        f"segments of them, each of which would get the whole file; cut them into a file each, or, if "
                        f"every row is a whole file, drop the column"
                    )


def read_texts(series: "Series", manifest: Path) -> list[str]:
    """Return the cells as text, in NFC and without white space at their ends; empty where there is none."""
    return [normalise_text(str(cell)) for cell in _as_text(series, manifest).to_list()]


def read_names(series: "Series", manifest: Path) -> tuple[list[str], list[str]]:
    """Return the cells as names, empty where missing; whole numbers without the ``.0`` that data frames give them.

    Returns:
        the names, and a line for what was understood and may not have been meant.
    """
    names = ["" if is_missing(cell) else cell for cell in read_texts(series, manifest)]
    filled = [name for name in names if name]
    pointed = next((name for name in filled if re.fullmatch(r"-?[0-9]+\.0+", name)), None)
    if pointed is None or not all(re.fullmatch(r"-?[0-9]+(\.0+)?", name) for name in filled):
        return names, []
    whole = [name.split(".")[0] for name in names]
    return whole, [f"column {series.name!r} holds whole numbers: {pointed} is taken for {pointed.split('.')[0]}"]


def read_filled(series: "Series", manifest: Path, *, what: str) -> tuple[list[str], list[str]]:
    """As :func:`read_names`, of a column that must be filled.

    Raises:
        CorpusError: naming the first row without a value.
    """
    names, notes = read_names(series, manifest)
    if "" in names:
        row = names.index("")
        written = read_texts(series, manifest)[row]
        got = f" ({written!r} says that there is none)" if written else ""
        raise CorpusError(
            f"{manifest} has no {what} in row {row + 1} below the header, empty rows not counted{got}: expected one in "
            f"every row; fill it in or drop the row"
        )
    return names, notes


def read_cells(series: "Series", manifest: Path, *, separator: str | None) -> list[Cell]:
    """Return the cells of a further column: whole numbers if all are, numbers if all that are filled are, else text.

    Args:
        separator: of a CSV, whose cells are all text; where it is no comma, ``0,5`` is 0.5. None for typed cells.
    """
    import polars

    if series.dtype.is_numeric():
        is_whole = series.dtype.is_integer() and series.null_count() == 0
        try:
            numbers = series.cast(polars.Int64 if is_whole else polars.Float64)
        except polars.exceptions.PolarsError as problem:
            raise _refuse(series, manifest) from problem
        return (numbers if is_whole else numbers.fill_null(np.nan)).to_list()
    texts = read_texts(series, manifest)
    filled = [text for text in texts if not is_missing(text)]
    if separator not in (None, ",") and all(_DECIMAL_COMMA.fullmatch(text) for text in filled):
        texts, filled = ([text.replace(",", ".") for text in cells] for cells in (texts, filled))
    if separator is None or not filled or not all(_NUMBER.fullmatch(text) for text in filled):
        return list(texts)
    if len(filled) == len(texts) and all(_WHOLE.fullmatch(text) for text in texts):
        return [int(text) for text in texts]
    return [np.nan if is_missing(text) else float(text) for text in texts]


def _as_text(series: "Series", manifest: Path) -> "Series":
    import polars

    if series.dtype.is_nested() or series.dtype in (polars.Binary, polars.Object):
        raise _refuse(series, manifest)
    try:
        return series.cast(polars.String).fill_null("")
    except polars.exceptions.PolarsError as problem:
        raise _refuse(series, manifest) from problem


def _refuse(series: "Series", manifest: Path) -> CorpusError:
    return CorpusError(
        f"{manifest} has a column {series.name!r} of {series.dtype} that cannot be kept: expected text, or numbers of "
        f"at most 64 bits; drop or convert it"
    )
