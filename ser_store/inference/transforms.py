"""What is heard of a recording in place of it: in an epoch of training, or by an extraction at another speed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.audio.recordings import Recordings
from ser_store.recipes.augmentation import Augmentation, augment, change_speed
from ser_store.recipes.recipe import Crop, Recipe


@dataclass(frozen=True)
class Variation:
    """What training hears of an utterance: augmented and cropped, the same for the same seed, epoch and row.

    Attributes:
        augmentation: comes first, since it may change the length.
        max_samples: longer utterances are cropped to this; None for no limit.
        crop: ``random`` or ``head``.
        seed: the recipe's.
    """

    augmentation: Augmentation
    max_samples: int | None
    crop: Crop
    seed: int

    def __call__(self, samples: NDArray[np.float32], *, epoch: int, row: int) -> NDArray[np.float32]:
        """``(n,)`` float32 in [-1, 1] to at most ``(max_samples,)``."""
        rng = np.random.default_rng((self.seed, self._choose_version(epoch), row))
        crop_rng, augmentation_rng = rng.spawn(2)
        if not self.augmentation.changes_nothing:
            samples = augment(samples, self.augmentation, augmentation_rng)
        if self.max_samples is None or len(samples) <= self.max_samples:
            return samples
        start = 0 if self.crop == "head" else int(crop_rng.integers(len(samples) - self.max_samples + 1))
        return samples[start : start + self.max_samples]

    def describe(self, epoch: int, *, row: int) -> str:
        """Say all that decides what becomes of an utterance in an epoch."""
        return repr((self.augmentation, self.max_samples, self.crop, self.seed, self._choose_version(epoch), row))

    def _choose_version(self, epoch: int) -> int:
        return epoch if self.augmentation.versions is None else epoch % self.augmentation.versions


def make_variation(recipe: Recipe) -> Variation | None:
    """Return the variation that a recipe asks for, or None where it asks for none."""
    if recipe.augmentation.changes_nothing and recipe.max_seconds is None:
        return None
    longest = None if recipe.max_seconds is None else round(recipe.max_seconds * SAMPLE_RATE)
    return Variation(recipe.augmentation, longest, recipe.crop, recipe.seed)


@dataclass(frozen=True, eq=False)
class PlayedRecordings:
    """The same recordings, all played ``speed`` times as fast, which changes pitch and length."""

    recordings: Recordings
    speed: float

    def load(self, row: int) -> NDArray[np.float32]:
        return change_speed(self.recordings.load(row), self.speed)

    def load_seconds(self, rows: NDArray[np.int32]) -> NDArray[np.float64]:
        return self.recordings.load_seconds(rows) / self.speed

    def name(self, row: int) -> str:
        return self.recordings.name(row)

    def identify(self, row: int) -> bytes:
        return self.recordings.identify(row) + f" at {self.speed:g}".encode()


def play(recordings: Recordings, speed: float) -> Recordings:
    """Return the recordings at a speed, a factor in whole hundredths; at 1 they are what they were."""
    return recordings if speed == 1 else PlayedRecordings(recordings, speed)
