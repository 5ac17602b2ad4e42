"""RAVDESS speech by the ids of its utterances alone, without audio; `pages/ravdess.toml` says what they mean."""

from collections.abc import Iterable

from ser_store.corpora.building import Cell
from ser_store.corpora.published.fields import describe_name
from ser_store.corpora.published.ids import read_ids
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
    return describe_name(open_ravdess(), utterance_id)


def describe_ravdess_ids(ids: Iterable[str]) -> tuple[StrArray, dict[str, Column]] | None:
    """Read speakers ``(n,)`` and columns (sex, intensity, statement, repetition) off the ids alone, without audio.

    For an id that is not of RAVDESS speech they are empty, and NaN for the repetition; None if no id is. Labels are
    left out, since predictions bring their own.

    >>> speakers, columns = describe_ravdess_ids(["03-01-05-02-01-01-12", "noise"])
    >>> speakers.tolist(), columns["sex"].tolist()
    (['12', ''], ['female', ''])
    """
    return read_ids(open_ravdess(), list(ids))
