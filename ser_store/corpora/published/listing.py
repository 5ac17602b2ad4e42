"""`list_corpora`: the published corpora that are known by name, and what is known of one."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_store.common.display import Block, Result, Table
from ser_store.corpora.published.page import FOLDER, Page, list_pages, open_page, read_page


@dataclass(frozen=True, repr=False)
class PublishedCorpora(Result):
    """Published corpora, by name.

    Attributes:
        corpora: the page of each.
        is_one: whether one was asked for, which is described in full.
    """

    corpora: tuple[Page, ...]
    is_one: bool = False

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore corpora`` prints."""
        if self.is_one:
            yield from _describe_page(self.corpora[0])
            return
        rows = [
            [
                page.key,
                page.language or "–",
                page.utterances or None,
                page.speakers or None,
                len(page.classes),
                page.split or "–",
                page.title,
            ]
            for page in self.corpora
        ]
        yield Table(["corpus", "language", "utterances", "speakers", "classes", "own split", "title"], rows)

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each corpus: ``corpus``, what it is, and where its description stands."""
        return [
            {
                "corpus": page.key,
                **{name: getattr(page, name) for name in ("title", "citation", "doi", "licence", "source", "language")},
                "utterances": page.utterances or None,
                "speakers": page.speakers or None,
                "classes": list(page.classes),
                "columns": list(page.columns),
                "split": page.split,
                "left_out": list(page.leave_out),
                "example": page.example,
            }
            for page in self.corpora
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore corpora --json``."""
        return {"corpora": self.records()}


def list_corpora(corpus: str | os.PathLike[str] | None = None) -> PublishedCorpora:
    """List the published corpora that :func:`ser_store.init` knows by name, or describe one of them.

    Args:
        corpus: a name, or a page of one's own (TOML). Default: all that are known by name.

    Raises:
        UnknownNameError: if there is no such corpus.

    >>> import ser_store as ss
    >>> ss.list_corpora("emodb").corpora[0].classes
    ('angry', 'bored', 'disgust', 'fearful', 'happy', 'neutral', 'sad')
    """
    if corpus is None:
        return PublishedCorpora(tuple(map(open_page, list_pages())))
    name = os.fspath(corpus)
    page = read_page(Path(name)) if name.lower().endswith(".toml") else open_page(name)
    return PublishedCorpora((page,), is_one=True)


def load_page_text(corpus: str) -> str:
    """Return the page of a corpus that is known by name as it is written, to begin one of one's own with.

    Raises:
        UnknownNameError: if there is no such corpus.
    """
    return (FOLDER / f"{open_page(corpus).key}.toml").read_text(encoding="utf-8")


def _describe_page(page: Page) -> Iterator[str]:
    counts = [f"{n:,} {noun}" for n, noun in ((page.utterances, "utterances"), (page.speakers, "speakers")) if n]
    language = f" ({page.language})" if page.language else ""
    yield f"{page.key}: {', '.join([page.title + language, *counts])}"
    yield from (line for line in (page.citation, f"doi: {page.doi}" if page.doi else "") if line)
    yield f"licence: {page.licence or 'not stated'}" + (f"; from {page.source}" if page.source else "")
    if page.example:
        yield f"recordings: {page.example}.wav and the like, at any depth"
    tables = [f"{table.name}{'' if table.required else ' (if there)'}" for table in page.tables]
    if tables:
        yield f"read with them: {'; '.join(tables)}"
    codes: dict[str, list[str]] = {}
    for code, name in page.values[page.label].items():
        codes.setdefault(str(name), []).append(code)
    said = [name if codes[name] == [name] else f"{name} ({', '.join(codes[name])})" for name in page.classes]
    yield f"classes: {', '.join(said)}"
    if page.leave_out:
        left = [f"{name} ({', '.join(codes[name])})" for name in page.leave_out]
        yield f"left out by usual practice, unless a label map lists them: {', '.join(left)}"
    yield f"columns: {', '.join(page.columns)}"
    yield f"published split: {page.split}" if page.split else "published split: none"
