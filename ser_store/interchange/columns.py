"""What the columns of a prediction table are: answers of members, numbers for classes, or facts of the utterances."""

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.building import check_column_name
from ser_store.corpora.published.fields import find_corpus, read_ids
from ser_store.corpora.texts import (
    describe_spellings,
    fold_name,
    fold_text,
    is_missing,
    match_names,
    unite_spellings,
    unwrap_id,
)
from ser_store.errors import CorpusError
from ser_store.evaluation.score_kinds import KINDS
from ser_store.interchange.cells import Cells
from ser_store.interchange.prediction_table import PredictionTable
from ser_store.interchange.scores import find_total
from ser_store_h5.corpus import Column, Corpus, StrArray

# Says what the numbers of a row are; the columns after it are the classes. Exports have it where that is not plain.
KIND_COLUMN = "scores"
SPEAKER_WORDS = ("speaker", "speaker id", "speakerid", "spk", "spk id", "actor", "subject")
# Words of corpora: a column so called is no member's answer and no class, unless an utterance is labelled with it.
CORPUS_WORDS = {
    *SPEAKER_WORDS,
    *("split", "fold", "set", "sex", "gender", "age", "language", "corpus", "dataset", "session", "dialogue", "text"),
    *("statement", "sentence", "repetition", "take", "intensity", "duration", "seconds", "start", "end", "offset"),
    *("sample rate", "path", "file", "index", "id", "confidence", "loss", "seed", "epoch"),
}
# Words for emotions: a column of numbers so called is a class of the model, also if no utterance is labelled with it.
_EMOTIONS = {
    *("amused", "amusement", "anger", "angry", "anxiety", "anxious", "bored", "boredom", "calm", "contempt"),
    *("disappointed", "disgust", "disgusted", "excited", "excitement", "fear", "fearful", "frustrated", "frustration"),
    *("happiness", "happy", "joy", "joyful", "love", "neutral", "other", "pride", "relief", "sad", "sadness", "shame"),
    *("surprise", "surprised", "unknown", "ang", "dis", "exc", "fea", "fru", "hap", "neu", "oth", "sur"),
}
_DIGITS = re.compile(r"[0-9]+")


def assign_columns(table: PredictionTable, known: Sequence[str], *, label: str | None) -> dict[str, str]:
    """Return the class of each column that holds the members' numbers; empty where members are known by labels.

    Raises:
        CorpusError: if there are labels and numbers, or a column may be the true labels, or the answers of a member.
    """
    cells, further = table.cells, table.further
    if not table.is_long:
        _refuse_strange(table, known)
        return {}
    if table.has_predicted:
        found = match_names(filter(cells.holds_numbers, further), known)
        if set(known) <= set(found.values()):
            raise CorpusError(
                f"{table.path} has predicted and logits: expected either; drop the column predicted, or the logits"
            )
        return {}
    columns = _find_class_columns(cells, further, known)
    for header in further if label is None else ():
        if header not in columns and not _is_corpus_column(cells, header, known):
            raise CorpusError(
                f"{table.path}: column {header} must hold logits, or what describes the utterances, but it holds names "
                f"of classes: if these are the true labels, say `label` {header}, else drop it"
            )
    return columns


def _refuse_strange(table: PredictionTable, known: Sequence[str]) -> None:
    """Refuse columns of a wide table that may be true labels, or members that lack their step."""
    strange = [
        header for header in table.further if not table.members or not _is_corpus_column(table.cells, header, known)
    ]
    if not strange:
        return
    first, others = strange[0], ", ".join(strange[1:])
    numbers = [header for header in strange if table.cells.holds_numbers(header)]
    if len(numbers) > 1 and not table.members:
        raise CorpusError(
            f"{table.path}: columns {', '.join(numbers[:8])} hold numbers: expected columns run and step beside them, "
            "with step 0 where it is unknown"
        )
    raise CorpusError(
        f"{table.path}: column {first!r} is not headed run@step: if it holds the true labels, say `label` {first}; if "
        f"it holds predictions, rename it, to {first}@0 where the step is unknown"
        + (f"; the same with {others}" if others else "")
    )


def _find_class_columns(cells: Cells, headers: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """The columns among ``headers`` that hold a number for each class, and the class of each, in the table's order.

    They are those that bear the name of a known class, a word for an emotion, or a name made like those of the known
    classes; unless only the first of these, or only all columns together, are probabilities that sum to 1. All columns
    are, that stand after a column ``scores`` which states kinds of numbers.

    Raises:
        CorpusError: if two columns stand for one class.
    """
    marked = find_stated_classes(cells, headers)
    found = match_names(marked or headers, known)
    if marked:
        found = {header: found.get(header, header) for header in marked}
    else:
        others = [header for header in headers if header not in found and cells.holds_numbers(header)]
        others = [header for header in others if fold_text(header) not in CORPUS_WORDS]
        alike = [header for header in others if _looks_like_a_class(header, known)]
        candidates = ([*found, *alike], list(found), [*found, *others])
        chosen = next((headers for headers in candidates if _are_probabilities(cells, headers)), candidates[0])
        found = {header: found.get(header, header) for header in chosen}
    for name in found.values():
        same = [header for header, other in found.items() if other == name]
        if len(same) > 1:
            raise CorpusError(f"{cells.path}: columns {' and '.join(same)} stand for the class {name}: expected one")
    return {header: found[header] for header in headers if header in found}


def find_stated_classes(cells: Cells, headers: Sequence[str]) -> list[str]:
    """Return the columns after :data:`KIND_COLUMN`, if there is one that states kinds of numbers."""
    if KIND_COLUMN not in headers or not set(cells.read_cells(KIND_COLUMN)) <= set(KINDS):
        return []
    return list(headers[headers.index(KIND_COLUMN) + 1 :])


def _looks_like_a_class(header: str, known: Sequence[str]) -> bool:
    stems = {_find_stem(name) for name in known if len(name) == 1 or _DIGITS.search(name)}
    return fold_text(header) in _EMOTIONS or _find_stem(header) in stems


def _find_stem(name: str) -> str:
    """What class names that are numbered, or single letters of one case, have in common."""
    if len(name) == 1 and name.isalpha():
        return "A" if name.isupper() else "a"
    return _DIGITS.sub("", name)


def _are_probabilities(cells: Cells, headers: Collection[str]) -> bool:
    if len(headers) < 2 or not all(map(cells.holds_numbers, headers)):
        return False
    return find_total(cells.read_numbers(list(headers))) is not None


def _is_corpus_column(cells: Cells, header: str, classes: Sequence[str]) -> bool:
    """Whether a column of names is a fact of the utterances, and neither their true labels nor a member's answers."""
    if fold_text(header) in CORPUS_WORDS:
        return True
    names = set(cells.read_cells(header)) - {""}
    return not names or len(match_names(names, classes)) < len(names)


@dataclass(frozen=True)
class Facts:
    """What is known of ``n`` utterances in ascending order of id.

    Attributes:
        speakers: ``(n,)`` str, empty where unknown; None where no speaker is known.
        columns: further columns, each ``(n,)``.
        ignored: columns that a corpus cannot keep, or that say different things of one utterance.
        notes: one line for each thing that was taken from the table or from the ids.
    """

    speakers: StrArray | None = None
    columns: dict[str, Column] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def collect_facts(table: PredictionTable, headers: Sequence[str]) -> Facts:
    """Return what the columns ``headers`` say of the utterances, and what ids of a published corpus where none does."""
    ids, first, places = np.unique(table.ids, return_index=True, return_inverse=True)
    kept = [header for header in headers if _is_kept(table, header, first, places)]
    read: dict[str, str] = {}
    told = [header for word in SPEAKER_WORDS for header in kept if fold_text(header) == word][:1]
    names = list(map(unwrap_id, ids.tolist()))
    page = find_corpus(names)
    speakers, columns = (None if page is None else read_ids(page, names)) or (None, {})
    if told:
        cells = np.array(table.cells.read_cells(told[0]))[first].tolist()
        united, spellings = unite_spellings(["" if is_missing(cell) else cell for cell in cells])
        speakers = np.array(united, dtype=np.str_) if any(united) else None
        read = {other: name for name, others in spellings.items() for other in others}
    columns |= {header: table.cells.read_column(header, first) for header in kept if header not in told}
    notes = describe_spellings(read, "speakers")
    notes += [f"no class, but kept as columns of the corpus: {', '.join(kept)}"] if kept else []
    if page is not None:
        what = ", ".join([*([] if told else ["speakers"]), *(name for name in columns if name not in kept)])
        notes.append(f"told by the ids, which are those of {page.what}: {what}")
    if speakers is not None and "" in speakers:
        n = int((speakers == "").sum())
        example = ids[speakers == ""][0]
        notes.append(f"the speaker of {n} of {len(ids)} utterances is unknown, such as that of {example!s}")
    return Facts(speakers, columns, tuple(header for header in headers if header not in kept), tuple(notes))


def _is_kept(table: PredictionTable, header: str, first: NDArray[np.intp], places: NDArray[np.intp]) -> bool:
    """Whether a corpus can have a column of this name, and its cells are the same for all members."""
    if fold_text(header) not in SPEAKER_WORDS:
        try:
            check_column_name(header)
        except CorpusError:
            return False
    cells = np.array(table.cells.read_cells(header))
    rows = np.flatnonzero(cells[first][places] != cells)
    if len(rows) and fold_text(header) in SPEAKER_WORDS:
        utterance, other = table.ids[rows[0]], cells[first][places][rows[0]]
        raise CorpusError(
            f"{table.path}: column {header} gives utterance {utterance!s} two speakers, {other} and {cells[rows[0]]}: "
            "expected one for each utterance"
        )
    return not len(rows)


def join_facts(table: PredictionTable, corpus: Corpus, meta: Path) -> tuple[PredictionTable, list[str]]:
    """Return the answers about utterances that ``corpus``, which a table of facts was read as, has; and who is missing.

    Raises:
        CorpusError: if the two tables have no utterance in common, or say different things of one.
    """
    answered, known = sorted(set(table.ids.tolist())), set(corpus.ids.tolist())
    unknown, silent = [name for name in answered if name not in known], sorted(known - set(answered))
    if len(unknown) == len(answered):
        raise CorpusError(
            f"{table.path} and {meta} have no utterance in common: the first are {answered[0]!r} and "
            f"{str(corpus.ids[0])!r}; expected the same ids in both"
        )
    _refuse_contradictions(table, corpus, meta)
    notes = []
    if unknown:
        notes.append(
            f"answers about utterances that {meta.name} does not list, left out: {len(unknown)} of {len(answered)} "
            f"utterances, the first {unknown[0]!r}"
        )
    if silent:
        notes.append(
            f"utterances of {meta.name} without an answer: {len(silent)} of {len(corpus)}, the first {silent[0]!r}"
        )
    return (table.keep(known) if unknown else table), notes


def _refuse_contradictions(table: PredictionTable, corpus: Corpus, meta: Path) -> None:
    """Refuse a column of facts that says otherwise what the corpus says."""
    row_of = {name: row for row, name in enumerate(corpus.ids.tolist())}
    for header in table.further:
        facts = corpus.speakers if fold_text(header) in SPEAKER_WORDS else corpus.columns.get(header)
        if facts is None:
            continue
        known = facts.tolist()
        for utterance, cell in zip(table.ids.tolist(), table.cells.read_cells(header), strict=True):
            expected = str(known[row_of[utterance]]) if utterance in row_of else ""
            if not (is_missing(cell) or is_missing(expected) or _is_same(cell, expected)):
                raise CorpusError(
                    f"{table.path} says {header} {cell} of {utterance!r}, and {meta} says {expected}: expected the "
                    f"same in both; mend one, or drop its column"
                )


def _is_same(cell: str, other: str) -> bool:
    if fold_name(cell) == fold_name(other):
        return True
    with suppress(ValueError):
        return float(cell) == float(other)
    return False
