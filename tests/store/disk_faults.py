"""Faults of the operating system, put into every call in turn that changes a disk."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from store_samples import make_corpus, make_member

from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

CHANGING = ("open", "write", "fsync", "link", "replace", "rename", "mkdir", "unlink", "rmdir", "ftruncate")


def update_corpus(store: Store) -> None:
    store.update_corpus(replace(store.corpus, splits={"usual": np.full(len(store.corpus), "other")}))


# What a store with the run ``tiny``, its members 10 and 20, its curves and the run ``bare`` is asked to do.
OPERATIONS: dict[str, Callable[[Store], object]] = {
    "new member": lambda store: store.write_member(make_member(store.corpus, "tiny", 30)),
    "replaced member": lambda store: store.write_member(make_member(store.corpus, "tiny", 10, seed=1), replace=True),
    "removed member": lambda store: store.remove("tiny@10"),
    "run.json": lambda store: store.update_run(store.run("tiny").updated(state="failed")),
    "new run": lambda store: store.add_run(RunRecord("new", "frozen", "mfcc")),
    "removed run": lambda store: store.remove("tiny"),
    "curves": lambda store: store.append_curve("tiny", step=1, note="x" * 5_000),
    "first curves": lambda store: store.append_curve("bare", step=1),
    "corpus": update_corpus,
    "new store": lambda store: Store.create(store.path / "runs" / "inner" / "store", make_corpus()),
}


class Faults:
    """Fails the ``number``-th changing call, and counts; ``fired`` says which call that was."""

    def __init__(self, number: int, fault: Callable[[Callable[[], Any]], Any]) -> None:
        self.left = number
        self.fault = fault
        self.fired: str | None = None

    def call(self, name: str, usual: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR):
            return usual(*arguments, **options)
        self.left -= 1
        if self.left == 0:
            self.fired = name
            return self.fault(lambda: usual(*arguments, **options))
        return usual(*arguments, **options)


@contextmanager
def failing(number: int, fault: Callable[[Callable[[], Any]], Any]) -> Iterator[Faults]:
    """Within the block the ``number``-th call that changes a disk is handed to ``fault``."""
    faults = Faults(number, fault)
    usual = {name: getattr(os, name) for name in CHANGING}

    def stand_in(name: str) -> Callable[..., Any]:
        return lambda *arguments, **options: faults.call(name, usual[name], *arguments, **options)

    for name in CHANGING:
        setattr(os, name, stand_in(name))
    try:
        yield faults
    finally:
        for name, function in usual.items():
            setattr(os, name, function)


def refuse(number: int) -> Callable[[Callable[[], Any]], Any]:
    """The call fails with this number of the operating system, and changes nothing."""

    def fault(call: Callable[[], Any]) -> Any:
        raise OSError(number, os.strerror(number))

    return fault


def interrupt_before(call: Callable[[], Any]) -> Any:
    """Ctrl-C, right before the call."""
    signal.raise_signal(signal.SIGINT)
    return call()


def interrupt_after(call: Callable[[], Any]) -> Any:
    """Ctrl-C, right after the call."""
    try:
        return call()
    finally:
        signal.raise_signal(signal.SIGINT)


def take_away(folder: Path, other: Path) -> Callable[[Callable[[], Any]], Any]:
    """The folder gets another name before the call."""

    def fault(call: Callable[[], Any]) -> Any:
        folder.rename(other)
        return call()

    return fault
