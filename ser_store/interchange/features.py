"""Representations that other programs made, from arrays and tables, by utterance id."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.tables import READABLE, load_table
from ser_store.corpora.folders import find_files
from ser_store.corpora.manifest_columns import find_field
from ser_store.corpora.texts import fold_text, match_names, unwrap_id
from ser_store.errors import CorpusError
from ser_store.interchange.cells import Cells
from ser_store.interchange.columns import CORPUS_WORDS
from ser_store_h5.corpus import Corpus
from ser_store_h5.from_arrays import make_member
from ser_store_h5.member import Member
from ser_store_h5.names import parse_member

ARRAYS = (".npz", ".npy")
_ID_WORDS = ("id", "ids", "key", "keys", "name", "names")
# Numbers in a table that describe an utterance: never a dimension. So are those that a manifest's fields are called by.
_NO_FEATURES = {*CORPUS_WORDS, "run", "step", "frametime", "valence", "arousal", "activation", "dominance"}
_LISTED = 5


@dataclass(frozen=True)
class Features:
    """Representations of one member, as a file holds them.

    Attributes:
        name: the member's, ``run`` or ``run@step``.
        ids: ``(m,)`` str, the utterances in the file's spelling and order.
        vectors: ``(m, hidden)`` of numbers.
        dimensions: the names of the columns; empty where the file has none.
    """

    name: str
    ids: NDArray[np.str_]
    vectors: NDArray[Any]
    dimensions: tuple[str, ...] = ()


def load_features(path: Path) -> tuple[list[Features], tuple[str, ...]]:
    """Read representations, and name what else is in the file.

    Args:
        path: NPZ: an array ``ids`` and one ``(m, hidden)`` for each member, or a vector for each utterance under its
            id. NPY: ``(m, hidden)``, the ids in a text file of the same name beside it, one a line. A folder: a vector
            in each ``ID.npy``. CSV or Parquet: a column of ids, and either a column for each dimension or, in Parquet,
            a column of lists for each member. What is alone is called after the file.

    Raises:
        CorpusError: if the file is none of these, or has no ids, or its rows are not one vector for each utterance.

    >>> np.savez("emotion2vec.npz", ids=["a", "b"], features=np.zeros((2, 768), dtype=np.float32))
    >>> [(one.name, one.ids.tolist(), one.vectors.shape) for one in load_features(Path("emotion2vec.npz"))[0]]
    [('emotion2vec', ['a', 'b'], (2, 768))]
    """
    path = Path(path)
    if path.is_dir():
        return [Features(path.resolve().name, *_stack(_load_folder(path), path))], ()
    if path.suffix.lower() in READABLE:
        return _read_table(path)
    if path.suffix.lower() not in ARRAYS:
        raise CorpusError(f"{path}: expected representations as a folder of .npy, or {', '.join((*ARRAYS, *READABLE))}")
    loaded = _load(path)
    if isinstance(loaded, dict):
        return _read_archive(loaded, path)
    return [Features(path.stem, _read_ids(path.with_suffix(".txt")), loaded)], ()


def _load(path: Path) -> Any:
    """An array, or the arrays of an archive by name."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as missing:
        raise CorpusError(f"{path}: no such file: expected arrays as .npz or .npy; check the path") from missing
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as problem:
        reason = (str(problem).splitlines() or ["unreadable"])[0].rstrip(".")
        raise CorpusError(
            f"{path}: cannot be read ({reason}): expected arrays of numbers, and ids as text, np.array(ids, dtype=str)"
        ) from problem


def _load_folder(folder: Path) -> dict[str, NDArray[Any]]:
    """The array of each ``ID.npy`` below a folder, hidden files aside."""
    found: dict[str, Path] = {}
    for file in find_files(folder)[0]:
        if file.suffix.lower() != ".npy" or file.name.startswith("."):
            continue
        if file.stem in found:
            raise CorpusError(f"{found[file.stem]} and {file} are of one id: expected one file for each utterance")
        found[file.stem] = file
    return {name: np.asarray(_load(file)) for name, file in found.items()}


def _find_ids(names: Sequence[str]) -> str | None:
    """Which of these names is that of the ids, if one is."""
    fields = {find_field(name) or find_field(name.removesuffix("s")): name for name in reversed(names)}
    plain = next((name for name in names if fold_text(name) in _ID_WORDS), None)
    return fields.get("utterance") or fields.get("path") or plain


def _read_archive(arrays: Mapping[str, NDArray[Any]], path: Path) -> tuple[list[Features], tuple[str, ...]]:
    key = _find_ids([name for name, one in arrays.items() if one.ndim == 1 and one.dtype.kind in "USiu"])
    if key is None:
        return [Features(path.stem, *_stack(arrays, path))], ()
    ids = np.char.decode(arrays[key], "utf-8") if arrays[key].dtype.kind == "S" else arrays[key].astype(np.str_)
    found = {name: one for name, one in arrays.items() if name != key and one.ndim > 1 and one.dtype.kind in "fiu"}
    if not found:
        raise CorpusError(f"{path} holds {', '.join(arrays)}: expected an array (m, hidden) of representations")
    members = [Features(_name(name, path, len(found)), ids, vectors) for name, vectors in found.items()]
    return members, tuple(name for name in arrays if name != key and name not in found)


def _name(header: str, path: Path, members: int) -> str:
    return header if members > 1 or "@" in header else path.stem


def _stack(vectors: Mapping[str, NDArray[Any]], path: Path) -> tuple[NDArray[np.str_], NDArray[Any]]:
    """Ids and representations, one of each name."""
    if not vectors:
        raise CorpusError(f"{path} holds no arrays: expected a vector for each utterance, called by its id")
    first = next(iter(vectors.values()))
    for name, vector in vectors.items():
        if vector.ndim != 1 or vector.shape != first.shape or vector.dtype.kind not in "fiu":
            raise CorpusError(
                f"{path}: {name} has shape {vector.shape} of {vector.dtype}: expected {len(first) if first.ndim else 1}"
                " numbers, one vector for each utterance (of frames, their mean), or an array of ids beside it"
            )
    return np.array(list(vectors), dtype=np.str_), np.stack(list(vectors.values()))


def _read_ids(path: Path) -> NDArray[np.str_]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise CorpusError(
            f"an .npy file holds no ids: expected them in {path}, one a line in the order of the rows; or save both as "
            f".npz, np.savez(FILE, ids=ids, features=features)"
        ) from problem
    return np.array([line.strip() for line in lines if line.strip()], dtype=np.str_)


def _read_table(path: Path) -> tuple[list[Features], tuple[str, ...]]:
    frame = load_table(path).frame
    key = _find_ids(frame.columns)
    if key is None:
        raise CorpusError(f"{path} has the columns {', '.join(frame.columns[:8])}: expected one called utterance")
    cells = Cells(frame, path, ())
    ids = cells.read_text(key)
    others = [name for name in frame.columns if find_field(name) is None and fold_text(name) not in _NO_FEATURES]
    others = [name for name in others if name != key]
    lists = [name for name in others if frame[name].dtype.is_nested()]
    if lists:
        members = [Features(_name(name, path, len(lists)), ids, _read_lists(frame[name], path)) for name in lists]
        return members, tuple(name for name in frame.columns if name not in (key, *lists))
    columns = [name for name in others if not cells.holds_text(name)]
    if not columns:
        raise CorpusError(f"{path} has no column of numbers: expected one for each dimension of the representations")
    vectors = cells.read_numbers(columns, np.float32, meant="representations")
    members = [Features(path.stem, ids, vectors, tuple(columns))]
    return members, tuple(name for name in frame.columns if name not in (key, *columns))


def _read_lists(series: Any, path: Path) -> NDArray[Any]:
    import polars

    if isinstance(series.dtype, polars.Array):
        series = series.arr.to_list()
    numbers = series.explode() if isinstance(series.dtype, polars.List) else series
    widths = series.list.len().unique().to_list() if isinstance(series.dtype, polars.List) else []
    if not numbers.dtype.is_numeric() or len(widths) != 1 or not widths[0]:
        raise CorpusError(
            f"{path}: column {series.name} holds {series.dtype} of {', '.join(map(str, sorted(widths, key=str)[:4]))} "
            "numbers: expected lists of one length, a vector for each utterance"
        )
    vectors: NDArray[Any] = numbers.to_numpy().reshape(len(series), widths[0])
    return vectors


def align_features(loaded: Sequence[Features], corpus: Corpus, path: Path) -> tuple[list[Member], list[str]]:
    """Return the members in the corpus' order of utterances, and a line for each that lacks some of them.

    Raises:
        CorpusError: if shapes do not fit, or a number is not finite.
        UnknownNameError: if the corpus has no such utterance.
        StoreError: if an utterance repeats, or a member's name breaks its rule.
    """
    members: list[Member] = []
    notes: list[str] = []
    for features in loaded:
        known = match_names(features.ids.tolist(), corpus.ids.tolist(), unwrap_id)
        vectors = _check_vectors(features, path)
        run, step = parse_member(features.name)
        ids = [known.get(name, name) for name in features.ids.tolist()]
        members.append(make_member(corpus, run, step or 0, ids=ids, pooled=vectors))
        notes += _describe_missing(members[-1], corpus)
    return members, notes


def _check_vectors(features: Features, path: Path) -> NDArray[Any]:
    """The representations as they are stored: float16 and float32 as they are, all others float32."""
    vectors, ids = features.vectors, features.ids
    if vectors.ndim != 2 or len(vectors) != len(ids) or not vectors.size or vectors.dtype.kind not in "fiu":
        raise CorpusError(
            f"{path}: {features.name} has shape {vectors.shape} of {vectors.dtype}: expected ({len(ids)}, hidden), a "
            "vector of numbers for each id; of frames, their mean"
        )
    with np.errstate(over="ignore"):
        stored = vectors if vectors.dtype in (np.float16, np.float32) else vectors.astype(np.float32)
    bad = ~np.isfinite(stored)
    if bad.any():
        row, place = (int(axis[0]) for axis in np.nonzero(bad))
        where = features.dimensions[place] if features.dimensions else f"number {place + 1} of {vectors.shape[1]}"
        raise CorpusError(
            f"{path}: {features.name} is not finite in {bad.any(axis=1).sum()} of {len(ids)} utterances, the first is "
            f"{str(ids[row])!r} ({where}): expected a finite number everywhere; mend it, or drop the row or column"
        )
    return stored


def _describe_missing(member: Member, corpus: Corpus) -> Iterator[str]:
    missing = np.setdiff1d(np.arange(len(corpus)), member.rows)
    if len(missing):
        shown = ", ".join(corpus.ids[missing[:_LISTED]].tolist()) + (", …" if len(missing) > _LISTED else "")
        yield f"{member.name} lacks {len(missing)} of the {len(corpus)} utterances: {shown}"
