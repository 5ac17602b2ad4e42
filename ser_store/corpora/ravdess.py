"""RAVDESS speech by the ids of its utterances alone, without audio; `pages/ravdess.toml` says what they mean."""

from collections.abc import Iterable

import numpy as np

from ser_store.corpora.building import Cell, as_column
from ser_store.corpora.published.fields import describe_codes, get_missing, has_known_codes, is_meant, read_name
from ser_store.corpora.published.page import Page, open_page
from ser_store_h5.corpus import Column, StrArray


def open_ravdess() -> Page:
    """Return the page of RAVDESS speech."""
    return open_page("ravdess")


def parse_ravdess_id(utterance_id: str) -> dict[str, Cell] | None:
    """Return ``label``, ``speaker`` and columns of a RAVDESS speech recording, or None if the id is not of one.

    >>> parse_ravdess_id("03-01-05-02-01-01-12")["label"]
    'angry'
    """
    page = open_ravdess()
    codes = None if "/" in utterance_id else read_name(page, utterance_id)
    if codes is None or not (is_meant(page, codes) and has_known_codes(page, codes)):
        return None
    return describe_codes(page, codes)


def describe_ravdess_ids(ids: Iterable[str]) -> tuple[StrArray, dict[str, Column]] | None:
    """Read speakers ``(n,)`` and columns (sex, intensity, statement, repetition) off the ids alone, without audio.

    For an id that is not of RAVDESS speech they are empty, and NaN for the repetition; None if no id is. Labels are
    left out, since predictions bring their own.

    >>> speakers, columns = describe_ravdess_ids(["03-01-05-02-01-01-12", "noise"])
    >>> speakers.tolist(), columns["sex"].tolist()
    (['12', ''], ['female', ''])
    """
    parsed = [parse_ravdess_id(utterance_id) for utterance_id in ids]
    if not any(parsed):
        return None
    page = open_ravdess()
    untold: dict[str, Cell] = {"speaker": "", **{column: get_missing(page, column) for column in page.columns}}
    told = [fields or untold for fields in parsed]
    speakers = np.array([fields["speaker"] for fields in told], dtype=np.str_)
    return speakers, {column: as_column([fields[column] for fields in told]) for column in page.columns}
