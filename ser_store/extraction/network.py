"""The forward passes of an extraction, as many utterances at once as fit into memory."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.recordings import Recordings
from ser_store.backbones.description import Statistic, refuse_speaker_head
from ser_store.common.display import format_bytes
from ser_store.common.log import LOGGER
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.extraction.layers import resolve_layers
from ser_store.recipes.recipe import Precision
from ser_store.training.distributed.processes import find_share, is_main
from ser_store_h5.progress import Progress, silent


@dataclass(frozen=True)
class Piece:
    """What was computed at once, of ``b`` utterances.

    Attributes:
        rows: which they are, ``(b,)`` int32, in any order.
        logits: ``(b, c)`` float32, or None.
        by_layer: ``(n_layers, b, d)`` float32, pooled.
    """

    rows: Rows
    logits: NDArray[np.float32] | None
    by_layer: NDArray[np.float32]


# Computes rows of the corpus but for those that are done; what stands together in a batch does not depend on these. Of
# several processes each computes its share.
Compute = Callable[[Rows, Rows], Iterator[Piece]]


@dataclass(frozen=True)
class Passes:
    """How recordings pass a network.

    Attributes:
        recordings: all that may be asked for, by row.
        batch_size: utterances for each forward pass; half as many, and so on, where memory runs out.
        batch_seconds: of sound in each forward pass, padding counted; likewise.
        precision: of a frozen backbone, or of a checkpoint other than it was trained in.
        progress: wraps the utterances.
        layers: the hidden states that are pooled: ``all``, ``last``, or their numbers.
        statistics: of their frames; none: as the model pools the last ones.
        window_seconds: what is longer passes the network in windows of at most this length.
        device: ``cpu`` or ``cuda``. Default: the GPU where there is one.
        are_kept: whether a store keeps what is computed, so that its size is worth a word.
    """

    recordings: Recordings
    batch_size: int = 8
    batch_seconds: float = math.inf
    precision: Precision | None = None
    progress: Progress = silent
    layers: str | tuple[int, ...] = "last"
    statistics: tuple[Statistic, ...] = ()
    window_seconds: float = math.inf
    device: str | None = None
    are_kept: bool = True


def prepare_network(
    loaded: Any, passes: Passes, *, member: str, with_logits: bool, precision: str
) -> tuple[dict[str, Any], Compute]:
    """Return what identifies the numbers that a network gives, and what computes them.

    Args:
        loaded: a :class:`~ser_store.backbones.loading.LoadedModel`.
        member: what is extracted, by the name it has in messages.
        with_logits: whether its head has been trained.
        precision: as in :class:`~ser_store.recipes.recipe.Recipe`.

    Raises:
        ModelError: if its head answers no utterance alone.
    """
    from ser_store.backbones.digest import compute_model_digest
    from ser_store.inference.features import describe_preprocessing

    if with_logits:
        refuse_speaker_head(loaded.model.config.head, member)
    choice = _choose_layers(loaded, passes)
    # The head of a frozen backbone is random and says nothing, so its weights do not tell models apart.
    identity = {
        "model_digest": compute_model_digest(loaded.model if with_logits else loaded.model.backbone),
        "preprocessing": describe_preprocessing(loaded.feature_extractor),
        "precision": precision,
        **loaded.describe(),
        **({} if choice is None else {"pooling": ",".join(choice.statistics)}),
    }
    if choice is not None and choice.numbers != (_count_layers(loaded),):
        identity["layers"] = list(choice.numbers)
    if passes.window_seconds < math.inf:
        identity["window_seconds"] = passes.window_seconds

    def compute(rows: Rows, done: Rows) -> Iterator[Piece]:
        if choice is not None and passes.are_kept and is_main():
            _report_size(member, len(rows), choice, loaded.model.config.backbone_config.hidden_size)
        batches = _cut_batches(passes, rows, done)[find_share()]
        options = {"member": member, "precision": precision, "layers": choice, "device": passes.device}
        options["window_seconds"] = passes.window_seconds
        pieces = _iter_pieces(loaded, passes, batches, with_logits=with_logits, **options)
        return iter_counted(pieces, total=sum(map(len, batches)), progress=passes.progress)

    return identity, compute


def iter_counted(pieces: Iterable[Piece], *, total: int, progress: Progress) -> Iterator[Piece]:
    """Yield the pieces, and show how many of the utterances they had."""
    counted = iter(progress(range(total), total=total, label="extracting") if is_main() else range(total))
    for piece in pieces:
        yield piece
        deque(islice(counted, len(piece.rows)), maxlen=0)
    deque(counted, maxlen=0)


def _cut_batches(passes: Passes, rows: Rows, done: Rows) -> list[Rows]:
    """The batches of ``rows`` without what is done, the longest utterances first.

    Equal lengths need no padding, and memory runs out at the beginning if it does.
    """
    from ser_store.inference.forward import cut_batches

    seconds = passes.recordings.load_seconds(rows)
    order = np.argsort(-seconds, kind="stable")
    n_long = int((seconds > passes.window_seconds).sum())  # each passes alone
    short = cut_batches(seconds[order[n_long:]].tolist(), size=passes.batch_size, most=passes.batch_seconds)
    cut = [slice(place, place + 1) for place in range(n_long)]
    cut += [slice(n_long + one.start, n_long + one.stop) for one in short]
    is_done = np.isin(rows, done)[order]
    batches = [rows[order[places]][~is_done[places]] for places in cut]
    return [batch for batch in batches if len(batch)]


def _count_layers(loaded: Any) -> int:
    return len(loaded.model.backbone.encoder.layers)


def _choose_layers(loaded: Any, passes: Passes) -> Any:
    """The layers that are pooled beside what the model pools itself, which is all where nothing else is asked for."""
    from ser_store.backbones.model import LayerChoice

    top, pooling = _count_layers(loaded), (loaded.model.config.pooling,)
    choice = LayerChoice(resolve_layers(passes.layers, top, backbone=loaded.backbone_key), passes.statistics or pooling)
    return None if choice == LayerChoice((top,), pooling) else choice


def _report_size(member: str, n: int, choice: Any, hidden_size: int) -> None:
    layers, width = len(choice.numbers), hidden_size * len(choice.statistics)
    counted = f"{layers} layer{'s' if layers > 1 else ''}"
    size = format_bytes(2 * layers * n * width)
    LOGGER.info("%s: %s × %d utterances × %d numbers × 2 bytes: %s", member, counted, n, width, size)


def _iter_pieces(
    loaded: Any, passes: Passes, batches: list[Rows], *, member: str, with_logits: bool, **options: Any
) -> Iterator[Piece]:
    """Yield what the network says of one batch after the other.

    Raises:
        MemoryLimitError: naming the utterance that does not fit into memory alone.
    """
    from ser_store.inference.dataset import SpeechDataset
    from ser_store.inference.forward import iter_batches
    from ser_store.inference.out_of_memory import explain_utterance, free_memory, halve, is_out_of_memory

    while batches:
        described = {"feature_extractor": loaded.feature_extractor, "context": loaded.context}
        dataset, done = SpeechDataset(passes.recordings, np.concatenate(batches), **described), 0
        ends = np.cumsum([0, *map(len, batches)]).tolist()
        places = [range(start, end) for start, end in pairwise(ends)]
        try:
            for logits, pooled in iter_batches(loaded.model, dataset, places, **options):
                by_layer = pooled[np.newaxis] if pooled.ndim == 2 else np.moveaxis(pooled, 1, 0)
                yield Piece(batches[done], logits if with_logits else None, by_layer)
                done += 1
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
        batches = batches[done:]
        if batches:
            # Only here the traceback is gone, and with it what it held in memory.
            free_memory()
            before = len(batches[0])
            if before == 1:
                raise explain_utterance(member, passes.recordings.name(int(batches[0][0])))
            size = halve(before)
            batches = [batch[start : start + size] for batch in batches for start in range(0, len(batch), size)]
            LOGGER.info("%s: out of memory with %d utterances at a time: goes on with %d", member, before, size)
