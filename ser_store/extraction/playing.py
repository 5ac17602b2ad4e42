"""Recordings as they sound at another speed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.recordings import Recordings
from ser_store.recipes.augmentation import change_speed


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
