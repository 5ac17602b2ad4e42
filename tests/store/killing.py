"""Writers that are killed at random instants, and what is left of the store after each.

A test and ``benchmarks/soak_store.py`` use it. The state of the store is compared with a model in plain values: it must
be the one before the writing or the one after, and no other file may have changed by a byte.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from store_samples import make_store
from writer_process import KINDS, expect, make_ready, name_made, name_targets

from ser_store_h5.disk.atomic import is_leftover
from ser_store_h5.integrity.sweeping import gc
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

SWEPT_EVERY = 40  # writers


class Writers:
    """The process that forks writers, and what they say."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("writer_process.py")
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def send(self, order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def start(self, task: str, **arguments: Any) -> None:
        self.send({"task": task, "arguments": arguments})

    def hear(self) -> list[Any]:
        assert self.process.stdout is not None
        said: list[Any] = json.loads(self.process.stdout.readline())
        return said

    def hear_out(self, *, writers: int = 1, codes: tuple[int, ...] = (0,)) -> list[list[Any]]:
        """All that was said until so many writers have ended, each with one of the exit codes."""
        heard: list[list[Any]] = []
        for _ in range(writers):
            self.send(None)
        while writers:
            _, word, *rest = self.hear()
            if word == "ended":
                assert rest[0] in codes
                writers -= 1
            else:
                heard.append([word, *rest])
        return heard

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(timeout=600) == 0
        self.process.stdout.close()


@contextmanager
def forking_writers() -> Iterator[Writers]:
    writers = Writers()
    try:
        yield writers
    finally:
        writers.close()


@dataclass(frozen=True)
class Seen:
    """What is in a store: its state in plain values, the bytes of its files, and the names of leftovers."""

    state: dict[str, Any]
    contents: dict[str, bytes]
    leftovers: frozenset[str] = frozenset()


@dataclass
class Tally:
    """What became of the writers of one kind. ``seconds``: how long those took that nobody stopped."""

    stopped: int = 0
    old: int = 0
    new: int = 0
    midway: int = 0  # stopped before the writing returned
    leftovers: int = 0
    seconds: list[float] = field(default_factory=list)


def observe(path: Path, turn: int) -> dict[str, Any]:
    """The state of a store in plain values; every number of a member must be of one version."""
    store = Store(path)
    members = {}
    for name in store.member_names("tiny"):
        member = store.read_member(name)
        assert member.logits is not None
        assert member.pooled is not None
        version = member.provenance["version"]
        assert (member.logits == version).all()
        assert (member.pooled == version % 2048).all()
        members[member.step] = version
    return {
        "members": members,
        "points": [point["step"] for point in store.curves("tiny")],
        "noted": store.run("tiny").details.get("noted"),
        "split": str(store.corpus.splits["usual"][0]),
        "passing": int(store.has_run("passing")),
        "made": turn if (name_made(path, turn) / "corpus.h5").exists() else None,
    }


def prepare_store(path: Path) -> dict[str, Any]:
    """A store to be written to, and its state."""
    store = make_store(path, n=40)
    for name in store.member_names():
        store.remove(name)
    (store.run_folder("tiny") / "curves.jsonl").unlink()
    return observe(path, -1)


def get_contents(path: Path) -> dict[str, bytes]:
    """Every file of a store that readers look at; curves without a torn last line."""
    found = (file for file in path.rglob("*") if file.is_file())
    inside = {str(file.relative_to(path)): file for file in found}
    return {
        name: file.read_bytes()[: file.read_bytes().rfind(b"\n") + 1] if file.suffix == ".jsonl" else file.read_bytes()
        for name, file in inside.items()
        if not any(is_leftover(Path(part)) for part in Path(name).parts)
    }


def stop_writers(folder: Path, *, times: int, seed: int, by: signal.Signals = signal.SIGKILL) -> dict[str, Tally]:
    """Let writers write, one after the other, and stop each at a random instant; returns a tally by kind.

    It goes on until ``times`` of them were stopped while they wrote: some have ended by then, on a busy machine many.

    The instants are spread evenly over 1.2 times the median duration of the last writers of that kind which were not
    stopped: every ninth, so that a machine that grows busier is followed.

    Raises:
        AssertionError: if anything but the old or the new state was left; the message names seed and turn.
    """
    random = np.random.default_rng(seed)
    tallies = {kind: Tally() for kind in KINDS}
    path = folder / "store"
    seen = Seen(prepare_store(path), get_contents(path))
    turns = itertools.count()
    with forking_writers() as writers:
        while sum(tally.midway for tally in tallies.values()) < times:
            turn = next(turns)
            kind, round_ = KINDS[turn % len(KINDS)], turn // len(KINDS)
            tally = tallies[kind]
            is_free = round_ < 2 or round_ % 9 == 0
            wait = None if is_free else random.uniform(0, 1.2 * median(tally.seconds[-5:]))
            try:
                seen = _make_ready(path, turn, seen)
                ended = _stop(writers, path, turn, wait, by, tally)
                seen = _check(path, turn, seen, tally, must_be_new=ended)
            except AssertionError as problem:
                raise AssertionError(f"seed {seed}, turn {turn} ({kind}): {problem}") from problem
    return tallies


def _make_ready(path: Path, turn: int, seen: Seen) -> Seen:
    if not make_ready(Store(path), turn):
        return seen
    return replace(seen, state=observe(path, turn), contents=get_contents(path))


def _stop(writers: Writers, path: Path, turn: int, wait: float | None, by: signal.Signals, tally: Tally) -> bool:
    """One writer, stopped so many seconds after it began (None: when it has ended); whether it had ended."""
    writers.start("write_one", path=str(path), turn=turn)
    process, word, start = writers.hear()
    assert word == "ready"
    heard: list[list[Any]] = []
    if wait is None:
        heard.append(writers.hear()[1:])
    else:
        time.sleep(max(0.0, start + wait - time.monotonic()))
        tally.stopped += 1
    os.kill(process, by)
    # Python forgets an interrupt that comes while a weak reference is removed: that writer goes on, and says at its end
    # that it was not stopped.
    heard += writers.hear_out(codes=(130, 0) if by == signal.SIGINT else (-by,))
    tally.seconds += [rest[0] for word, *rest in heard if wait is None and word == "took"]
    tally.midway += not heard
    return bool(heard)


def _check(path: Path, turn: int, before: Seen, tally: Tally, *, must_be_new: bool) -> Seen:
    """What is there after a turn, after it was compared with what may be."""
    old = before.state | {"made": None}
    expected = expect(old, turn)
    found = observe(path, turn)
    assert found == expected if must_be_new else found in (old, expected)
    contents = get_contents(path)
    changed = {name for name in contents | before.contents if contents.get(name) != before.contents.get(name)}
    assert changed <= name_targets(old, expected, turn)
    verification = verify_store(path)
    assert verification.problems == ()
    for stray in path.rglob("*.partial"):  # named itself, or with the folder it lies in
        within = stray.relative_to(path)
        assert {str(within), str(within.parent)} & set(verification.leftovers)
    if KINDS[turn % len(KINDS)] == "new store":
        _check_made(path, turn, is_there=found["made"] == turn)
    leftovers = frozenset(verification.leftovers)
    tally.old += found != expected
    tally.new += found == expected
    tally.leftovers += bool(leftovers - before.leftovers)
    if turn % SWEPT_EVERY == SWEPT_EVERY - 1:
        assert gc(path).in_use == ()
        leftovers = frozenset(verify_store(path).leftovers)
        assert leftovers == frozenset()
        assert get_contents(path) == contents
    return Seen(found, contents, leftovers)


def _check_made(path: Path, turn: int, *, is_there: bool) -> None:
    """A store that was being made is whole, or can be made."""
    if not is_there:
        Store.create(name_made(path, turn), Store(path).corpus)
    made = verify_store(name_made(path, turn))
    assert made.problems == ()
    gc(name_made(path, turn))
    assert [file.name for file in name_made(path, turn).iterdir()] == ["corpus.h5"]
