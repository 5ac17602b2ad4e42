"""The forward passes of an extraction, as many utterances at once as fit into memory."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.recordings import load_durations
from ser_store.backbones.description import Statistic
from ser_store.common.display import format_bytes
from ser_store.common.log import LOGGER
from ser_store.corpora.splits.train_eval_rows import Rows
from ser_store.extraction.layers import resolve_layers
from ser_store.recipes.recipe import Precision
from ser_store_h5.corpus import Corpus
from ser_store_h5.progress import Progress, silent

# Logits (m, c) float32 or None, pooled (n_layers, m, d) float32, in the order of the rows given.
Compute = Callable[[Rows], tuple[NDArray[np.float32] | None, NDArray[np.float32]]]
Said = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class Passes:
    """How utterances pass a network.

    Attributes:
        audio: the folder of the recordings.
        batch_size: utterances for each forward pass; half as many, and so on, where memory runs out.
        batch_seconds: of sound in each forward pass, padding counted; likewise.
        precision: of a frozen backbone, or of a checkpoint other than it was trained in.
        progress: wraps the utterances.
        layers: the hidden states that are pooled: ``all``, ``last``, or their numbers.
        statistics: of their frames; none: as the model pools the last ones.
    """

    audio: Path
    batch_size: int = 8
    batch_seconds: float = math.inf
    precision: Precision | None = None
    progress: Progress = silent
    layers: str | tuple[int, ...] = "last"
    statistics: tuple[Statistic, ...] = ()


def prepare_network(
    corpus: Corpus, loaded: Any, passes: Passes, *, member: str, with_logits: bool, precision: str
) -> tuple[dict[str, Any], Compute]:
    """Return what identifies the numbers that a network gives, and what computes them.

    Args:
        loaded: a :class:`~ser_store.backbones.loading.LoadedModel`.
        member: what is extracted, by the name it has in messages.
        with_logits: whether its head has been trained.
        precision: as in :class:`~ser_store.recipes.recipe.Recipe`.
    """
    from ser_store.backbones.digest import compute_model_digest
    from ser_store.inference.features import describe_preprocessing

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

    def compute(rows: Rows) -> tuple[NDArray[np.float32] | None, NDArray[np.float32]]:
        if choice is not None:
            _report_size(member, len(rows), choice, loaded.model.config.backbone_config.hidden_size)
        seconds = load_durations(corpus, rows, audio=passes.audio)
        # The longest first: equal lengths need no padding, and memory runs out at the beginning if it does.
        order = np.argsort(-seconds, kind="stable")
        options = {"member": member, "precision": precision, "layers": choice}
        said = _iter_utterances(corpus, loaded, passes, rows[order], seconds[order], **options)
        by_place = dict(zip(order.tolist(), passes.progress(said, total=len(rows), label="extracting"), strict=True))
        logits, pooled = zip(*(by_place[place] for place in range(len(rows))), strict=True)
        stacked = np.stack(pooled)
        by_layer = stacked[np.newaxis] if choice is None else np.moveaxis(stacked, 1, 0)
        return (np.stack(logits) if with_logits else None), by_layer

    return identity, compute


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


def _iter_utterances(
    corpus: Corpus,
    loaded: Any,
    passes: Passes,
    rows: Rows,
    seconds: NDArray[np.float64],
    *,
    member: str,
    **options: Any,
) -> Iterator[Said]:
    """Logits (c,) and pooled (d,), or (n_layers, d), of one utterance after the other.

    Raises:
        MemoryLimitError: naming the utterance that does not fit into memory alone.
    """
    from ser_store.inference.dataset import SpeechDataset
    from ser_store.inference.forward import cut_batches, iter_batches
    from ser_store.inference.out_of_memory import explain_utterance, free_memory, halve, is_out_of_memory

    done, size, most = 0, passes.batch_size, passes.batch_seconds
    while done < len(rows):
        extractor, context = loaded.feature_extractor, loaded.context
        dataset = SpeechDataset(corpus, rows[done:], audio=passes.audio, feature_extractor=extractor, context=context)
        batches = cut_batches(seconds[done:].tolist(), size=size, most=most)
        failed = iter(batches)
        try:
            for logits, pooled in iter_batches(loaded.model, dataset, batches, **options):
                next(failed)
                yield from zip(logits, pooled, strict=True)
                done += len(pooled)
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
        if done < len(rows):
            # Only here the traceback is gone, and with it what it held in memory.
            free_memory()
            before = len(next(failed))
            if before == 1:
                raise explain_utterance(member, str(corpus.ids[rows[done]]))
            size, most = halve(before), most / 2
            LOGGER.info("%s: out of memory with %d utterances at a time: goes on with %d", member, before, size)
