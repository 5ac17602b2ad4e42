"""Any corpus from a table: one row per recording, as CSV or Parquet."""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ser_store.audio.decode import AUDIO_SUFFIXES
from ser_store.common.tables import TableFile, load_table
from ser_store.corpora.building import (
    MEASURED_COLUMNS,
    BuiltCorpus,
    Cell,
    Draft,
    Reading,
    build_corpus,
    build_without_audio,
    relabel,
)
from ser_store.corpora.folders import find_files
from ser_store.corpora.manifest_columns import find_fields, read_cells, read_filled, read_names, refuse_segments
from ser_store.corpora.splits.draw import describe_folds, normalise_parts
from ser_store.corpora.splits.speakers import describe_unknown_speakers
from ser_store.corpora.texts import normalise_text, unite_spellings, unwrap_id
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus

_PLAIN = Reading()


def load_manifest(
    manifest: Path,
    *,
    audio: Path | None = None,
    no_audio: bool = False,
    reading: Reading = _PLAIN,
) -> BuiltCorpus:
    """Load the recordings that a CSV or Parquet table lists, as a corpus named after the file.

    Columns: ``path`` and ``label``; optionally ``utterance`` (the id; default: the recording's stem), ``speaker``
    and ``split``, or what else these are called in published corpora (``FileName``, ``emotion``, ``SpkrID``). Labels
    that differ only in case, Unicode form, separators or white space are one class, named as most of them are
    written, and so are speakers; who speaks may be missing, but not the rest. The split has the name of its column,
    its parts as by :func:`~ser_store.corpora.splits.draw.normalise_parts`. All further columns are kept: whole
    numbers as int64, numbers as float64 (empty cells NaN, which makes whole numbers float64 too), everything else,
    truth values too, as text. A column ``duration`` or ``sample_rate`` gives way to the measured one. What was
    understood is in the result's ``notes``.

    Args:
        audio: the folder that relative paths start from; default: the manifest's folder. Where no column names
            recordings, they are those below it that are called by the ids.
        no_audio: there are no recordings: the corpus is what the table says. Ids are the column ``utterance`` (or
            ``id``), or the names of the recordings.

    Raises:
        CorpusError: if the table cannot be read, has no rows, lacks a column or a cell, is of segments, repeats an
            id, or says two things of one recording.
        AudioError: if a recording cannot be used (unless ``reading.skip_bad``).
    """
    table = _strip_headers(load_table(manifest), manifest)
    fields = find_fields(table.frame.columns, manifest, may_lack_path=no_audio or audio is not None)
    if not no_audio:
        refuse_segments(table.frame, manifest)
    if audio is not None and not audio.is_dir():
        raise CorpusError(f"{audio} is not a folder: expected the one that the paths in {manifest} start from")
    root = manifest.parent if audio is None else audio
    drafts, notes = _make_drafts(manifest, table, fields, None if no_audio else root)
    if reading.labels is not None:
        drafts, said = relabel(drafts, reading.labels)
        notes += said
    built = (
        build_without_audio(manifest.stem, drafts)
        if no_audio
        else build_corpus(manifest.stem, drafts, audio_root=root, reading=reading)
    )
    understood = _describe_columns(manifest, fields, built.corpus)
    corpus, folds = _with_own_split(built.corpus, fields["split"]) if "split" in fields else (built.corpus, ())
    notes = [*understood, *table.notes, *notes, *describe_unknown_speakers(corpus), *folds]
    return replace(built, corpus=corpus, notes=(*notes, *built.notes))


def _strip_headers(table: TableFile, manifest: Path) -> TableFile:
    headers = [normalise_text(header) for header in table.frame.columns]
    twice = next((header for header in headers if headers.count(header) > 1), None)
    if twice is not None:
        raise CorpusError(f"{manifest}: column {twice!r} stands twice: expected every column once; drop or rename it")
    return replace(table, frame=table.frame.rename(dict(zip(table.frame.columns, headers, strict=True))))


def _make_drafts(
    manifest: Path, table: TableFile, fields: Mapping[str, str], root: Path | None
) -> tuple[list[Draft], list[str]]:
    """The utterances and what was understood; ``root`` is where recordings lie, None where there are none."""
    cells = table.frame.get_column  # not frame[…], which takes ^…$ for a pattern
    ids, notes = list[str](), list[str]()
    if "utterance" in fields:
        ids, notes = read_filled(cells(fields["utterance"]), manifest, what="utterance")
    written = read_filled(cells(fields["path"]), manifest, what="path")[0] if "path" in fields else []
    if root is None:
        ids = ids or [unwrap_id(path) for path in written]
        paths = [Path(name) for name in written or ids]
    else:
        recordings = _Recordings(root)
        paths = [recordings.find(path) for path in written] or recordings.find_by_name(ids, manifest)
        ids = ids or [normalise_text(path.stem) for path in paths]
    labels, said = read_filled(cells(fields["label"]), manifest, what="label")
    labels, united = _unite(labels, "labels that are one class")
    notes += said + united
    speakers: list[str] | list[None] = [None] * len(ids)
    if "speaker" in fields:
        names, said = read_names(cells(fields["speaker"]), manifest)
        known = ["" if name.casefold() == "unknown" else name for name in names]
        known, united = _unite(known, "speakers that are one")
        notes += said + united
        if any(known):
            speakers = known
        else:
            notes.append(f"column {fields['speaker']!r} is empty: no speaker is known")
    further: dict[str, list[Cell]] = {
        header: read_cells(cells(header), manifest, separator=table.separator)
        for header in table.frame.columns
        if header not in fields.values()
    }
    if "split" in fields:
        further[fields["split"]] = list(read_names(cells(fields["split"]), manifest)[0])
    rows = zip(*further.values(), strict=True) if further else [()] * len(ids)
    drafts = [
        Draft(utterance, path, label, speaker, dict(zip(further, row, strict=True)))
        for utterance, path, label, speaker, row in zip(ids, paths, labels, speakers, rows, strict=True)
    ]
    drafts, said = _drop_repeated(drafts, manifest)
    return drafts, notes + said


def _unite(names: Sequence[str], what: str) -> tuple[list[str], list[str]]:
    united, others = unite_spellings(names)
    told = [f"{name!r} ({', '.join(map(repr, spellings))})" for name, spellings in others.items()]
    return united, [f"{what} but for their spelling: {', '.join(told)}"] if told else []


def _drop_repeated(drafts: Sequence[Draft], manifest: Path) -> tuple[list[Draft], list[str]]:
    """Without the rows that say again what another says; rows that contradict each other are refused."""
    kept: dict[tuple[str, str], tuple[int, Draft]] = {}
    labelled: dict[str, tuple[int, Draft]] = {}
    repeated: list[str] = []
    elsewhere: list[str] = []
    for row, draft in enumerate(drafts, start=1):
        place = os.path.normpath(draft.path)
        first, earlier = labelled.setdefault(place, (row, draft))
        if earlier.label != draft.label:
            raise CorpusError(
                f"{manifest} labels {draft.path.name!r} {earlier.label!r} in row {first} and {draft.label!r} in row "
                f"{row}: expected one label for each recording; keep one row, or cut its segments into files"
            )
        first, same = kept.setdefault((place, draft.id), (row, draft))
        if first == row:
            if earlier is not draft:
                elsewhere.append(f"{draft.path.name!r} in rows {labelled[place][0]} and {row}")
        elif repr((same.speaker, same.columns)) == repr((draft.speaker, draft.columns)):
            repeated.append(f"{draft.path.name!r} in rows {first} and {row}")
        else:
            raise CorpusError(
                f"{manifest} says different things of {draft.path.name!r} in rows {first} and {row}: expected one row "
                f"for each recording; drop one"
            )
    notes = [f"rows that say the same twice are taken once: {len(repeated)}, first {repeated[0]}"] if repeated else []
    if elsewhere:
        notes.append(f"recordings that count as several utterances: {len(elsewhere)}, first {elsewhere[0]}")
    return [draft for _, draft in kept.values()], notes


def _with_own_split(corpus: Corpus, header: str) -> tuple[Corpus, tuple[str, ...]]:
    name = "split" if header.casefold() == "split" else header
    columns = dict(corpus.columns)
    values = columns.pop(header)
    parts = normalise_parts(values)
    notes = describe_folds(values, parts)
    if notes:  # what the folds are called stays known
        columns[name] = values
    corpus = replace(corpus, columns=columns)
    if not (parts != "").any():
        return corpus, (f"column {header!r} is empty: there is no split of the manifest's own",)
    return corpus.with_split(name, parts), notes


def _describe_columns(manifest: Path, fields: Mapping[str, str], corpus: Corpus) -> list[str]:
    """Which column was taken for what, and which ones are further columns."""
    taken = ", ".join(f"{field} is column {header!r}" for field, header in fields.items())
    missing = [field for field in ("speaker", "split") if field not in fields]
    lines = [
        f"{manifest.name}: {taken}"
        + ("" if "utterance" in fields else "; ids are the names of the recordings")
        + (f"; no column for {' or '.join(missing)}" if missing else "")
    ]
    kinds = {"i": "whole numbers", "f": "numbers", "U": "text"}
    further = [
        f"{name} (measured)"
        if name in MEASURED_COLUMNS and corpus.paths is not None
        else f"{name} ({kinds[values.dtype.kind]})"
        for name, values in corpus.columns.items()
        if name not in fields.values()
    ]
    return [*lines, f"further columns: {', '.join(further)}"] if further else lines


@dataclass
class _Recordings:
    """Where files lie that a table names: it may come from Windows, or spell names in another Unicode form."""

    root: Path
    _listed: dict[Path, dict[str, Path]] = field(default_factory=dict)

    def find(self, written: str) -> Path:
        """Return the file; where there is none, the path as it is written, with slashes."""
        for text in (written, written.replace("\\", "/")):
            path = self.root / text
            if os.path.exists(path):  # noqa: PTH110 - no error where the name is too long
                return path
        return path if written.isascii() else self._find_other_form(path) or path

    def find_by_name(self, ids: Sequence[str], manifest: Path) -> list[Path]:
        """Return the recording below the folder that is called by each id.

        Raises:
            CorpusError: naming the first id without one, or with several.
        """
        files: dict[str, list[Path]] = {}
        for path in find_files(self.root)[0]:
            if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
                files.setdefault(normalise_text(path.stem), []).append(path)
        named = [files.get(unwrap_id(name), []) for name in ids]
        odd = [(name, len(found)) for name, found in zip(ids, named, strict=True) if len(found) != 1]
        if odd:
            name, n = odd[0]
            raise CorpusError(
                f"{self.root} holds {n or 'no'} recording{'s' * (n > 1)} called {name!r}, an id in {manifest}, and "
                f"likewise for {len(odd)} of {len(ids)} ids: expected one for each; check `audio`, or name each in a "
                f"column 'path'"
            )
        return [found[0] for found in named]

    def _find_other_form(self, path: Path) -> Path | None:
        found = Path(path.anchor)
        for part in path.parts[1 if path.anchor else 0 :]:
            if not (found / part).exists():
                found = self._list(found).get(unicodedata.normalize("NFC", part), found / part)
            else:
                found = found / part
        return found

    def _list(self, folder: Path) -> dict[str, Path]:
        if folder not in self._listed:
            paths = folder.iterdir() if folder.is_dir() else ()
            self._listed[folder] = {unicodedata.normalize("NFC", path.name): path for path in paths}
        return self._listed[folder]
