"""What a prediction table tells of its utterances beside the answers: speakers, further columns, parts of splits."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.building import check_column_name
from ser_store.corpora.ravdess import describe_ravdess_ids
from ser_store.corpora.splits.draw import add_split
from ser_store.corpora.texts import fold_text, is_missing, unite_spellings
from ser_store.errors import CorpusError
from ser_store.interchange.columns import SPEAKER_WORDS
from ser_store.interchange.matching import describe_spellings, unwrap_id
from ser_store.interchange.prediction_table import PredictionTable
from ser_store_h5.corpus import Column, Corpus, StrArray

# Columns that are parts of a split, where they can be.
_SPLIT_COLUMNS = ("split", "fold")


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
    """Return what the ids tell, if they are RAVDESS's, and what the columns ``headers`` do, which have precedence."""
    ids, first, places = np.unique(table.ids, return_index=True, return_inverse=True)
    kept = [header for header in headers if _is_kept(table, header, first, places)]
    read: dict[str, str] = {}
    told = [header for word in SPEAKER_WORDS for header in kept if fold_text(header) == word][:1]
    speakers, columns = describe_ravdess_ids(map(unwrap_id, ids.tolist())) or (None, {})
    if told:
        cells = np.array(table.cells.read_cells(told[0]))[first].tolist()
        united, spellings = unite_spellings(["" if is_missing(cell) else cell for cell in cells])
        speakers = np.array(united, dtype=np.str_) if any(united) else None
        read = {other: name for name, others in spellings.items() for other in others}
    columns |= {header: table.cells.read_column(header, first) for header in kept if header not in told}
    notes = describe_spellings(read, "speakers")
    notes += [f"no class, but kept as columns of the corpus: {', '.join(kept)}"] if kept else []
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


def with_own_splits(corpus: Corpus) -> Corpus:
    """Return the corpus with a split for each column that names parts."""
    for name in _SPLIT_COLUMNS:
        if name in corpus.columns:
            with suppress(CorpusError):  # one value only, or one for each utterance: it is a column like others
                corpus = add_split(corpus, name)
    return corpus
