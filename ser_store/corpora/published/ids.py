"""What the ids of utterances say by themselves, where they are those of a published corpus."""

from collections.abc import Sequence

import numpy as np

from ser_store.corpora.building import Cell, as_column
from ser_store.corpora.published.fields import describe_name, get_missing, read_name
from ser_store.corpora.published.page import Page, list_pages, list_placeholders, open_page
from ser_store_h5.corpus import Column, StrArray

_SAMPLE = 50


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
