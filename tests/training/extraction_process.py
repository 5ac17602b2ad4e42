"""Extracts in a process of its own, slowly, and writes a block for each batch, so that kills meet them all."""

import sys
import time

import ser_store as ss
from ser_store.extraction import filling
from ser_store.inference import forward


def main() -> None:
    path, model, delay = sys.argv[1], sys.argv[2], float(sys.argv[3])
    filling.BLOCK_SECONDS = 0.0
    iter_batches = forward.iter_batches

    def slow(*arguments, **options):
        for said in iter_batches(*arguments, **options):
            time.sleep(delay)
            yield said

    forward.iter_batches = slow
    print("begins", flush=True)
    ss.extract(path, model=model, layers="all", batch_size=4)


if __name__ == "__main__":
    main()
