"""One backbone trained for some steps, in our way and in the published one by turns."""

import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.polynomial import Polynomial

from measuring.flops import count_flops
from measuring.measured import Measured
from measuring.memory import measure_peak
from measuring.notebook import Originals, train_notebook
from measuring.step_clock import StepClock, Stretch, Way
from measuring.turns import Turns, read_states, restore_states
from ser_store.audio.recordings import load_recording, resolve_audio
from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.model import build_config
from ser_store.backbones.source import find_source
from ser_store.errors import SerstoreError
from ser_store.inference.memory import lent_heap
from ser_store.inference.out_of_memory import free_memory
from ser_store.recipes.recipe import Recipe
from ser_store.training.finetune import finetune
from ser_store_h5.store import Store

OURS, NOTEBOOK = 0, 1
# How far losses may be apart. Recordings that were brought to 48 kHz and back are not quite what they were; a GPU adds
# up in another order each time, and the published way lets its convolutions round to TF32.
STRICT, WIDE = 1e-3, 2e-2
_DECODED = 100


def time_model(
    store: Store, model: str, recipe: Recipe, notebook: Recipe | None = None, *, originals: Originals | None
) -> Measured:
    """Train a backbone as long as the recipe says, in stretches of its ``logging_steps``; the run goes again.

    Args:
        recipe: of our way.
        notebook: of the published way; None to leave it out.
        originals: the recordings of the published way.

    Raises:
        SerstoreError: if the backbone cannot be trained, or the two ways do not train alike.
    """
    turns = Turns(1 if notebook is None else 2)
    folder = store.path.parent / "notebook"
    with _left_as_found(store, model, folder), ThreadPoolExecutor(1) as other, ExitStack() as measuring:
        theirs = None
        if notebook is not None:
            theirs = other.submit(_train_notebook, turns, store, model, notebook, originals=originals, folder=folder)
        peak = measuring.enter_context(measure_peak())

        def after_stretch() -> None:
            measuring.close()  # the other way has not begun yet
            with lent_heap():
                turns.pass_on(OURS)

        clock = StepClock(recipe.logging_steps, after_stretch=after_stretch)
        try:
            record = finetune(store, model, recipe=recipe, init="random", callbacks=[clock])
        except BaseException:
            turns.abandon()
            raise
        turns.leave(OURS)
        ours, way = clock.read(), None if theirs is None else theirs.result()
    difference = None
    if notebook is not None and way is not None:
        refuse_other_utterances(model, ours, way)
        if _computes_alike(recipe, notebook):
            refuse_other_batches(model, ours, way)
            is_strict = originals is not None and not originals.upsampled and not torch.cuda.is_available()
            difference = compare_losses(model, ours, way, tolerance=STRICT if is_strict else WIDE)
    return Measured(
        model=model,
        recipe=recipe,
        ours=ours,
        notebook=way,
        n_evaluated=record.details["n_evaluated"],
        peak_bytes=peak.bytes,
        flops_per_utterance=count_flops_per_utterance(store.corpus.classes, model, recipe, ours.stretches[1:]),
        loss_difference=difference,
    )


@contextmanager
def _left_as_found(store: Store, model: str, folder: Path) -> Iterator[None]:
    """In the end the run is gone, and so are the other way's checkpoints."""
    states = read_states()
    try:
        with quiet_transformers():  # around both threads, since neither may undo what the other still needs
            yield
    finally:
        restore_states(states)
        free_memory()
        shutil.rmtree(folder, ignore_errors=True)
        if store.has_run(Path(model).name):
            store.remove(Path(model).name)


def _train_notebook(turns: Turns, store: Store, model: str, recipe: Recipe, **places: Any) -> Way:
    turns.begin(NOTEBOOK)
    try:
        clock = StepClock(recipe.logging_steps, after_stretch=lambda: turns.pass_on(NOTEBOOK))
        train_notebook(store, model, recipe, clock=clock, **places)
    finally:
        turns.leave(NOTEBOOK)
    return clock.read()


def _computes_alike(recipe: Recipe, notebook: Recipe) -> bool:
    """Whether losses have to be the same; dropout differs where an optimizer step is taken in other parts."""
    return all(
        getattr(recipe, name) == getattr(notebook, name)
        for name in ("precision", "per_device_train_batch_size", "gradient_accumulation_steps")
    )


def refuse_other_utterances(model: str, ours: Way, notebook: Way) -> None:
    """Have both ways trained on the same utterances, as far as their classes tell, in the same order?

    Raises:
        SerstoreError: if not.
    """
    for place, (one, other) in enumerate(zip(ours.stretches, notebook.stretches, strict=True)):
        if one.labels != other.labels:
            raise SerstoreError(
                f"{model} was trained on other utterances than in the published way in stretch {place + 1} of "
                f"{len(ours.stretches)}: expected the same from the same seed; please report this"
            )


def refuse_other_batches(model: str, ours: Way, notebook: Way) -> None:
    """Have both ways trained on as many utterances, padded as far, in the same order?

    Raises:
        SerstoreError: if not.
    """
    one, other = (
        [(batch.utterances, batch.samples) for stretch in way.stretches for batch in stretch.batches]
        for way in (ours, notebook)
    )
    if one != other:
        first = next((pair for pair in zip(one, other, strict=False) if pair[0] != pair[1]), (len(one), len(other)))
        raise SerstoreError(
            f"{model} was trained on other batches than in the published way, the first are {first[0]} and {first[1]} "
            "(utterances, padded samples): expected the same; leave the published way out, or choose smaller batches "
            "if memory ran out"
        )


def compare_losses(model: str, ours: Way, notebook: Way, *, tolerance: float) -> float:
    """The largest relative difference between the mean losses of the stretches.

    Raises:
        SerstoreError: if it is so large that the two ways do not train alike.
    """
    difference = float(np.max(np.abs(np.divide(ours.losses, notebook.losses) - 1)))  # NaN wherever one is
    if not difference <= tolerance:
        raise SerstoreError(
            f"the training losses of {model} are up to {difference:.1e} off those of the published way: expected at "
            f"most {tolerance:.0e} from the same seed and batches; please report this"
        )
    return difference


def count_flops_per_utterance(
    classes: Sequence[str], model: str, recipe: Recipe, stretches: Sequence[Stretch]
) -> float:
    """Floating-point operations forth and back, the mean over the batches as they were padded, dropped layers left out.

    Counted for the shortest and the longest batch and one between them; in between, they are a square of the length.
    """
    source = find_source(model, init="random", checkpoint=None)
    backbone = deepcopy(getattr(source.config, "backbone_config", source.config))
    layers: int = backbone.num_hidden_layers
    batches = [batch for stretch in stretches for batch in stretch.batches]
    lengths = [batch.samples for batch in batches]
    points = sorted({min(lengths), (min(lengths) + max(lengths)) // 2, max(lengths)})
    squares = []
    for backbone.num_hidden_layers in (layers, layers - 1):
        config = build_config(backbone, classes, pooling=recipe.pooling)
        counts = [count_flops(config, recipe, samples=samples)[1] for samples in points]
        squares.append(Polynomial.fit(points, counts, len(points) - 1))
    whole, shorter = squares
    total = 0.0
    for batch in batches:
        of_a_layer = whole(batch.samples) - shorter(batch.samples)
        total += batch.utterances * (whole(batch.samples) - (layers - batch.layers) * of_a_layer)
    return float(total / sum(batch.utterances for batch in batches))


def time_decoding(store: Store) -> float:
    """Seconds to decode a recording and to resample it, if need be: the median of some."""
    corpus, audio = store.corpus, resolve_audio(store.corpus, None)
    taken = []
    for row in range(min(_DECODED, len(corpus))):
        start = time.perf_counter()
        load_recording(corpus, row, audio=audio)
        taken.append(time.perf_counter() - start)
    return median(taken)
