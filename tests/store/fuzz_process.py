"""Reads what may be damaged or hostile, in a process of its own: a crash, a hang or a flood of memory ends only that.

Run as a script it imports once, then forks a reader for every line of JSON it is sent: either a store to be probed, or
a range of damaged inputs to be made and probed. What readers find comes out as lines of JSON, the last of them
``{"ended": exit code}``; a negative code is the signal that ended the reader.
"""

import hashlib
import json
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_samples import SAMPLES, Sample, make_sample

import ser_store_h5.hdf5.arrays
from ser_store_h5.errors import SerstoreError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.member import Member
from ser_store_h5.store import Store

SECONDS = 10.0  # for one input
MEMORY = 256 << 20  # more than the process has when it forks
PARTS = ("ids", "labels", "speakers", "paths", "audio_digests")
ARRAYS = ("rows", "logits", "pooled", "predicted")
BARE_PLACES = ("/", "columns", "splits", "corpus", "runs", "runs/tiny", "runs/tiny/step-000010")
NOTHING = "-"  # said of an array that is not there
Found = dict[str, str]


def digest(value: Any) -> str:
    """Of an array: dtype, shape and bytes. Widths of text do not count."""
    if value is None:
        return NOTHING
    content = "\0".join(value.tolist()).encode() if value.dtype.kind == "U" else value.tobytes()
    return hashlib.sha256(f"{value.dtype.kind}{value.shape}".encode() + content).hexdigest()[:16]


def _describe_corpus(store: Store) -> Iterator[tuple[str, str]]:
    corpus = store.corpus
    for name in PARTS:
        yield name, digest(getattr(corpus, name))
    for name, values in (*corpus.columns.items(), *corpus.splits.items()):
        yield name, digest(values)
    yield "stated", json.dumps([corpus.name, corpus.classes, corpus.default_split, corpus.audio_root])


def _describe_member(member: Member) -> Iterator[tuple[str, str]]:
    for name in ARRAYS:
        yield name, digest(getattr(member, name))
    for name in member.arrays.keys() - {*ARRAYS}:
        yield name, digest(member.arrays[name])
    yield "stated", json.dumps([member.run, member.step, member.provenance], sort_keys=True)


def _iter_calls(path: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything that can be asked of a store, each with what it says in one text or in several named ones."""
    store = Store(path)
    yield "corpus", lambda: dict(_describe_corpus(store))
    yield "test part", lambda: digest(store.header.rows())
    yield "runs", lambda: json.dumps([store.runs(), store.member_names()])
    yield "members", lambda: json.dumps([repr(member) for member in store.members()])
    for run in store.runs():
        yield f"record of {run}", lambda run=run: repr(store.run(run))
        yield f"curves of {run}", lambda run=run: repr(store.curves(run))
    rows = np.array([7, 0, 3], dtype=np.int32)
    for name in store.member_names():
        yield name, lambda name=name: dict(_describe_member(store.read_member(name)))
        yield f"predictions of {name}", lambda name=name: digest(store.predictions([name], rows))
        yield f"logits of {name}", lambda name=name: digest(store.logits([name], rows))
        yield f"pooled of {name}", lambda name=name: digest(store.pooled(name, rows))


def probe(path: Path) -> Found:
    """What every question to the store at ``path`` is answered with: the values, or the stated problem."""
    found: Found = {}

    def ask(name: str, call: Callable[[], Any]) -> None:
        try:
            answer = call()
        except SerstoreError as problem:
            lines = str(problem).splitlines()
            found[name] = f"refused: {type(problem).__name__}" if len(lines) == 1 else f"escaped: {len(lines)} lines"
        except BaseException as problem:  # noqa: BLE001 - whatever it is, it is a finding
            found[name] = f"escaped: {problem!r:.300}"
        else:
            parts = answer if isinstance(answer, dict) else {"": answer}
            found.update({f"{name}: {part}".removesuffix(": "): said for part, said in parts.items()})

    try:
        calls = list(_iter_calls(path))
    except SerstoreError as problem:
        return {"store": f"refused: {type(problem).__name__}"} | {"verify": "refused: Verification"}
    except BaseException as problem:  # noqa: BLE001
        return {"store": f"escaped: {problem!r:.300}"}
    for name, call in calls:
        ask(name, call)
    ask("verify", lambda: _verify(path))
    return found


def _verify(path: Path) -> str:
    problems = verify_store(path).problems
    if any(len(problem.problem.splitlines()) != 1 for problem in problems):
        return "escaped: lines"
    return "refused: Verification" if problems else "ok"


def _limit() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _say(found: Any) -> None:
    os.write(1, json.dumps(found).encode() + b"\n")


def _probe_store(order: dict[str, Any]) -> None:
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    _say(probe(Path(order["store"])))


def _probe_damaged(order: dict[str, Any], sample: Sample) -> None:
    """Tell how each of the inputs ``start`` to ``stop`` is answered, beside what the sample as written says."""
    if order["in_chunks"]:  # small arrays too are read by the chunks their rows lie in, as large ones are
        ser_store_h5.hdf5.arrays.SMALL_BYTES = 0
        ser_store_h5.hdf5.arrays.WHOLE_BYTES = 0
    folder = Path(order["folder"])
    path = sample.write(folder, sample.content)
    ask: Callable[[Path], Found] = probe
    if order["is_bare"]:
        path, ask = path / sample.victim if sample.victim else path, probe_bare
    whole = ask(path)
    for seed in range(order["start"], order["stop"]):
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        sample.write(folder, sample.damage(order["kind"], seed))
        _say({name: _compare(said, whole.get(name)) for name, said in ask(path).items()})


def probe_bare(path: Path) -> Found:
    """How libhdf5 alone takes the same file: everything in it is read."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            for name in BARE_PLACES:
                for node in (file.get(name), *getattr(file.get(name), "values", tuple)()):
                    dict(node.attrs if node is not None else {})
                    node[()] if isinstance(node, h5py.Dataset) else None
    except Exception as problem:  # noqa: BLE001 - what it raises does not matter here, only that it comes back
        return {"file": f"refused: {type(problem).__name__}"}
    return {"file": "same"}


def _compare(said: str, whole: str | None) -> str:
    if said.startswith(("refused", "escaped")):
        return said
    return "same" if said == whole else "gone" if said == NOTHING else "other"


def _serve(order: dict[str, Any], samples: dict[str, Sample]) -> None:
    process = os.fork()
    if process:
        _, status = os.waitpid(process, 0)
        _say({"ended": os.waitstatus_to_exitcode(status)})
        return
    code = 1
    try:
        _limit()
        if "store" in order:
            _probe_store(order)
        else:
            _probe_damaged(order, samples[order["sample"]])
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of forks beside threads that numpy may have
    ready = {name: make_sample(name) for name in SAMPLES}
    for line in sys.stdin:
        _serve(json.loads(line), ready)
