"""How a training ends that a user, a batch system or a closed terminal puts an end to: with its record closed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from transformers import TrainerCallback

from ser_store.training.distributed.processes import count_processes

# From Ctrl-C, from a batch system some seconds before it kills, and from a terminal that is closed.
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)


class EndingCallback(TrainerCallback):
    """Raises :class:`KeyboardInterrupt` between two batches once a signal has come; at once at a second Ctrl-C.

    Python raises it at once, and forgets it where that happens to be in a destructor: of tiny trainings, one of thirty
    went on as if nothing had been said.
    """

    def __init__(self) -> None:
        self._is_asked = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Within, the signals are heard, and end nothing by themselves.

        Those that somebody else handles or ignores, as under ``nohup``, are left alone, and so are all of them in
        threads and under ``torchrun``, which ends its processes by SIGTERM while they wait for one another.
        """
        is_free = threading.current_thread() is threading.main_thread() and count_processes() == 1
        known = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in known if is_free}
        taken = [number for number, handler in before.items() if handler in _DEFAULTS]
        for number in taken:
            signal.signal(number, self._ask)
        try:
            yield
        finally:
            for number in taken:
                signal.signal(number, before[number])

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._is_asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._is_asked = True

    def _end_if_asked(self) -> None:
        if self._is_asked:
            self._is_asked = False
            raise KeyboardInterrupt

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._end_if_asked()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._end_if_asked()

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._end_if_asked()
