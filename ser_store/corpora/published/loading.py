"""From a folder of recordings to the corpus that a page describes."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ser_store.audio.decode import AUDIO_SUFFIXES
from ser_store.common.tables import READABLE, load_table
from ser_store.corpora.building import BuiltCorpus, Draft, Reading, build_corpus, relabel
from ser_store.corpora.folders import find_files
from ser_store.corpora.label_map import LabelMap
from ser_store.corpora.published.fields import (
    Codes,
    describe_codes,
    has_known_codes,
    is_meant,
    name_utterance,
    read_name,
)
from ser_store.corpora.published.page import Page, TablePage
from ser_store.corpora.texts import match_names, unwrap_id
from ser_store.errors import CorpusError

Row = Mapping[str, str]
Key = tuple[str, ...]

# Quotation marks and dashes of Windows that were taken for Latin-1 when a table was saved as UTF-8.
_MISREAD = re.compile("[\x80-\x9f]")
_PLAIN = Reading()


def load_rows(page: Page, table: TablePage, files: Sequence[Path], folder: Path) -> dict[Key, Row]:
    """Return the rows of a table by their key; of several with one key the first.

    Raises:
        CorpusError: if the table is needed and not below ``folder``, or no file of it has such rows or columns.
    """
    found = [(path, match) for path in files if (match := table.files.fullmatch(path.as_posix()))]
    rows: dict[Key, Row] = {}
    for path, match in found:
        own = {field: code or "" for field, code in match.groupdict().items()}
        for row in _iter_rows(table, path):
            whole = {**own, **row}
            rows.setdefault(make_key(table, whole), whole)
    if not rows and table.required:
        got = f"{found[0][0]} holds no row of it" if found else "there is none"
        raise CorpusError(
            f"{folder} lacks the labels of {page.short}, which stand in {table.name}: {got}; name the folder that "
            f"holds them and the recordings as `audio`"
        )
    return rows


def make_key(table: TablePage, codes: Row) -> Key:
    """Return what joins a recording to the rows about it: names of files without folder and suffix."""
    return tuple(unwrap_id(codes.get(field, "")) for field in table.key)


def _iter_rows(table: TablePage, path: Path) -> Iterator[Row]:
    if table.line is not None:
        for line in _decode(path).splitlines():
            match = table.line.fullmatch(line.strip())
            if match is not None:
                yield {field: code or "" for field, code in match.groupdict().items()}
        return
    if path.suffix.lower() not in READABLE:
        return
    frame = load_table(path).frame
    lacking = [header for header in table.columns.values() if header not in frame.columns]
    if lacking:
        raise CorpusError(
            f"{path} has no column {lacking[0]!r}: expected {', '.join(table.columns.values())}, found "
            f"{', '.join(frame.columns[:12])}; is it of another release?"
        )
    cells = {
        field: ["" if cell is None else _mend(str(cell)).strip() for cell in frame.get_column(header).to_list()]
        for field, header in table.columns.items()
    }
    for row in zip(*cells.values(), strict=True):
        yield dict(zip(cells, row, strict=True))


def _decode(path: Path) -> str:
    content = path.read_bytes()
    try:
        return unicodedata.normalize("NFC", content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _mend(content.decode("latin-1"))


def _mend(text: str) -> str:
    mended = _MISREAD.sub(lambda mark: mark[0].encode("latin-1").decode("cp1252", errors="replace"), text)
    return unicodedata.normalize("NFC", mended)


@dataclass(frozen=True)
class _Found:
    """A file with the name of a recording, and the fields that its name has."""

    path: Path
    codes: Codes


def load_published(
    page: Page,
    audio: Path,
    reading: Reading = _PLAIN,
) -> BuiltCorpus:
    """Load the recordings of a published corpus anywhere below ``audio``, with what their names and tables say.

    Columns are those of the page, ``duration`` and ``sample_rate``. Links to folders are followed. Files with such a
    name that are no part of the corpus (songs, videos) are ignored and counted, and so is audio under other names, by a
    note; all other files are ignored.

    Args:
        reading: with ``labels``, classes that the page leaves out by usual practice are not left out; with
            ``skip_bad``, recordings that cannot be decoded, are there in no format that is read, have a code that the
            page does not list, or lie in folders that cannot be listed are left out, instead of refusing.

    Raises:
        CorpusError: if there is no such folder, no recording of the corpus in it, the same recording twice, or no table
            of those that the labels stand in.
        AudioError: if a recording cannot be used (unless ``reading.skip_bad``).
    """
    if not audio.is_dir():
        got = "is a file" if audio.exists() else "does not exist"
        raise CorpusError(f"{audio} {got}: expected the folder of the {page.short} recordings; check `audio`")
    files, left_out = find_files(audio)
    named = [_Found(path, codes) for path in files if (codes := _read_path(page, path)) is not None]
    meant = [one for one in named if is_meant(page, one.codes)]
    read = [one for one in meant if one.path.suffix.lower() in AUDIO_SUFFIXES]
    left_out += _tell_left_out(page, meant, read)
    usable = [one for one in read if has_known_codes(page, one.codes)]
    if not usable:
        raise CorpusError(_describe_nothing(page, audio, files, left_out))
    notes = _tell_unnamed(page, files)
    for table in page.tables:
        usable, said = _join(page, table, usable, files, audio)
        notes += said
    drafts, said = _choose(page, _drop_empty([_draft(page, one) for one in usable]), reading.labels)
    built = build_corpus(page.key, drafts, audio_root=audio, reading=reading, left_out=left_out)
    ignored = len(named) - len(meant)
    return replace(built, ignored=ignored, ignored_as=page.ignored, notes=(*notes, *said, *built.notes))


def _read_path(page: Page, path: Path) -> Codes | None:
    """The fields of a file; companions `._NAME`, which macOS leaves on foreign disks, have none."""
    return None if path.name.startswith(".") else read_name(page, path.absolute().with_suffix("").as_posix())


def _describe_nothing(page: Page, audio: Path, files: Sequence[Path], left_out: Sequence[str]) -> str:
    first = f"; first: {left_out[0]}" if left_out else ""
    only = f" ({', '.join(f'{field} {code}' for field, code in page.only.items())})" if page.only else ""
    such = f"names such as {page.example}.wav{only}" if page.example else "the names that its page states"
    return (
        f"{audio} holds no {page.what} recording among {len(files):,} files: expected {such} at any depth; check "
        f"`audio`, or describe another corpus by a table, `corpus` FILE.csv{first}"
    )


def _tell_left_out(page: Page, meant: Sequence[_Found], read: Sequence[_Found]) -> list[str]:
    """One line for each recording that is there in no format that is read, or has codes that the page does not list."""
    stems = {name_utterance(page, one.codes, one.path.stem) for one in read}
    suffixes: dict[Path, list[str]] = defaultdict(list)
    for one in meant:
        if name_utterance(page, one.codes, one.path.stem) not in stems:
            suffixes[one.path.with_suffix("")].append(one.path.suffix or "a file without suffix")
    unread = [
        f"{path} is there as {' and '.join(found)} only: expected a recording as WAV, FLAC, MP3, OGG, AIFF, AU or CAF; "
        f"convert it"
        for path, found in suffixes.items()
    ]
    *others, last = page.closed or ("field",)
    closed = f"{', '.join(others)} or {last}" if others else last
    return unread + [
        f"{one.path} is named like {page.what} but has no such {closed}: expected {page.expects}; rename it, or list "
        f"the corpus in a manifest"
        for one in read
        if not has_known_codes(page, one.codes)
    ]


def _tell_unnamed(page: Page, files: Sequence[Path]) -> list[str]:
    """A line on audio under other names, if there is any; hidden files and companions `._NAME` are none."""
    unnamed = [
        path
        for path in files
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and _read_path(page, path) is None
    ]
    if not unnamed:
        return []
    article = "an" if page.short[0] in "AEIOU" else "a"
    return [f"audio files without {article} {page.short} name, left out: {len(unnamed):,}; the first is {unnamed[0]}"]


def _join(
    page: Page, table: TablePage, found: Sequence[_Found], files: Sequence[Path], audio: Path
) -> tuple[list[_Found], list[str]]:
    """The recordings with what their rows say; those without one are left out, if the labels stand there."""
    rows = load_rows(page, table, files, audio)
    with_rows = [_Found(one.path, {**rows.get(make_key(table, one.codes), {}), **one.codes}) for one in found]
    if not table.required:
        return with_rows, []
    has_row = [make_key(table, one.codes) in rows for one in found]
    kept = [one for one, is_told in zip(with_rows, has_row, strict=True) if is_told]
    untold = [one for one, is_told in zip(found, has_row, strict=True) if not is_told]
    heard = {make_key(table, one.codes) for one in kept}
    silent_rows = [key for key in rows if key not in heard]
    if not kept:
        raise CorpusError(
            f"none of the {len(found):,} {page.what} recordings in {audio} has a row in the table of labels: the first "
            f"is {found[0].path.name}, and the first row is of {' '.join(next(iter(rows)))}; are they of one release?"
        )
    notes = []
    if untold:
        notes.append(f"recordings without a label, left out: {len(untold):,}; the first is {untold[0].path.name}")
    if silent_rows:
        notes.append(f"labels without a recording: {len(silent_rows):,}; the first is of {' '.join(silent_rows[0])}")
    return kept, notes


def _draft(page: Page, one: _Found) -> Draft:
    try:
        told = describe_codes(page, one.codes)
    except KeyError as code:
        raise CorpusError(
            f"{one.path.name} has the {page.label} {code} in the table of labels: expected one of "
            f"{', '.join(page.values[page.label])}; list it in a page of your own, which `corpus` names"
        ) from code
    columns = {column: told[column] for column in page.columns}
    speaker = str(told["speaker"]) if "speaker" in told else None
    return Draft(name_utterance(page, one.codes, one.path.stem), one.path, str(told["label"]), speaker, columns)


def _drop_empty(drafts: Sequence[Draft]) -> list[Draft]:
    """The utterances without the columns that no name and no table fills."""
    filled = {column for draft in drafts for column, cell in draft.columns.items() if cell == cell and cell != ""}
    return [
        replace(draft, columns={column: cell for column, cell in draft.columns.items() if column in filled})
        for draft in drafts
    ]


def _choose(page: Page, drafts: Sequence[Draft], labels: LabelMap | None) -> tuple[list[Draft], list[str]]:
    """The utterances of the classes that are wanted: those of the map, and not those that usual practice leaves out."""
    named = match_names(page.leave_out, labels.classes) if labels is not None else {}
    unusual = set(page.leave_out) - set(named)
    counts = Counter(draft.label for draft in drafts if draft.label in unusual)
    notes = []
    if counts:
        said = ", ".join(f"{n:,} {label}" for label, n in sorted(counts.items()))
        notes.append(
            f"left out by usual practice{f' ({page.why})' if page.why else ''}: {said}; `labels` keeps what it lists"
        )
    kept = [draft for draft in drafts if draft.label not in unusual]
    if labels is None:
        return kept, notes
    kept, said_of_labels = relabel(kept, labels)
    return kept, notes + said_of_labels
