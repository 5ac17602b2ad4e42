"""What a pack leaves out: absolute paths of the machine that a store was made on."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from ser_store_h5.corpus import Column, Corpus
from ser_store_h5.fitted import KEY as FITTED_KEY
from ser_store_h5.runs import RunRecord

_ABSOLUTE = r"(?:/(?!/)|[A-Za-z]:[\\/](?![\\/])|\\\\(?!\\))"
_BEGINNING = r"(?<![\w/\\.~-])(?:file://)?"
_FOLDERS = re.compile(rf"{_BEGINNING}{_ABSOLUTE}(?:[^\s/\\'\"]+[\\/]+)+")
_WHOLE = re.compile(rf"{_ABSOLUTE}(?:(?![:,;] | \().)*")
# Of a run: where its checkpoints are, which no pack has; and bits in base64, in which a slash is a digit.
_CHECKPOINTS, _KEPT = "checkpoints", (FITTED_KEY,)


def hide_paths(value: Any, roots: Sequence[str] = ()) -> Any:
    """Return a JSON value in which every absolute path is its last part alone.

    Args:
        value: texts, numbers, lists and objects.
        roots: folders that are known, whose names may hold spaces: below them, what follows is left.

    >>> hide_paths({"folder": "/home/me/models/base", "note": "2 of /data/x/a.wav and https://a.org/b/c"})
    {'folder': 'base', 'note': '2 of a.wav and https://a.org/b/c'}
    >>> hide_paths(["D:/My Data/a.wav is silent"], roots=["D:/My Data"])
    ['a.wav is silent']
    """
    if isinstance(value, str):
        return _hide_text(value, roots)
    if isinstance(value, Mapping):
        return {_hide_text(key, roots): hide_paths(inner, roots) for key, inner in value.items()}
    return [hide_paths(inner, roots) for inner in value] if isinstance(value, list | tuple) else value


def _hide_text(text: str, roots: Sequence[str]) -> str:
    for root in roots:
        text = re.sub(rf"{_BEGINNING}{re.escape(root)}[\\/]+", "", text) if root in text else text
    if _WHOLE.fullmatch(text):
        return PureWindowsPath(text).name or text[:1]
    return _FOLDERS.sub("", text)


def hide_in_record(record: RunRecord, roots: Sequence[str] = ()) -> RunRecord:
    """Return the record of a run without absolute paths."""
    details = {
        key: value if key in _KEPT else hide_paths(value, roots)
        for key, value in record.details.items()
        if key != _CHECKPOINTS
    }
    selected = record.selected and replace(record.selected, reason=_hide_text(record.selected.reason, roots))
    return replace(record, backbone=_hide_text(record.backbone, roots), selected=selected, details=details)


def hide_in_corpus(corpus: Corpus) -> Corpus:
    """Return the corpus without the folder of its recordings, and without columns that hold nothing but such paths."""
    columns = {name: values for name, values in corpus.columns.items() if not _is_paths(values)}
    return replace(corpus, columns=columns, audio_root=None)


def _is_paths(values: Column) -> bool:
    """Whether all texts are absolute paths of a file in a folder; a phonetic transcript between slashes is none."""
    texts = [] if values.dtype.kind != "U" else np.unique(values[values != ""]).tolist()
    return bool(texts) and all(
        len(max(PurePosixPath(text).parts, PureWindowsPath(text).parts, key=len)) > 2 and _WHOLE.fullmatch(text)
        for text in texts
    )


def find_roots(corpus: Corpus, *paths: object) -> list[str]:
    """Return the folders that texts on a corpus may name, the deepest first."""
    folders = {str(path).rstrip("/\\") for path in (*paths, corpus.audio_root or "")}
    return sorted(filter(_WHOLE.match, folders), key=len, reverse=True)
