"""Which utterances a batch is of: their order in each epoch, and how they are dealt out to processes, to the last."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback
from transformers.trainer_pt_utils import get_length_grouped_indices

from ser_store.inference.dataset import SpeechDataset
from ser_store.recipes.recipe import Recipe


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
