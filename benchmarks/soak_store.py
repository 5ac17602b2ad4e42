"""Writers of a store stopped at random instants, many times, and what was left after each.

Every writer is a process of its own that is sent SIGKILL (or SIGINT) while it writes; the instants are spread evenly
over the time its kind of writing takes. After each the store must be as it was before or as it was to become, no other
file may have changed by a byte, verification must find nothing wrong and must name what is left. The table comes last.

    python benchmarks/soak_store.py --times 2000
    python benchmarks/soak_store.py --times 500 --by SIGINT --seed 7
"""

import argparse
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

# The same loop is a test, with fewer writers.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "store"))

from killing import Tally, stop_writers


def print_tallies(tallies: dict[str, Tally]) -> None:
    columns = ("stopped", "while writing", "old state", "new state", "left something", "median")
    print(f"{'what was written':<24}" + "".join(f"{column:>16}" for column in columns))
    for kind, tally in tallies.items():
        counts = (tally.stopped, tally.midway, tally.old, tally.new, tally.leftovers)
        took = f"{1e3 * statistics.median(tally.seconds):.2f} ms"
        print(f"{kind:<24}" + "".join(f"{count:>16}" for count in counts) + f"{took:>16}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--times", type=int, default=2_000, help="writers that are stopped while they write")
    arguments.add_argument("--by", choices=["SIGKILL", "SIGINT"], default="SIGKILL")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--folder", type=Path, help="where the stores are made; default: a temporary folder")
    options = arguments.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        tallies = stop_writers(Path(folder), times=options.times, seed=options.seed, by=signal.Signals[options.by])
    seconds = time.perf_counter() - started
    stopped = sum(tally.stopped for tally in tallies.values())
    print(f"{stopped} writers stopped by {options.by} in {seconds:.1f} s, seed {options.seed}; every store was whole\n")
    print_tallies(tallies)


if __name__ == "__main__":
    main()
