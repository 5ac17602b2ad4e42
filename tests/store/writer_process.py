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
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from store_samples import assert_same_member, make_corpus, make_member, make_store

from ser_store_h5.errors import SerstoreError
from ser_store_h5.integrity.sweeping import gc
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

State = dict[str, Any]
KINDS = (
    "new member",
    "replaced member",
    "removed member",
    "run.json",
    "curves.jsonl",
    "corpus.h5",
    "new run",
    "removed run",
    "new store",
    "sweep",
)
ADDED, KEPT = 1000, 3  # members are added from this step on, and so many of them stay


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
        pooled=np.full((n, 128), version % 2048, dtype=np.float16),
        provenance={"version": version},
    )


def find_oldest(steps: Any) -> int | None:
    """The added member that is to be removed next, once there are enough."""
    added = sorted(step for step in steps if step >= ADDED)
    return added[0] if len(added) > KEPT else None


def expect(state: State, turn: int) -> State:
    """The state after a turn, in plain values: the model that :func:`take_turn` must follow."""
    members, kind = dict(state["members"]), KINDS[turn % len(KINDS)]
    if kind == "new member":
        members[ADDED + turn] = turn
    elif kind == "replaced member":
        members[1] = turn
    elif kind == "removed member":
        members.pop(find_oldest(members), None)
    changes: dict[str, State] = {
        "curves.jsonl": {"points": [*state["points"], turn]},
        "run.json": {"noted": turn},
        "corpus.h5": {"split": f"part-{turn}"},
        "new run": {"passing": 1},
        "removed run": {"passing": 0},
        "new store": {"made": turn},
    }
    return state | {"members": members} | changes.get(kind, {})


def name_targets(before: State, after: State, turn: int) -> set[str]:
    """The files that a turn may touch; no other may change by a byte."""
    steps = before["members"].keys() ^ after["members"].keys()
    files: dict[str, set[str]] = {
        "new member": {f"runs/tiny/step-{step:06}.h5" for step in steps},
        "removed member": {f"runs/tiny/step-{step:06}.h5" for step in steps},
        "replaced member": {"runs/tiny/step-000001.h5"},
        "curves.jsonl": {"runs/tiny/curves.jsonl"},
        "run.json": {"runs/tiny/run.json"},
        "corpus.h5": {"corpus.h5"},
        "new run": {"runs/passing/run.json"},
        "removed run": {"runs/passing/run.json", "runs/passing/step-000001.h5"},
    }
    return files.get(KINDS[turn % len(KINDS)], set())


def take_turn(store: Store, turn: int) -> None:
    kind = KINDS[turn % len(KINDS)]
    if kind == "new member":
        store.write_member(make_versioned(store.corpus, ADDED + turn, turn))
    elif kind == "replaced member":
        store.write_member(make_versioned(store.corpus, 1, turn), replace=True)
    elif kind == "removed member" and (oldest := find_oldest(store.steps("tiny"))) is not None:
        store.remove(f"tiny@{oldest}")
    elif kind == "run.json":
        store.update_run(store.run("tiny").updated(noted=turn))
    elif kind == "curves.jsonl":
        store.append_curve("tiny", step=turn, eval_loss=0.5, note="x" * 200)
    elif kind == "corpus.h5":
        update_split(store, f"part-{turn}")
    elif kind == "new run":
        store.add_run(RunRecord("passing", "frozen", "mfcc"))
    elif kind == "removed run":
        store.remove("passing")
    elif kind == "new store":
        Store.create(name_made(store.path, turn), store.corpus)
    elif kind == "sweep":
        gc(store.path)


def update_split(store: Store, part: str) -> None:
    store.update_corpus(replace(store.corpus, splits={"usual": np.full(len(store.corpus), part)}))


def name_made(path: Path, turn: int) -> Path:
    return path.parent / "made" / str(turn)


def make_ready(store: Store, turn: int) -> bool:
    """See to it that a turn has something to do, as a run to be removed; whether anything was changed for that."""
    kind = KINDS[turn % len(KINDS)]
    if kind == "new run" and store.has_run("passing"):
        store.remove("passing")
    elif kind == "removed run" and not (store.has_run("passing") and store.steps("passing")):
        if not store.has_run("passing"):
            store.add_run(RunRecord("passing", "frozen", "mfcc"))
        store.write_member(make_member(store.corpus, "passing", 1, hidden=64))
    elif kind == "removed member" and find_oldest(store.steps("tiny")) is None:
        for step in range(KEPT + 1):
            store.write_member(make_versioned(store.corpus, 10**9 + 10 * turn + step, turn))
    else:
        return False
    return True


def write_one(path: str, turn: int) -> None:
    """Take one turn at an instant that is said before, say how long it took, and wait to be killed."""
    store = Store(path)
    store.corpus  # noqa: B018 reads it
    start = time.monotonic() + 0.002
    say("ready", start)
    while time.monotonic() < start:
        pass
    take_turn(store, turn)
    say("took", time.monotonic() - start)
    for _ in range(500):  # a signal that comes right before a sleep does not end it
        time.sleep(0.02)
    say("not stopped")


def write_at(path: str, steps: list[int], seed: int, start: float, announce: bool = False) -> None:
    """Write members when the clock shows ``start``, and say what came of it; ``announce``: and before it."""
    store = Store(path)
    members = [make_member(store.corpus, "tiny", step, seed=seed, hidden=512) for step in steps]
    if announce:
        say("writing")
    while time.time() < start:
        pass
    for member in members:
        try:
            store.write_member(member)
        except SerstoreError as problem:
            say(type(problem).__name__, seed, member.step, str(problem))
        else:
            say("wrote", seed, member.step)


def append(path: str, writer: int, lines: int, start: float) -> None:
    """Append lines to one run's curves when the clock shows ``start``."""
    store = Store(path)
    while time.time() < start:
        pass
    for line in range(lines):
        store.append_curve("tiny", step=line, writer=writer, note="x" * (37 * writer))
    say("appended")


def change_on(path: str, end: str) -> None:
    """Replace a member by one of another size, the corpus by one with another split, and the record, until ``end``."""
    store, turn = Store(path), 0
    while not Path(end).exists():
        turn += 1
        store.write_member(make_member(store.corpus, "tiny", 10, seed=turn, hidden=8 * (1 + turn % 3)), replace=True)
        update_split(store, f"part-{turn}" * (1 + turn % 3))
        store.update_run(store.run("tiny").updated(noted=turn))
    say("changed", turn)


def read_on(path: str, end: str, verifying: bool) -> None:
    """Read all there is, again and again, until ``end`` is there; that it has begun, and what goes wrong, is said."""
    rounds = 0
    while True:
        is_last = Path(end).exists()
        try:
            read_once(path, verifying)
        except (SerstoreError, OSError, AssertionError) as problem:
            say("problem", type(problem).__name__, str(problem))
        rounds += 1
        if rounds == 1:
            say("reads")
        if is_last:
            break
    say("read", rounds)


def read_once(path: str, verifying: bool) -> None:
    if verifying:
        assert verify_store(path).problems == ()
        return
    store = Store(path)
    names = store.member_names()
    for name in names:
        found = store.read_member(name)
        seed, hidden = found.provenance["seed"], found.pooled.shape[1]  # type: ignore[union-attr]
        assert_same_member(found, make_member(store.corpus, found.run, found.step, seed=seed, hidden=hidden))
    assert store.logits(names, on="all").shape == (len(names), len(store.corpus), 3)
    assert len(store.members()) >= len(names)
    assert set(store.corpus.parts().tolist()) != set()
    assert [point["step"] for point in store.curves("tiny")][:2] == [10, 20]
    assert store.run("tiny").kind == "finetune"


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
    "write_one": write_one,
    "write_at": write_at,
    "write_within": write_within,
    "append": append,
    "change_on": change_on,
    "read_on": read_on,
}


def fork(task: str, arguments: State) -> None:
    sys.stdout.flush()
    if os.fork():
        return
    status = 1
    try:
        TASKS[task](**arguments)
        status = 0
    except KeyboardInterrupt:
        status = 130
    except BaseException:  # noqa: BLE001 a test is to see what it was
        traceback.print_exc()
    finally:
        os._exit(status)


def warm_up() -> None:
    """Import and set up once what every writer would."""
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store")
        for turn in range(2 * len(KINDS)):
            make_ready(store, turn)
            take_turn(store, turn)
        verify_store(store.path)


if __name__ == "__main__":
    warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        if order is None:
            process, status = os.wait()
            os.write(1, json.dumps([process, "ended", os.waitstatus_to_exitcode(status)]).encode() + b"\n")
        else:
            fork(order["task"], order["arguments"])
