"""What the name of a recording and the rows about it say, by the page of its corpus."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from ser_store.corpora.building import Cell, as_column
from ser_store.corpora.published.page import Page, list_pages, list_placeholders, open_page
from ser_store.corpora.texts import is_missing
from ser_store_h5.corpus import Column, StrArray

Codes = Mapping[str, str]
"""Each field of a recording as it is written; empty where its name does not have it."""

# What files say of nobody in particular.
_NOBODY = ("unknown", "unk")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_SAMPLE = 50


def read_name(page: Page, name: str) -> dict[str, str] | None:
    """Return the fields of a recording by its name or path, with slashes and without suffix; None if it has none."""
    match = page.names.fullmatch(unicodedata.normalize("NFC", name))
    return None if match is None else {field: code or "" for field, code in match.groupdict().items()}


def is_meant(page: Page, codes: Codes) -> bool:
    """Return whether a recording belongs to the corpus, and is no song, no video."""
    return all(codes[field] == code for field, code in page.only.items())


def has_known_codes(page: Page, codes: Codes) -> bool:
    """Return whether all codes of a name are some that the page lists."""
    return all(codes[field] in page.values[field] for field in page.closed if codes[field])


def describe_name(page: Page, name: str) -> dict[str, Cell] | None:
    """Return what the name of a recording alone says, as :func:`describe_codes`; None if it is none of the corpus.

    The label is left out where tables tell it.
    """
    codes = None if "/" in name else read_name(page, name)
    if codes is None or not (is_meant(page, codes) and has_known_codes(page, codes)):
        return None
    return _describe(page, codes)


def describe_codes(page: Page, codes: Codes) -> dict[str, Cell]:
    """Return ``label``, ``speaker`` (if the page knows speakers) and the columns of a recording.

    Raises:
        KeyError: of the code of a label that the page does not list.
    """
    label = str(page.values[page.label][codes[page.label]])
    return {column: get_missing(page, column) for column in page.columns} | _describe(page, codes) | {"label": label}


def _describe(page: Page, codes: Codes) -> dict[str, Cell]:
    told = _read_fields(page, codes)
    found: dict[str, Cell] = {"label": told[page.label]} if page.label in codes else {}
    if page.speaker is not None:
        found["speaker"] = _name_speaker(page.speaker, told)
    return found | {column: told[column] for column in page.columns if column in told}


def _read_fields(page: Page, codes: Codes) -> dict[str, Cell]:
    told = {field: _read_cell(page, field, code) for field, code in codes.items()}
    for field, (source, values) in page.derived.items():
        if source in codes:
            told[field] = values.get(codes[source], "")
    return told


def _read_cell(page: Page, field: str, code: str) -> Cell:
    if field in page.values:
        known = page.values[field]
        return known[code] if code in known else get_missing(page, field)
    if field in page.numbers:
        with suppress(ValueError):
            return int(code) if _WHOLE.fullmatch(code) else float(code)
        return np.nan
    return code


def get_missing(page: Page, field: str) -> Cell:
    """Return what a column holds of an utterance that it says nothing of."""
    means = page.values.get(field, {}).values()
    is_number = field in page.numbers or (means and not any(isinstance(value, str) for value in means))
    return np.nan if is_number else ""


def _name_speaker(template: str, told: Mapping[str, Cell]) -> str:
    parts = {field: str(told.get(field, "")) for field in list_placeholders(template)}
    unknown = any(is_missing(part) or part.casefold() in _NOBODY for part in parts.values())
    return "" if unknown else template.format(**parts)


def name_utterance(page: Page, codes: Codes, stem: str) -> str:
    """Return the id of a recording: its name, or what the page puts together of its fields."""
    name = unicodedata.normalize("NFC", stem)
    return name if page.utterance is None else page.utterance.format(**{**codes, "name": name})


def read_ids(page: Page, ids: Sequence[str]) -> tuple[StrArray, dict[str, Column]] | None:
    """Return the speakers ``(n,)`` and columns that ids of a corpus tell, without audio; None if no id is one of it.

    For any other id they are empty, and NaN where numbers are. Labels are left out, since predictions bring their own.

    >>> speakers, columns = read_ids(open_page("ravdess"), ["03-01-05-02-01-01-12", "noise"])
    >>> speakers.tolist(), columns["sex"].tolist()
    (['12', ''], ['female', ''])
    """
    parsed = [describe_name(page, name) for name in ids]
    if not any(parsed):
        return None
    columns = [column for column in page.columns if any(told and column in told for told in parsed)]
    untold: dict[str, Cell] = {"speaker": "", **{column: get_missing(page, column) for column in page.columns}}
    rows = [{**untold, **(told or {})} for told in parsed]
    speakers = np.array([row["speaker"] for row in rows], dtype=np.str_)
    return speakers, {column: as_column([row[column] for row in rows]) for column in columns}


def find_corpus(ids: Sequence[str]) -> Page | None:
    """Return the page of the published corpus whose ids all are and tell the speaker; of RAVDESS, some; else None."""
    sample = ids[:: max(1, len(ids) // _SAMPLE)]
    for page in map(open_page, list_pages()):
        told = list_placeholders(page.speaker)
        tells = bool(told) and page.names.groupindex.keys() >= set(told)
        if tells and all(describe_name(page, name) for name in sample):
            return page if all(read_name(page, name) for name in ids) else None
    ravdess = open_page("ravdess")
    return ravdess if any(describe_name(ravdess, name) for name in ids) else None
