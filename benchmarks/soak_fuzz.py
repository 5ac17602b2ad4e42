"""Damaged files, by the ten thousand: what the store makes of them, and what libhdf5 alone makes of the same bytes.

Each input is a store of which one file was damaged at random: as it comes (``unsealed``), under a seal that fits
(``sealed``), or under checksums of HDF5's metadata that fit as well (``checksummed``), so that the damage gets as far
as damage can. Each is read, verified and compared with what was written, in a process that may use 256 MiB more than at
its start, and 10 s. Half of the inputs are read with arrays taken chunk by chunk, as large ones are.

    python benchmarks/soak_fuzz.py --inputs 20000 --bare 2000

``wrong`` would be numbers other than those written; ``forged`` are statements, or chunks, that changed places together
with every checksum over them. Sequences of operations and files of any structure are the tests' own, for longer:

    SERSTORE_MODEL_EXAMPLES=1000 SERSTORE_FUZZ_EXAMPLES=5000 pytest tests/store/test_store_model.py \\
        tests/store/test_fuzz_structure.py
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "store"))

from fuzz_samples import SAMPLES
from fuzzing import Prober, sum_up
from mutations import KINDS

COLUMNS = ("read", "refused", "forged", "wrong", "crash", "hang", "other")


def count(
    prober: Prober, folder: Path, *, sample: str, kind: str, inputs: int, start: int, is_bare: int
) -> Counter[str]:
    """Outcomes of one kind of damage to one sample; what must not be is printed with its seed."""
    found: Counter[str] = Counter()
    for in_chunks in (0,) if is_bare else (0, 1):
        first = start + in_chunks * inputs
        stop = first + (inputs if is_bare else inputs // 2)
        asked = {"start": first, "stop": stop, "in_chunks": in_chunks, "is_bare": is_bare}
        for seed, answers in prober.damage(folder, sample, kind, **asked):
            outcome = sum_up(answers)
            word = classify(outcome)
            if word == "wrong" and in_chunks and kind == "checksummed":
                word = "forged"
            found[word] += 1
            if word in ("wrong", "other") or (word in ("crash", "hang") and not is_bare):
                print(f"{sample} {kind} in_chunks={in_chunks} seed={seed}: {outcome}", file=sys.stderr)
    return found


def classify(outcome: str) -> str:
    for word in ("read", "refused", "forged", "wrong"):
        if outcome.startswith(word):
            return word
    return next((word for word in ("crash", "hang") if f"escaped: {word}" in outcome), "other")


def print_row(name: str, found: Counter[str], seconds: float) -> None:
    cells = "".join(f"{found[column]:>9,}" for column in COLUMNS)
    print(f"{name:<28}{found.total():>9,}{cells}{seconds:>9.0f}", flush=True)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--inputs", type=int, default=20_000, help="damaged inputs in all")
    arguments.add_argument("--bare", type=int, default=0, help="inputs that libhdf5 alone is given too")
    arguments.add_argument("--start", type=int, default=0, help="first seed")
    given = arguments.parse_args()
    cases = [(sample, kind) for sample in SAMPLES for kind in KINDS]
    headings = "".join(f"{column:>9}" for column in COLUMNS)
    total: Counter[str] = Counter()
    with Prober() as prober, tempfile.TemporaryDirectory() as folder:
        for is_bare, inputs in ((0, given.inputs), (1, given.bare)):
            if not inputs:
                continue
            print(f"{'libhdf5 alone' if is_bare else 'the store':<28}{'inputs':>9}{headings}{'s':>9}")
            for sample, kind in cases:
                started = time.perf_counter()
                each = max(2, inputs // len(cases))
                found = count(
                    prober, Path(folder), sample=sample, kind=kind, inputs=each, start=given.start, is_bare=is_bare
                )
                print_row(f"{sample}, {kind}", found, time.perf_counter() - started)
                total += Counter() if is_bare else found
    return int(bool(total["wrong"] + total["crash"] + total["hang"] + total["other"]))


if __name__ == "__main__":
    sys.exit(main())
