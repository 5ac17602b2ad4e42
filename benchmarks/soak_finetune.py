"""Trainings stopped at random instants, many times, and whether what comes of them is what comes of one that goes on.

Each run has options drawn at random. It is trained once without a stop, and once more with one to three: by SIGKILL, or
by a signal to its whole group, at one of the moments at which it writes. Resumed to its end it must have the same
members, curves and checkpoints, byte for byte, and at no time more checkpoints on the disk than are kept, or two. The
table comes last.

    python benchmarks/soak_finetune.py --times 100
    python benchmarks/soak_finetune.py --times 50 --by SIGTERM --seed 7
"""

import argparse
import logging
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

# The same loop is a test, with fewer runs.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "training"))

from training_kills import Tally, save_backbone, serving, stop_trainings, train_by

from ser_store.corpora.create import init
from ser_store.corpora.synthetic import write_synthetic_corpus


def make_store(folder: Path) -> Path:
    """A store over 48 synthetic recordings of three speakers."""
    audio = folder / "audio"
    for path in write_synthetic_corpus(audio, speakers=3):
        if not path.stem[9:].startswith("01-01"):  # one intensity, one statement
            path.unlink()
    return init(folder / "empty.store", corpus="ravdess", audio=audio, split="speaker").store.path


def print_tally(tally: Tally, *, by: str, seed: int, seconds: float) -> None:
    print(f"options drawn with seed {seed}; {seconds:.0f} s")
    for figure, meaning in (
        (tally.runs, f"runs of {tally.steps} steps in all, resumed to the bytes of those that went through"),
        (tally.begun, f"times begun or resumed, to be stopped by {by}"),
        (tally.stopped, "of these stopped before they had come to their end"),
        (tally.midway, "of these while a checkpoint was half written"),
        (tally.most, "checkpoints at most on the disk"),
    ):
        print(f"{figure:>6}  {meaning}")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--times", type=int, default=100, help="runs")
    arguments.add_argument("--by", choices=["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"], default="SIGKILL")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--folder", type=Path, help="where the stores are made; default: a temporary folder")
    options = arguments.parse_args()
    logging.getLogger("ser_store").setLevel(logging.ERROR)
    started, tally = time.perf_counter(), Tally()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch)
        empty, model = make_store(folder), save_backbone(folder / "tiny")
        with serving() as ask:
            by, train = signal.Signals[options.by], partial(train_by, ask, model=model)
            for tally in stop_trainings(folder, empty, train, times=options.times, seed=options.seed, by=by):
                print(f"\r{tally.runs} of {options.times}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print_tally(tally, by=options.by, seed=options.seed, seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
