"""A page: what is known of one published corpus, as a TOML file states it. `docs/corpora.md` explains its keys."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from pathlib import Path
from string import Formatter
from typing import Any

from ser_store.common.documents import load_toml
from ser_store.corpora.building import Cell, check_column_name
from ser_store.errors import CorpusError, SerstoreError, UnknownNameError, describe_unknown

FOLDER = Path(__file__).parents[1] / "pages"
_EXAMPLE = "title, names, label and the other keys that docs/corpora.md explains"


@dataclass(frozen=True)
class TablePage:
    """A table that comes with a corpus.

    Attributes:
        name: what messages call it.
        files: pattern of its path; named groups are fields of every row.
        line: pattern of a line that is a row, its named groups the fields; of a text file.
        columns: the header of each field; of a CSV.
        key: the fields that say which recordings a row is about.
        required: whether a recording without a row is none of the corpus.
    """

    name: str
    files: re.Pattern[str]
    line: re.Pattern[str] | None
    columns: Mapping[str, str]
    key: tuple[str, ...]
    required: bool = True

    def list_fields(self) -> set[str]:
        """Return the fields that a row has."""
        return {*self.files.groupindex, *self.columns, *(self.line.groupindex if self.line else ())}


@dataclass(frozen=True)
class Page:
    """A published corpus.

    Attributes:
        key: what it is called: its file's name.
        title, citation, doi, licence, source, language: about it, for people; empty where not stated.
        utterances, speakers: how many it has as published; 0 where not stated.
        short, what: what messages call it, and its recordings: ``RAVDESS``, ``RAVDESS speech``.
        example, expects: the name of one recording, and what names must look like.
        names: pattern of the path of a recording without suffix, from any folder on; named groups are its fields.
        only: the code that a field of a recording must have; others are no part of the corpus.
        ignored: what those are.
        values: what each code of a field means; other codes there are not.
        derived: for each further field the field that it follows from, and the value for each of its values.
        numbers: the fields that are numbers.
        label: the field that is the label.
        speaker, utterance: how speaker and id are put together of fields; None where no speaker is known, and for the
            name of the recording.
        columns: the fields that become columns.
        split: the field that is the published split.
        leave_out: classes that are left out by usual practice, and why.
        folds: the published folds: the speakers of each by name of the split.
        tables: that come with it.
    """

    key: str
    title: str
    names: re.Pattern[str]
    label: str
    citation: str = ""
    doi: str = ""
    licence: str = ""
    source: str = ""
    language: str = ""
    utterances: int = 0
    speakers: int = 0
    short: str = ""
    what: str = ""
    example: str = ""
    expects: str = ""
    only: Mapping[str, str] = field(default_factory=dict)
    ignored: str = ""
    values: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)
    derived: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    numbers: tuple[str, ...] = ()
    speaker: str | None = None
    utterance: str | None = None
    columns: tuple[str, ...] = ()
    split: str | None = None
    leave_out: tuple[str, ...] = ()
    why: str = ""
    folds: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    tables: tuple[TablePage, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that utterances get, by alphabet."""
        return tuple(sorted({str(name) for name in self.values[self.label].values()} - set(self.leave_out)))

    @cached_property
    def closed(self) -> tuple[str, ...]:
        """The fields of a name whose codes the page lists, in their order."""
        return tuple(field for field in self.names.groupindex if field in self.values and field not in self.only)

    def list_fields(self) -> set[str]:
        """Return the fields that a recording can have."""
        return {*self.names.groupindex, *self.derived}.union(*(table.list_fields() for table in self.tables))


def list_pages() -> tuple[str, ...]:
    """Return the names of the corpora that have a page, by alphabet."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@lru_cache(maxsize=64)
def open_page(name: str) -> Page:
    """Return the page of a corpus by its name, whatever its case, hyphens and underscores.

    Raises:
        UnknownNameError: if there is none.
    """
    known = {_fold(key): FOLDER / f"{key}.toml" for key in list_pages()}
    if _fold(name) not in known:
        way_out = "`list_corpora()` shows all; a table is named FILE.csv, a page of your own PAGE.toml"
        raise UnknownNameError(describe_unknown("corpus", name, list_pages(), way_out=way_out))
    return read_page(known[_fold(name)])


def _fold(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def read_page(path: Path) -> Page:
    """Read a page.

    Raises:
        CorpusError: if a key is missing or contradicts the others, or a pattern is none.
        UnknownNameError: for a key or a field that there is not.
        SerstoreError: if the file cannot be read, or is no TOML.
    """
    stated = load_toml(path, expected="the page of a corpus", example=_EXAMPLE)
    try:
        page = _make_page(path.stem, stated)
        _check_page(page)
    except SerstoreError as problem:
        raise type(problem)(f"{path}: {problem}") from problem
    return page


def _make_page(key: str, stated: Mapping[str, Any]) -> Page:
    known = {one.name for one in fields(Page)} - {"key"}
    _check_keys(stated, known, needed=("title", "names", "label"))
    given = dict(stated)
    for name in ("utterances", "speakers"):
        if name in given and (not isinstance(given[name], int) or isinstance(given[name], bool)):
            raise CorpusError(f"{name} is {given[name]!r}: expected a number")
    texts = {one.name for one in fields(Page) if one.type in (str, str | None)} & given.keys()
    for name in texts:
        _check_text(name, given[name])
    given["names"] = _compile("names", given["names"], before="(?:.*/)?")
    for name in ("numbers", "columns", "leave_out"):
        given[name] = _list_texts(name, given.get(name, []))
    given["values"] = {name: _read_values(name, own) for name, own in _section(given, "values").items()}
    given["derived"] = {name: _read_derived(name, own) for name, own in _section(given, "derived").items()}
    given["only"] = {name: _check_text(f"only.{name}", own) for name, own in _section(given, "only").items()}
    given["folds"] = {
        name: tuple(_list_texts(f"folds.{name}", own) for own in _check_list(f"folds.{name}", folds))
        for name, folds in _section(given, "folds").items()
    }
    given["tables"] = tuple(_read_table(own) for own in _check_list("tables", given.get("tables", [])))
    short = given.setdefault("short", given["title"])
    given.setdefault("what", short)
    given.setdefault("ignored", "files of the data set were ignored: they are no part of this corpus")
    example = given.get("example", "")
    given.setdefault("expects", f"{example} and the like" if example else "names as the page states")
    return Page(key=key, **given)


def _check_page(page: Page) -> None:
    """Refuse what names a field that there is not, or that nothing is known of."""
    known = page.list_fields()
    asked = [page.label, *page.columns, *page.numbers, *page.values, *([page.split] if page.split else [])]
    asked += list_placeholders(page.speaker)
    asked += [name for name, _ in page.derived.values()]
    asked += [name for table in page.tables for name in table.key]
    for name in asked:
        if name not in known:
            raise UnknownNameError(describe_unknown("field", name, sorted(known)))
    named = set(page.names.groupindex)
    for name in [*(set(page.only) - named), *(set(list_placeholders(page.utterance)) - named - {"name"})]:
        raise CorpusError(f"{name!r} in only or utterance: expected fields of names, or {{name}}, the recording's own")
    if page.split is not None and page.split not in page.columns:
        raise CorpusError(f"split {page.split!r} is none of the columns: expected one of them")
    for name in page.columns:
        check_column_name(name)
    if page.label not in page.values:
        raise CorpusError(f"values.{page.label} is missing: expected the class that each code of the label means")
    if len(page.classes) < 2:
        raise CorpusError(f"values.{page.label} names {len(page.classes)} classes: expected two at least")
    strange = set(page.leave_out) - set(map(str, page.values[page.label].values()))
    if strange:
        raise CorpusError(f"leave_out names {sorted(strange)[0]!r}, which is no class of values.{page.label}")


@lru_cache(maxsize=64)
def list_placeholders(text: str | None) -> tuple[str, ...]:
    """Return the fields that a text such as ``{session}{sex}`` is put together of.

    Raises:
        CorpusError: if it is no such text.
    """
    try:
        return tuple(name for _, name, _, _ in Formatter().parse(text or "") if name is not None)
    except ValueError as problem:
        raise CorpusError(f"{text!r} ({problem}): expected fields in braces, such as {{actor}}") from problem


def _check_keys(stated: Mapping[str, Any], known: set[str], *, needed: Sequence[str] = (), of: str = "") -> None:
    for name in stated:
        if name not in known:
            raise UnknownNameError(describe_unknown("key", f"{of}{name}", [f"{of}{one}" for one in sorted(known)]))
    for name in needed:
        if name not in stated:
            raise CorpusError(f"{of}{name} is missing: expected {_EXAMPLE}")


def _section(stated: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    own = stated.get(name, {})
    if not isinstance(own, dict):
        raise CorpusError(f"{name} is {own!r}: expected a table, [{name}]")
    return own


def _check_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise CorpusError(f"{name} is {value!r}: expected text")
    return value


def _check_list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise CorpusError(f"{name} is {value!r}: expected a list")
    return value


def _list_texts(name: str, value: Any) -> tuple[str, ...]:
    return tuple(_check_text(name, one) for one in _check_list(name, value))


def _compile(name: str, pattern: Any, *, before: str = "") -> re.Pattern[str]:
    try:
        re.compile(_check_text(name, pattern))
        return re.compile(f"{before}(?:{pattern})", re.ASCII)
    except re.error as problem:
        raise CorpusError(f"{name} is {pattern!r} ({problem}): expected a regular expression") from problem


def _read_values(name: str, own: Any) -> dict[str, Cell]:
    if isinstance(own, list):  # codes that stand for themselves
        return {code: code for code in _list_texts(f"values.{name}", own)}
    if not isinstance(own, dict) or not all(isinstance(one, str | int | float) and one != "" for one in own.values()):
        raise CorpusError(f"values.{name} is {own!r}: expected what each code means, or a list of the codes")
    return dict(own)


def _read_derived(name: str, own: Any) -> tuple[str, dict[str, str]]:
    if not isinstance(own, dict) or "of" not in own:
        raise CorpusError(f"derived.{name} is {own!r}: expected of, a field, and for each value a list of its codes")
    values = {
        code: value
        for value, codes in own.items()
        if value != "of"
        for code in _list_texts(f"derived.{name}.{value}", codes)
    }
    return _check_text(f"derived.{name}.of", own["of"]), values


def _read_table(own: Any) -> TablePage:
    if not isinstance(own, dict):
        raise CorpusError(f"tables holds {own!r}: expected tables, [[tables]]")
    _check_keys(own, {"name", "files", "line", "columns", "key", "required"}, needed=("files", "key"), of="tables.")
    if ("line" in own) == ("columns" in own):
        raise CorpusError("tables: expected one of line, the pattern of a row, and columns, the header of each field")
    columns = {name: _check_text(f"tables.columns.{name}", one) for name, one in _section(own, "columns").items()}
    required = own.get("required", True)
    if not isinstance(required, bool):
        raise CorpusError(f"tables.required is {required!r}: expected true or false")
    return TablePage(
        name=_check_text("tables.name", own.get("name", own["files"])),
        files=_compile("tables.files", own["files"], before="(?:.*/)?"),
        line=_compile("tables.line", own["line"]) if "line" in own else None,
        columns=columns,
        key=_list_texts("tables.key", own["key"]),
        required=required,
    )
