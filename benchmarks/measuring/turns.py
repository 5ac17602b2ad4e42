"""Two trainings take turns in one process, a few steps each, so that what disturbs one disturbs the other as well."""

import random
import threading
from typing import Any

import numpy as np
import torch


class AbandonedError(Exception):
    """Raised in a thread that waits for its turn when the others have given up."""


class Turns:
    """Lets one thread at a time go on; each finds the random generators and settings of torch as it left them.

    Args:
        count: of the threads, which are called 0, 1 and so on. The turn is that of 0 in the beginning.
    """

    def __init__(self, count: int) -> None:
        self._waiting = list(range(count))
        self._changed = threading.Condition()
        self._is_abandoned = False

    def begin(self, place: int) -> None:
        """Wait for the first turn."""
        with self._changed:
            self._wait(place)

    def pass_on(self, place: int) -> None:
        """Let the others go on, and wait until they have."""
        states = read_states()
        with self._changed:
            self._waiting.append(self._waiting.pop(0))
            self._changed.notify_all()
            self._wait(place)
        restore_states(states)

    def leave(self, place: int) -> None:
        """Take no further turns."""
        with self._changed:
            self._waiting.remove(place)
            self._changed.notify_all()

    def abandon(self) -> None:
        """Have no other thread take a turn any more."""
        with self._changed:
            self._is_abandoned = True
            self._changed.notify_all()

    def _wait(self, place: int) -> None:
        self._changed.wait_for(lambda: self._is_abandoned or self._waiting[0] == place)
        if self._is_abandoned:
            raise AbandonedError


def read_states() -> tuple[Any, ...]:
    """The random generators of all libraries, and how exact torch's products are on a GPU."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    exact = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    # transformers draws its masks from numpy's global generator.
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), gpus, exact  # noqa: NPY002


def restore_states(states: tuple[Any, ...]) -> None:
    """Make it all as :func:`read_states` found it."""
    plain, arrays, cpu, gpus, exact = states
    random.setstate(plain)
    np.random.set_state(arrays)  # noqa: NPY002 - as above
    torch.set_rng_state(cpu)
    if gpus:
        torch.cuda.set_rng_state_all(gpus)
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = exact
