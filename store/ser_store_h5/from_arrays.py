"""Corpora and members out of lists and arrays, aligned by utterance id."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.corpus import Column, Corpus, StrArray, order_classes
from ser_store_h5.errors import CorpusError, StoreError
from ser_store_h5.member import NO_ANSWER, Member

# How far probabilities of one utterance may be from a sum of 1.
_ROUNDED = 0.01


def make_corpus(
    *,
    ids: Any,
    labels: Any,
    classes: Sequence[str] | None = None,
    speakers: Any = None,
    splits: Mapping[str, Any] | None = None,
    columns: Mapping[str, Any] | None = None,
    name: str = "corpus",
) -> Corpus:
    """Make a corpus of ``n`` utterances, in any order, from lists, arrays or data frame columns.

    Args:
        ids: ``(n,)`` unique names.
        labels: ``(n,)`` class names; or, with ``classes``, indices into them.
        classes: class names in order. Default: those that occur, by alphabet.
        speakers: ``(n,)`` names; None, NaN or an empty string where one is unknown.
        splits: for each split the part of every utterance, ``(n,)``: ``train``, ``valid``, ``test``, ``fold-1``, …
            The first one is the default split.
        columns: further columns, each ``(n,)`` of texts or numbers.
        name: what the corpus is called.

    Raises:
        CorpusError: if lengths differ, an id repeats, or a label is missing or none of the classes.
    """
    names = _as_texts(ids, "ids")
    order = np.argsort(names, kind="stable")
    twice = names[order][1:][names[order][1:] == names[order][:-1]]
    if len(twice):
        raise CorpusError(f"ids: {str(twice[0])!r} occurs more than once: expected every utterance once")
    n = len(names)

    def arrange(values: NDArray[Any], what: str) -> NDArray[Any]:
        if values.shape != (n,):
            raise CorpusError(f"{what} has shape {values.shape}: expected ({n},), one entry for each id")
        return values[order]

    known, codes = _code_labels(_as_array(labels), classes)
    parts = {
        split: arrange(_as_texts(own, f"split {split}"), f"split {split}") for split, own in (splits or {}).items()
    }
    return Corpus(
        name=name,
        ids=names[order],
        labels=arrange(codes, "labels"),
        classes=known,
        speakers=None if speakers is None else arrange(_as_texts(speakers, "speakers"), "speakers"),
        columns={what: arrange(_as_column(own, what), what) for what, own in (columns or {}).items()},
        splits=parts,
        default_split=next(iter(parts), None),
    )


def make_member(
    corpus: Corpus,
    run: str,
    step: int,
    *,
    ids: Any,
    numbers: Any = None,
    are_probabilities: bool = False,
    predicted: Any = None,
    pooled: Any = None,
    layers: Mapping[int, Any] | None = None,
) -> Member:
    """Make a member of what a model said of ``m`` utterances, in any order.

    Args:
        corpus: whose utterances these are.
        run: the run's name.
        step: optimizer steps done.
        ids: ``(m,)`` ids of the utterances.
        numbers: ``(m, c)`` a number for each class, in the corpus' order.
        are_probabilities: whether they are probabilities, which are stored as their logarithms.
        predicted: ``(m,)`` class names; None where there is no answer.
        pooled: ``(m, d)`` representations; float16 and float32 stay as they are, all others become float32.
        layers: such representations of several layers, by number, instead of ``pooled``, which is the last of them.

    Raises:
        UnknownNameError: if the corpus has no such utterance.
        StoreError: if shapes do not fit, an id repeats, a class is unknown, or probabilities do not sum to 1.
    """
    names = _as_texts(ids, "ids")
    rows = corpus.find(names)
    order = np.argsort(rows, kind="stable")
    repeated = rows[order][1:][rows[order][1:] == rows[order][:-1]]
    if len(repeated):
        raise StoreError(f"ids: {str(corpus.ids[repeated[0]])!r} occurs more than once: expected every utterance once")
    m, c = len(names), len(corpus.classes)
    logits = None if numbers is None else _check_shape(_as_numbers(numbers, "logits"), (m, c), "logits", corpus)
    if logits is not None and are_probabilities:
        logits = _check_probabilities(logits, names)
    codes = None if predicted is None else _check_shape(_code_answers(predicted, corpus), (m,), "predicted", corpus)
    if layers and pooled is not None:
        raise StoreError("got pooled and layers: expected one of the two; the last of the layers is pooled")
    vectors = None if pooled is None else _as_vectors(pooled, "pooled", m)[order]
    by_layer = {number: _as_vectors(one, f"layer {number}", m)[order] for number, one in (layers or {}).items()}
    return Member(
        run=run,
        step=step,
        rows=rows[order],
        logits=None if logits is None else logits[order].astype(np.float32),
        pooled=vectors,
        layers=by_layer,
        predicted=None if codes is None else codes[order],
    )


def _as_array(values: Any) -> NDArray[Any]:
    """An array of a list, a tensor on the CPU, or a data frame's column; text stays whole."""
    if hasattr(values, "detach"):  # a torch tensor; numpy knows no bfloat16
        values = values.detach()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
        values = values.cpu().numpy()
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if isinstance(values, list | tuple) and any(one is None for one in values):
        return np.array(values, dtype=object)
    return np.asarray(values)


def _as_texts(values: Any, what: str) -> StrArray:
    """Texts; whole numbers as digits, and the empty string where nothing is there."""
    array = _as_array(values)
    if array.ndim != 1:
        raise CorpusError(f"{what} has shape {array.shape}: expected one entry for each utterance")
    if array.dtype.kind in "US":
        return array.astype(np.str_)
    if array.dtype.kind == "f" and np.isnan(array).any():  # whole numbers with gaps, as data frames hold them
        array = array.astype(object)
    return np.array(["" if _is_missing(one) else _say(one) for one in array.tolist()], dtype=np.str_)


def _is_missing(value: object) -> bool:
    return value is None or value != value  # NaN alone differs from itself


def _say(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _as_numbers(values: Any, what: str) -> NDArray[Any]:
    array = _as_array(values)
    if array.dtype.kind not in "fiu":
        raise StoreError(f"{what} holds {array.dtype}: expected numbers")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _as_vectors(values: Any, what: str, m: int) -> NDArray[Any]:
    vectors = _as_numbers(values, what)
    if vectors.ndim != 2 or len(vectors) != m:
        raise StoreError(f"{what} has shape {vectors.shape}: expected ({m}, hidden), a row for each id")
    return vectors if vectors.dtype in (np.float16, np.float32) else vectors.astype(np.float32)


def _as_column(values: Any, what: str) -> Column:
    array = _as_array(values)
    if array.dtype.kind in "iub":
        return array.astype(np.int64)
    return array.astype(np.float64) if array.dtype.kind == "f" else _as_texts(array, what)


def _code_labels(labels: NDArray[Any], classes: Sequence[str] | None) -> tuple[tuple[str, ...], NDArray[np.int16]]:
    """The classes, and the index of each label."""
    if classes is not None and labels.dtype.kind in "iu":
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            raise CorpusError(
                f"labels go from {labels.min()} to {labels.max()}: expected indices into {len(classes)} classes"
            )
        return tuple(classes), labels.astype(np.int16)
    names = _as_texts(labels, "labels")
    if (names == "").any():
        raise CorpusError(f"labels: entry {int((names == '').argmax())} is empty: expected a class for every utterance")
    known = order_classes(names.tolist()) if classes is None else tuple(classes)
    places = {name: place for place, name in enumerate(known)}
    strange = next((name for name in names.tolist() if name not in places), None)
    if strange is not None:
        raise CorpusError(f"label {strange!r} is none of the classes: expected one of {', '.join(known)}")
    return known, np.array([places[name] for name in names.tolist()], dtype=np.int16)


def _code_answers(predicted: Any, corpus: Corpus) -> NDArray[np.int16]:
    array = _as_array(predicted)
    if array.dtype.kind in "iu":
        return array.astype(np.int16)
    places = {name: place for place, name in enumerate(corpus.classes)} | {"": NO_ANSWER}
    names = _as_texts(array, "predicted").tolist()
    strange = next((name for name in names if name not in places), None)
    if strange is not None:
        raise StoreError(
            f"predicted: {strange!r} is none of the classes: expected one of {', '.join(corpus.classes)}, or None for "
            "no answer"
        )
    return np.array([places[name] for name in names], dtype=np.int16)


def _check_shape(array: NDArray[Any], shape: tuple[int, ...], what: str, corpus: Corpus) -> NDArray[Any]:
    if array.shape != shape:
        columns = f", a column for each class ({', '.join(corpus.classes)})" if len(shape) > 1 else ""
        raise StoreError(f"{what} has shape {array.shape}: expected {shape}, a row for each id{columns}")
    return array


def _check_probabilities(probabilities: NDArray[Any], names: StrArray) -> NDArray[Any]:
    exact = probabilities.astype(np.float64)
    wrong = ~((np.abs(exact.sum(axis=1) - 1) <= _ROUNDED) & (exact >= 0).all(axis=1))
    if wrong.any():
        row = int(wrong.argmax())
        raise StoreError(
            f"probabilities of {str(names[row])!r} are {', '.join(f'{one:.4g}' for one in exact[row][:8])}: expected "
            "numbers from 0 to 1 with a sum of 1; other numbers are logits or scores"
        )
    return take_logarithms(exact)


def take_logarithms(probabilities: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what is stored of probabilities; of 0 the logarithm of the smallest normal float32, which is finite."""
    return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)).astype(np.float32)
