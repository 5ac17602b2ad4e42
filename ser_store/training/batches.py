"""Which utterances a batch is of, and in which order they come; how they are dealt out to processes, to the last."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import TrainerCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.inference.dataset import SpeechDataset
from ser_store.inference.forward import cut_batches
from ser_store.recipes.recipe import Recipe
from ser_store_h5.corpus import StrArray

# Utterances whose lengths are rounded to the same are dealt out anew in every epoch.
_ROUNDED_SECONDS = 0.25
# Of training passes: so much sound fits in evaluation wherever one of them does, since no activations are kept.
_EVALUATION_PASSES = 2


@dataclass(frozen=True)
class Deal:
    """The batches of an epoch, dealt out in turn: an optimizer step is of those of one process with more accumulation.

    accelerate gives every process as many batches of the same size: where there are too few utterances for that, it
    fills the last ones with such as the epoch began with. Here it is known which those are, and what a batch without
    any other weighs, so that each utterance is learned from once and counts as much as in one process.

    Attributes:
        utterances: of an epoch.
        batch_size: utterances of a whole batch.
        accumulation: batches of each process for an optimizer step.
        processes: how many train together.
    """

    utterances: int
    batch_size: int
    accumulation: int
    processes: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps; a last, smaller batch counts."""
        return -(-self._count_batches() // (self.accumulation * self.processes))

    def count_own(self, step: int, place: int, *, process: int) -> int:
        """Utterances of a batch that the epoch has not had before. They come first in it.

        Args:
            step: optimizer steps done before, in the whole training.
            place: of the batch among those of its process in this step, from 0.
            process: who computes it, from 0.
        """
        dealt = self._find_first(step) + place * self.processes + process
        return min(max(self.utterances - dealt * self.batch_size, 0), self.batch_size)

    def weigh(self, step: int, place: int, *, process: int) -> float:
        """The factor on a batch's loss: 0 for one of repetitions alone, more than 1 for those that it stands beside.

        Losses of a step are averaged over all batches of all processes, and are to be over those that are not empty.
        """
        if self.count_own(step, place, process=process) == 0:
            return 0.0
        first, batches = self._find_first(step), self._count_batches()
        left = min(-(-(batches - first) // self.processes), self.accumulation) * self.processes
        return left / min(left, batches - first)

    def _count_batches(self) -> int:
        return -(-self.utterances // self.batch_size)

    def _find_first(self, step: int) -> int:
        """How many batches of its epoch were dealt out before an optimizer step."""
        return step % self.steps_per_epoch * self.accumulation * self.processes


def make_deal(recipe: Recipe, utterances: int, *, processes: int = 1) -> Deal:
    """Return how the utterances of an epoch are dealt out by a recipe."""
    return Deal(utterances, recipe.per_device_train_batch_size, recipe.gradient_accumulation_steps, processes)


class LongestFirstSampler(torch.utils.data.Sampler[int]):
    """By falling length, for evaluation: hardly any padding, and memory runs out at once if it does."""

    def __init__(self, dataset: SpeechDataset) -> None:
        self._order = np.argsort(dataset.load_lengths(), kind="stable")[::-1].tolist()

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[int]:
        return iter(self._order)


class LengthGroupedSampler(torch.utils.data.Sampler[int]):
    """The Trainer's order by length, drawn from seed and epoch alone, so that a resumed epoch goes on as it began.

    Some fifty batches' worth of utterances drawn at random are sorted by length, and so on until none are left; the
    batch with the longest utterance is the first, so that memory runs out at once if it does.

    Args:
        dataset: says how long its utterances are, and which epoch it is.
        batch_size: utterances for each optimizer step, over all processes.
        seed: the recipe's.
    """

    def __init__(self, dataset: SpeechDataset, *, batch_size: int, seed: int) -> None:
        self._dataset = dataset
        self._lengths = dataset.load_lengths()
        self._batch_size = batch_size
        self._seed = seed

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        state = np.random.SeedSequence((self._seed, self._dataset.epoch)).generate_state(1)[0]
        generator = torch.Generator().manual_seed(int(state))
        return iter(get_length_grouped_indices(self._lengths, self._batch_size, generator=generator))


def compute_heard_seconds(seconds: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    """Return the lengths that training hears, at the slowest speed that it may play, ``(n,)`` like ``seconds``."""
    slowest = recipe.augmentation.speed_range[0] if recipe.augmentation.speed_prob else 1.0
    return np.minimum(seconds / slowest, recipe.max_seconds or np.inf)


def fill_batches(seconds: NDArray[np.float64], most: float) -> list[range]:
    """Return the places of each batch among the utterances by falling length, rounded up: at most ``most`` seconds.

    They are as many, and as large, whichever of the utterances of the same rounded length are in them.
    """
    rounded = np.sort(_round_up(seconds))[::-1]
    return cut_batches(rounded.tolist(), size=len(seconds), most=most)


def _round_up(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.minimum(np.ceil(seconds / _ROUNDED_SECONDS) * _ROUNDED_SECONDS, seconds.max())
    return rounded


class FilledBatchSampler(torch.utils.data.Sampler[list[int]]):
    """Batches of similar length, filled with sound, drawn from seed and epoch alone as those of one number are.

    Utterances of the same rounded length are shuffled, and so are the batches, of which that with the longest
    utterance is the first, so that memory runs out at once if it does.

    Args:
        dataset: says which epoch it is.
        seconds: of each of its utterances, as training hears them.
        recipe: says how much sound a batch has, and the seed.
    """

    def __init__(self, dataset: SpeechDataset, seconds: NDArray[np.float64], recipe: Recipe) -> None:
        self._dataset = dataset
        self._rounded = _round_up(seconds)
        self._seed = recipe.seed
        self.places = fill_batches(seconds, recipe.batch_seconds or np.inf)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self._seed, self._dataset.epoch))
        order = np.lexsort((rng.random(len(self._rounded)), -self._rounded))
        for number in (0, *(1 + rng.permutation(len(self) - 1))):
            yield order[self.places[number]].tolist()


class SpeakerBatchSampler(torch.utils.data.Sampler[list[int]]):
    """Batches of one speaker each, his classes as evenly as may be, drawn from seed and epoch alone.

    Args:
        dataset: says which epoch it is, and the classes.
        speakers: ``(n,)``, of each of its utterances.
        recipe: says how many utterances a batch has at most, and the seed.
    """

    def __init__(self, dataset: SpeechDataset, speakers: StrArray, recipe: Recipe) -> None:
        self._dataset = dataset
        self._rows = [np.flatnonzero(speakers == one) for one in np.unique(speakers)]
        self._size = recipe.per_device_train_batch_size
        self._seed = recipe.seed

    def __len__(self) -> int:
        return count_speaker_batches([len(rows) for rows in self._rows], self._size)

    def __iter__(self) -> Iterator[list[int]]:
        rng, labels = np.random.default_rng((self._seed, self._dataset.epoch)), self._dataset.labels
        batches = []
        for rows in self._rows:
            dealt = rows[np.lexsort((rng.random(len(rows)), labels[rows]))]
            apart = count_speaker_batches([len(rows)], self._size)
            batches += [dealt[place::apart].tolist() for place in range(apart)]
        for number in rng.permutation(len(batches)):
            yield batches[number]


def count_speaker_batches(counts: Sequence[int], size: int) -> int:
    """Return how many batches there are of the speakers, of whom there are so many utterances each."""
    return sum(-(-count // size) for count in counts)


@dataclass(frozen=True)
class Batches:
    """What passes the model at once, as far as it is not a number of utterances in the order of a sampler.

    Attributes:
        train: the training batches that are filled with sound, or of one speaker each.
        evaluated: the places of each evaluation batch that is.
        largest_train: utterances of the largest training batch.
        largest_evaluated: utterances of the largest evaluation batch.
    """

    train: FilledBatchSampler | SpeakerBatchSampler | None
    evaluated: Sequence[Sequence[int]] | None
    largest_train: int
    largest_evaluated: int


def make_batches(
    recipe: Recipe, train: SpeechDataset, evaluated: SpeechDataset, speakers: StrArray | None = None
) -> Batches:
    """Return the batches that a recipe asks for; ``speakers`` ``(n,)`` of those that are trained on, to keep apart."""
    size = recipe.per_device_train_batch_size
    heard = compute_heard_seconds(_load_seconds(train), recipe)
    if speakers is not None:
        return Batches(SpeakerBatchSampler(train, speakers, recipe), None, size, recipe.per_device_eval_batch_size)
    filled = None if recipe.batch_seconds is None else FilledBatchSampler(train, heard, recipe)
    largest = size if filled is None else max(map(len, filled.places))
    if recipe.micro_batch != "auto":
        return Batches(filled, None, largest, recipe.per_device_eval_batch_size)
    sound = max(recipe.batch_seconds or size * heard.max(), heard.max())
    seconds = _load_seconds(evaluated)
    order = np.argsort(-seconds, kind="stable")
    most = _EVALUATION_PASSES * recipe.gradient_accumulation_steps * sound
    cut = cut_batches(seconds[order].tolist(), size=len(order), most=most)
    return Batches(filled, [order[places].tolist() for places in cut], largest, max(map(len, cut)))


def _load_seconds(dataset: SpeechDataset) -> NDArray[np.float64]:
    return np.array(dataset.load_lengths()) / SAMPLE_RATE


def count_steps_per_epoch(
    recipe: Recipe, seconds: NDArray[np.float64], speakers: StrArray | None = None, *, processes: int = 1
) -> int:
    """Return the optimizer steps of an epoch over utterances of these lengths, as training hears them."""
    if recipe.is_by_speaker and speakers is not None:
        counts = np.unique(speakers, return_counts=True)[1].tolist()
        batches = count_speaker_batches(counts, recipe.per_device_train_batch_size)
        return -(-batches // recipe.gradient_accumulation_steps)
    if recipe.batch_seconds is None:
        return make_deal(recipe, len(seconds), processes=processes).steps_per_epoch
    return -(-len(fill_batches(seconds, recipe.batch_seconds)) // recipe.gradient_accumulation_steps)


def compute_padded_mean(seconds: NDArray[np.float64], recipe: Recipe) -> float:
    """Return the mean seconds of a batch with its padding: filled with sound, of similar length, or at random."""
    if recipe.batch_seconds is not None:
        order = np.sort(seconds)[::-1]
        batches = [order[places.start : places.stop] for places in fill_batches(seconds, recipe.batch_seconds)]
    else:
        order = np.sort(seconds)[::-1] if recipe.group_by_length else np.random.default_rng(0).permutation(seconds)
        together = recipe.gradient_accumulation_steps if recipe.micro_batch == "auto" else 1
        size = recipe.per_device_train_batch_size * together
        batches = [order[start : start + size] for start in range(0, len(order), size)]
    return float(np.mean([_pad(batch, recipe) for batch in batches]))


def _pad(seconds: NDArray[np.float64], recipe: Recipe) -> float:
    """The seconds of a batch with its padding, whole or in parts of similar length."""
    size = recipe.micro_batch if isinstance(recipe.micro_batch, int) else len(seconds)
    starts = range(0, len(seconds), size)
    falling = np.sort(seconds)[::-1]
    return float(sum(falling[start] * len(falling[start : start + size]) for start in starts))


class EpochCallback(TrainerCallback):
    """Tells the training set the number of each epoch, a resumed one included, and ``prepare`` thereafter.

    accelerate tells a dataset too, but not one that several processes share or that is gone on with in the middle.
    """

    def __init__(self, dataset: SpeechDataset, prepare: Callable[[SpeechDataset], None]) -> None:
        self._dataset = dataset
        self._prepare = prepare

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Within an epoch, its number and the share that is done; the whole number when one is over.
        self._dataset.set_epoch(int(state.epoch or 0))
        self._prepare(self._dataset)
