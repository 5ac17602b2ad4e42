"""A member as a value: what one run said at one step about the utterances it covers. Knows no file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.corpus import Corpus, CorpusHeader
from ser_store_h5.errors import StoreError
from ser_store_h5.names import MAX_STEP, format_member

# What ``predicted`` holds where the answer is none of the classes, or there was none.
NO_ANSWER = -1
MAX_LAYER = 999
_EXPONENT = np.uint16(0x7C00)  # all its bits are set for infinity and NaN, and for nothing else
_BLOCK = 1 << 16  # numbers tested at once: what is made of them stays in a core's cache


def name_layers(numbers: Iterable[int]) -> dict[int, str]:
    """Return the dataset of each layer; that of the last one is ``pooled``.

    >>> name_layers([0, 6])
    {0: 'layers/00', 6: 'pooled'}
    """
    *lower, last = sorted(numbers) or (None,)
    return {number: f"layers/{number:02}" for number in lower} | ({} if last is None else {last: "pooled"})


@dataclass(frozen=True)
class Member:
    """What one run said at one step; ``m`` utterances covered, ``c`` classes, ``d`` hidden.

    Attributes:
        run: the run's name.
        step: optimizer steps done when it was taken.
        rows: ``(m,)`` int32, indices into the corpus, ascending, unique.
        logits: ``(m, c)`` float32 in the corpus' class order, or None.
        pooled: ``(m, d)`` float16 or float32 pooled representations, or None.
        predicted: ``(m,)`` int16 class indices, for members imported as labels, or None; -1 where the answer is none
            of the classes, or there was none.
        provenance: how it came to be; JSON values.
        layers: where several were kept, the pooled representations of each layer of the backbone by its number, each
            ``(m, d)``; ``pooled`` is the last one.

    >>> import ser_store as ss
    >>> ss.open_example().read_member("xlsr53").predicted.shape
    (288,)
    """

    run: str
    step: int
    rows: NDArray[np.int32]
    logits: NDArray[np.float32] | None = None
    pooled: NDArray[np.float16] | NDArray[np.float32] | None = None
    predicted: NDArray[np.int16] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    layers: Mapping[int, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.layers and self.pooled is None:
            object.__setattr__(self, "pooled", self.layers[max(self.layers)])

    @property
    def name(self) -> str:
        return format_member(self.run, self.step)

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array it holds, by the name of its dataset."""
        held = {"rows": self.rows, "logits": self.logits, "pooled": self.pooled, "predicted": self.predicted}
        layers = {name: self.layers[number] for number, name in name_layers(self.layers).items()}
        return {name: array for name, array in {**held, **layers}.items() if array is not None}


@dataclass(frozen=True)
class MemberInfo:
    """What a member holds, without its arrays.

    Attributes:
        n: number of utterances covered.
        pooled: shape of the pooled representations, or None.
        logits: shape of the logits, or None.
        can_vote: whether it has logits or predicted labels.
        bytes: size of its file; in a packed store, of its arrays in the file.
        dataset_bytes: size of each array it holds; of all layers but the last one under ``layers``.
        layers: numbers of the layers, where several were kept.
    """

    run: str
    step: int
    n: int
    pooled: tuple[int, int] | None
    logits: tuple[int, int] | None
    can_vote: bool
    provenance: Mapping[str, Any]
    bytes: int
    dataset_bytes: Mapping[str, int] = field(default_factory=dict)
    layers: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return format_member(self.run, self.step)


def is_finite(array: NDArray[Any]) -> bool:
    """Return whether no number of a floating-point array is NaN or infinite.

    Half-precision ones are tested as bits, 14 times quicker than numpy converts them.
    """
    numbers = array.reshape(-1)
    return all(_is_block_finite(numbers[start : start + _BLOCK]) for start in range(0, len(numbers), _BLOCK))


def _is_block_finite(numbers: NDArray[Any]) -> bool:
    if numbers.dtype == np.float16:
        return not bool(((numbers.view(np.uint16) & _EXPONENT) == _EXPONENT).any())
    return bool(np.isfinite(numbers).all())


def _is_finite(array: NDArray[Any]) -> bool:
    """Whether all numbers are finite as they are stored: float64 beyond the range of float32 is not."""
    with np.errstate(over="ignore"):
        return is_finite(array.astype(np.float32) if array.dtype == np.float64 else array)


def check_member(member: Member, corpus: Corpus | CorpusHeader) -> None:
    """Refuse a member that contradicts itself or its corpus.

    Raises:
        StoreError: stating the contradiction.
    """
    m, name = len(member.rows), member.name
    if not 0 <= member.step <= MAX_STEP:
        raise StoreError(f"{name}: expected a step of 0 to {MAX_STEP}")
    if m == 0:
        raise StoreError(f"{name} covers no utterance: expected at least one")
    rows = member.rows
    if rows[0] < 0 or rows[-1] >= len(corpus) or not bool(np.all(rows[:-1] < rows[1:])):
        raise StoreError(f"{name}: rows must be ascending and unique indices below {len(corpus)}")
    if member.logits is None and member.pooled is None and member.predicted is None:
        raise StoreError(f"{name} holds nothing: expected logits, pooled or predicted")
    if member.logits is not None and member.logits.shape != (m, len(corpus.classes)):
        raise StoreError(
            f"{name}: logits have shape {member.logits.shape}: expected ({m}, {len(corpus.classes)}), one row for each "
            "of its utterances and one column for each class"
        )
    if member.logits is not None:
        _check_finite(member, "logits", member.logits, corpus)
    if member.pooled is not None:
        _check_pooled(member, member.pooled, corpus)
    if member.predicted is not None and (
        member.predicted.shape != (m,)
        or not NO_ANSWER <= member.predicted.min() <= member.predicted.max() < len(corpus.classes)
    ):
        raise StoreError(
            f"{name}: predicted must be {m} class indices below {len(corpus.classes)}, or {NO_ANSWER} for none of them"
        )


def _check_finite(member: Member, what: str, array: NDArray[Any], corpus: Corpus | CorpusHeader) -> None:
    if _is_finite(array):
        return
    row = int(member.rows[next(place for place, values in enumerate(array) if not _is_finite(values))])
    first = corpus.ids[row] if isinstance(corpus, Corpus) else f"number {row}"
    raise StoreError(
        f"{member.name}: {what} {'hold' if what == 'logits' else 'holds'} NaN or infinity, of utterance {first} first: "
        "expected finite numbers; leave such utterances out, or, of a model, has its training diverged?"
    )


def _check_pooled(member: Member, pooled: NDArray[Any], corpus: Corpus | CorpusHeader) -> None:
    m, name = len(member.rows), member.name
    if pooled.ndim != 2 or len(pooled) != m or not pooled.size:
        raise StoreError(f"{name}: pooled has shape {pooled.shape}: expected ({m}, hidden)")
    if member.layers and not 0 <= min(member.layers) <= max(member.layers) <= MAX_LAYER:
        raise StoreError(
            f"{name} has layers {', '.join(map(str, member.layers))}: expected numbers of 0 to {MAX_LAYER}"
        )
    if member.layers and member.layers[max(member.layers)] is not pooled:
        raise StoreError(f"{name}: pooled is not layer {max(member.layers)}: expected the last of its layers")
    for what, array in member.arrays.items():
        if what != "pooled" and not what.startswith("layers/"):
            continue
        if array.shape != pooled.shape:
            raise StoreError(f"{name}: {what} has shape {array.shape}: expected {pooled.shape}, as pooled has")
        if array.dtype.str not in ("<f2", "<f4"):
            raise StoreError(f"{name}: {what} has dtype {array.dtype}: expected float16 or float32")
        _check_finite(member, what, array, corpus)
