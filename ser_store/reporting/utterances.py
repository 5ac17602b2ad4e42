"""What the page shows of utterances: the hard ones, how hard all are, and each speaker's and each column's."""

import os
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import StoreError
from ser_store.evaluation.choice.ensemble_names import load_members
from ser_store.evaluation.slices import Slice, find_groups, slice_members
from ser_store.evaluation.uncertainty import choose_rule
from ser_store.reporting.question import Asked
from ser_store_h5.corpus import Corpus

Audio = Literal["embed", "link"]

# Hard utterances that a page lists, and values of a column that it tells apart.
MOST_LISTED, MOST_VALUES = 60, 30
_KINDS = {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".m4a": "audio/mp4"}


def describe_hard(asked: Asked, predicted: NDArray[np.int16], *, audio: Audio | None, beside: Path) -> dict[str, Any]:
    """Return how many members get how many utterances right, and those that fewer than half do, the hardest first.

    Args:
        asked: the question.
        predicted: ``(m, n)`` what the members say.
        audio: whether recordings of those that are listed are in the page, or linked from it.
        beside: the folder of the page.

    Raises:
        StoreError: if recordings are asked for, and none of them is where the corpus says.
    """
    corpus, m = asked.store.corpus, len(predicted)
    n_right = np.count_nonzero(predicted == corpus.labels[asked.rows], axis=0)
    hard = [place for place in np.argsort(n_right, kind="stable").tolist() if 2 * n_right[place] < m]
    listed = [
        _describe_utterance(corpus, int(asked.rows[place]), predicted[:, place]) | {"n_right": int(n_right[place])}
        for place in hard[:MOST_LISTED]
    ]
    if audio is not None:
        for one in listed:
            one["audio"] = _find_audio(corpus, one["row"], audio, beside)
        if listed and not any(one["audio"] for one in listed):
            raise StoreError(
                f"`audio` {audio}: none of the {len(listed)} recordings is where the corpus says: expected them there; "
                "leave `audio` out"
            )
    return {
        "n_by_right": np.bincount(n_right, minlength=m + 1).tolist(),
        "n_hard": len(hard),
        "listed": listed,
        "audio_bytes": sum(len(one.get("audio") or "") for one in listed) if audio == "embed" else 0,
    }


def _describe_utterance(corpus: Corpus, row: int, said: NDArray[np.int16]) -> dict[str, Any]:
    classes, counts = np.unique(said, return_counts=True)
    return {
        "row": row,
        "utterance": str(corpus.ids[row]),
        "label": corpus.classes[corpus.labels[row]],
        "speaker": "" if corpus.speakers is None else str(corpus.speakers[row]),
        "said": [
            {"class": corpus.classes[classes[place]] if classes[place] >= 0 else "no answer", "n": int(counts[place])}
            for place in np.argsort(-counts, kind="stable").tolist()
        ],
    }


def _find_audio(corpus: Corpus, row: int, audio: Audio, beside: Path) -> str | None:
    """The address of a recording in the page; None where it is not there."""
    if corpus.paths is None or not corpus.paths[row] or corpus.audio_root is None:
        return None
    file = Path(corpus.audio_root) / str(corpus.paths[row])
    if not file.is_file():
        return None
    if audio == "link":
        return quote(Path(os.path.relpath(file, beside.resolve())).as_posix())
    kind = _KINDS.get(file.suffix.lower(), "application/octet-stream")
    return f"data:{kind};base64,{b64encode(file.read_bytes()).decode()}"


def iter_slices(asked: Asked, compared: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the accuracy of members and ensembles by speaker, by class, and by each column that tells groups apart."""
    corpus, rows = asked.store.corpus, asked.rows
    truth, predicted = corpus.labels[rows], load_members(asked.store, compared, rows)[0]
    speakers = corpus.speaker_groups(rows)
    for by in [*(["speaker"] if corpus.speakers is not None else []), "label", *sorted(corpus.columns)]:
        values = _name_values(corpus, by, rows)
        if values is None:
            continue
        sliced = slice_members(
            truth,
            predicted,
            values,
            by=by,
            n_classes=len(corpus.classes),
            rule=choose_rule(speakers),
            speakers=speakers,
        )
        first = sliced[0]
        yield {
            "by": by,
            "of": list(compared),
            "gap": first.gap,
            "p": None if first.test is None else first.test.p,
            "groups": [
                {
                    "group": group.group,
                    "n": group.metrics.n,
                    "figures": [_describe_slice(own.slices[place]) for own in sliced],
                }
                for place, group in enumerate(first.slices)
            ],
        }


def _name_values(corpus: Corpus, by: str, rows: NDArray[np.int32]) -> NDArray[Any] | None:
    column = corpus.columns.get(by)
    if column is not None and len(set(column[rows].tolist())) > MOST_VALUES:
        return None
    values: NDArray[Any] = find_groups(corpus, by)[rows]
    return values if len(set(values.tolist())) > 1 else None


def _describe_slice(own: Slice) -> dict[str, Any]:
    return {"accuracy": own.metrics.accuracy, "bounds": list(own.interval.bounds)}
