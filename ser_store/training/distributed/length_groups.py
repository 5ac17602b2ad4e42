"""Batches of utterances of similar length: less padding, and still another order in each epoch."""

from collections.abc import Iterator

import numpy as np
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices

from ser_store.inference.dataset import SpeechDataset


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
