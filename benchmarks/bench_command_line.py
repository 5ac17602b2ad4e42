"""How long the whole process of a reading command takes, beside the imports that none can do without.

The baseline is ``python -c "import h5py, typer"``. Processes take turns, so that a busy machine slows all alike; wall
time and processor time are medians and minima over the rounds.

    python benchmarks/bench_command_line.py PREDICTIONS.csv --label emotion --rounds 15
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERSTORE = [sys.executable, "-c", "from ser_store_cli.app import main; main()"]


def measure(command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of one process.

    Raises:
        RuntimeError: if it fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status):
        raise RuntimeError(f"{command} failed")
    return wall, usage.ru_utime + usage.ru_stime


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("predictions", type=Path)
    arguments.add_argument("--label", default="emotion")
    arguments.add_argument("--rounds", type=int, default=15)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = ["--store", f"{folder}/bench.store"]
        measure([*SERSTORE, "import", str(options.predictions), "--label", options.label, *store])
        commands = {
            "import h5py, typer": [sys.executable, "-c", "import h5py, typer"],
            "serstore --help": [*SERSTORE, "--help"],
            "serstore ls": [*SERSTORE, "ls", *store],
            "serstore evaluate": [*SERSTORE, "evaluate", *store],
            "serstore vote --k 5 --all-combos": [*SERSTORE, "vote", "--k", "5", "--all-combos", *store],
        }
        for command in commands.values():
            measure(command)
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                times[name].append(measure(command))
    baseline = times["import h5py, typer"]
    base_wall = statistics.median(wall for wall, _ in baseline)
    base_processor = min(processor for _, processor in baseline)
    print(f"{'command':<34} {'wall, median':>12} {'ratio':>6} {'processor, least':>17} {'ratio':>6}")
    for name, taken in times.items():
        wall = statistics.median(wall for wall, _ in taken)
        processor = min(processor for _, processor in taken)
        ratios = wall / base_wall, processor / base_processor
        print(f"{name:<34} {wall:>10.3f} s {ratios[0]:>6.2f} {processor:>15.3f} s {ratios[1]:>6.2f}")


if __name__ == "__main__":
    main()
