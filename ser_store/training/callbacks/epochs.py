"""Which epoch it is: told to the dataset before any of its utterances are asked for."""

from typing import Any

from transformers import TrainerCallback

from ser_store.inference.dataset import SpeechDataset


class EpochCallback(TrainerCallback):
    """Tells the training set the number of each epoch, a resumed one included.

    accelerate tells a dataset too, but not one that several processes share or that is gone on with in the middle.
    """

    def __init__(self, dataset: SpeechDataset) -> None:
        self._dataset = dataset

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # Within an epoch, its number and the share that is done; the whole number when one is over.
        self._dataset.set_epoch(int(state.epoch or 0))
