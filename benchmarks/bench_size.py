"""The store beside the checkpoints it replaces, for the six published backbones, both really written.

    python benchmarks/bench_size.py [--utterances 1440] [--steps 14]

Where torch and transformers are installed and 5 GB are free, a checkpoint of each is written once and removed; else its
size is by arithmetic. Prints a table and writes benchmarks/results/size.json.
"""

import argparse
import json
from pathlib import Path

from ser_store.measuring.sizes import compare_sizes
from ser_store_cli.commands.bench_store import print_sizes

RESULT = Path(__file__).parent / "results" / "size.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=1440)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    compared = compare_sizes(n=args.utterances, steps=args.steps)
    print_sizes(compared)
    args.result.parent.mkdir(exist_ok=True)
    args.result.write_text(json.dumps(compared.to_json(), indent=1) + "\n")
    print(f"\nwrote {args.result}")


if __name__ == "__main__":
    main()
