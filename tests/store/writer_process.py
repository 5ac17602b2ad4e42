"""Writers that tests kill. Run as a script it imports once, then forks a writer for every line of JSON it is sent.

A line names a task below and its arguments; ``null`` waits for a writer to end. What writers say comes out as lines of
JSON: ``[process id, word, …]``.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from store_samples import make_corpus, make_member, make_store

from ser_store_h5.errors import SerstoreError
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

State = dict[str, Any]
KINDS = 8  # of writing
KEPT = 3  # of the members that are added, so many stay


def say(*words: Any) -> None:
    os.write(1, json.dumps([os.getpid(), *words]).encode() + b"\n")


def make_versioned(corpus: Any, step: int, version: int) -> Member:
    """A member whose every number is its version."""
    n = len(corpus)
    return Member(
        "tiny",
        step,
        np.arange(n, dtype=np.int32),
        logits=np.full((n, len(corpus.classes)), version, dtype=np.float32),
        pooled=np.full((n, 512), version % 2048, dtype=np.float16),
        provenance={"version": version},
    )


def expect(state: State, turn: int) -> State:
    """The state after one more turn, in plain values: the model that :func:`take_turn` must follow."""
    members, kind, round_ = dict(state["members"]), turn % KINDS, turn // KINDS
    if kind == 0:
        members[1000 + round_] = turn
    elif kind in (1, 5):
        members[kind] = turn
    elif kind == 6:
        members.pop(1000 + round_ - KEPT, None)
    changes: dict[int, State] = {
        2: {"points": state["points"] + 1},
        3: {"noted": turn},
        4: {"split": f"part-{turn}"},
        7: {"passing": not state["passing"]},
    }
    return state | {"members": members} | changes.get(kind, {})


def take_turn(store: Store, turn: int) -> None:
    kind, round_ = turn % KINDS, turn // KINDS
    if kind == 0:
        store.write_member(make_versioned(store.corpus, 1000 + round_, turn))
    elif kind in (1, 5):
        store.write_member(make_versioned(store.corpus, kind, turn), replace=True)
    elif kind == 2:
        store.append_curve("tiny", step=turn, eval_loss=0.5, note="x" * 200)
    elif kind == 3:
        store.update_run(store.run("tiny").updated(noted=turn))
    elif kind == 4:
        parts = np.full(len(store.corpus), f"part-{turn}")
        store.update_corpus(replace(store.corpus, splits={"usual": parts}))
    elif kind == 6 and 1000 + round_ - KEPT in store.steps("tiny"):
        store.remove(f"tiny@{1000 + round_ - KEPT}")
    elif kind == 7 and store.has_run("passing"):
        store.remove("passing")
    elif kind == 7:
        store.add_run(RunRecord("passing", "frozen", "mfcc"))


def write_on(path: str, turn: int) -> None:
    """Take turns from ``turn`` on for ever, and say so after each."""
    store = Store(path)
    store.corpus  # noqa: B018 reads it
    say("ready")
    while True:
        take_turn(store, turn)
        say("took", turn)
        turn += 1


def create(folder: str) -> None:
    """Make one store after the other."""
    say("ready")
    number = 0
    while True:
        Store.create(Path(folder) / f"{number}", make_corpus(200))
        say("made", number)
        number += 1


def write_at(path: str, steps: list[int], seed: int, start: float) -> None:
    """Write members when the clock shows ``start``, and say what came of it."""
    store = Store(path)
    members = [make_member(store.corpus, "tiny", step, seed=seed, hidden=512) for step in steps]
    while time.time() < start:
        pass
    for member in members:
        try:
            store.write_member(member)
        except SerstoreError as problem:
            say(type(problem).__name__, seed, member.step, str(problem))
        else:
            say("wrote", seed, member.step)


def write_within(path: str, limits: list[int]) -> None:
    """Write under limits on the size of files, as on a disk that is full, and say what came of it."""
    store = Store(path)
    attempts: dict[str, Callable[[int], None]] = {
        "member": lambda _: store.write_member(make_member(store.corpus, "tiny", 30)),
        "replaced": lambda _: store.write_member(make_member(store.corpus, "tiny", 10, seed=1), replace=True),
        "corpus": lambda _: store.update_corpus(make_corpus(len(store.corpus))),
        "run": lambda _: store.update_run(store.run("tiny").updated(state="failed")),
        "new run": lambda limit: store.add_run(RunRecord(f"limit-{limit}", "frozen", "mfcc")),
        "curve": lambda _: store.append_curve("tiny", step=1, note="x" * 20_000),
    }
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    for limit in limits:
        for name, attempt in attempts.items():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                attempt(limit)
            except SerstoreError as problem:
                say(name, limit, type(problem).__name__, str(problem))
            else:
                say(name, limit, "wrote")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


TASKS: dict[str, Callable[..., None]] = {
    "write_on": write_on,
    "create": create,
    "write_at": write_at,
    "write_within": write_within,
}


def fork(task: str, arguments: State) -> None:
    sys.stdout.flush()
    if os.fork():
        return
    status = 1
    try:
        TASKS[task](**arguments)
        status = 0
    finally:
        os._exit(status)


def warm_up() -> None:
    """Import and set up once what every writer would."""
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store")
        for turn in range(KINDS):
            take_turn(store, turn)


if __name__ == "__main__":
    warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        if order is None:
            process, status = os.wait()
            os.write(1, json.dumps([process, "ended", os.waitstatus_to_exitcode(status)]).encode() + b"\n")
        else:
            fork(order["task"], order["arguments"])
