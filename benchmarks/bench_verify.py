"""How long verification takes beside reading the same files and hashing them (SHA-256), in one thread.

Stores of 28 members of 1,440 utterances: labels alone, logits, and pooled representations of 1,024 and 4,096
dimensions. The two take turns, so that a busy machine slows both alike; before anything is timed, one flipped byte in
each store must be found.

    python benchmarks/bench_verify.py --rounds 9
"""

import argparse
import hashlib
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from ser_store_h5.corpus import Corpus
from ser_store_h5.integrity.verify import THREADS, verify_store
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

N, CLASSES, STEPS = 1_440, 8, 28


def make_store(path: Path, hidden: int) -> Store:
    """A store of one run; ``hidden`` 0: logits alone."""
    random = np.random.default_rng(0)
    rows = np.arange(N, dtype=np.int32)
    corpus = Corpus(
        name="bench",
        ids=np.array([f"u{row:05}" for row in rows]),
        labels=(rows % CLASSES).astype(np.int16),
        classes=tuple("abcdefgh"),
    )
    store = Store.create(path, corpus)
    store.add_run(RunRecord("run", "finetune", "bench"))
    for step in range(STEPS):
        logits = random.normal(size=(N, CLASSES)).astype(np.float32)
        pooled = random.normal(size=(N, hidden)).astype(np.float16) if hidden else None
        store.write_member(Member("run", step, rows, logits=logits, pooled=pooled))
    return store


def hash_files(path: Path) -> float:
    """Seconds to read every file of a store and hash it."""
    started = time.perf_counter()
    for file in sorted(path.rglob("*")):
        if file.is_file():
            hashlib.sha256(file.read_bytes()).digest()
    return time.perf_counter() - started


def require_damage_found(store: Store) -> None:
    path = store.member_path("run", STEPS // 2)
    content = path.read_bytes()
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    path.write_bytes(changed)
    found = verify_store(store.path)
    path.write_bytes(content)
    if len(found.problems) != 1 or not verify_store(store.path).ok:
        raise RuntimeError(f"{path}: a flipped byte was not found")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=9)
    options = arguments.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} processors, {THREADS} threads; medians of {options.rounds} rounds\n")
    print(f"{'members hold':<22}{'size':>10}{'read, hash':>13}{'verify':>11}{'rate':>12}{'ratio':>8}")
    for label, hidden in (("logits", 0), ("logits, 1024 pooled", 1_024), ("logits, 4096 pooled", 4_096)):
        with tempfile.TemporaryDirectory() as folder:
            store = make_store(Path(folder) / "store", hidden)
            require_damage_found(store)
            hashed, verified = [], []
            for _ in range(options.rounds):
                hashed.append(hash_files(store.path))
                verified.append(verify_store(store.path))
            base = statistics.median(hashed)
            took = statistics.median(found.seconds for found in verified)
            size = verified[0].bytes
        row = f"{label:<22}{size / 1e6:>7.1f} MB{1e3 * base:>10.1f} ms{1e3 * took:>8.1f} ms"
        print(row + f"{size / took / 1e6:>7.0f} MB/s{took / base:>8.2f}")


if __name__ == "__main__":
    main()
