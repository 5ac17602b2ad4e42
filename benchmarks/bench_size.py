"""The store beside the checkpoints it replaces, for the six published backbones, both really written.

    python benchmarks/bench_size.py [--utterances 1440] [--steps 14] [--without-checkpoints] [--folder DIR]

Where torch and transformers are installed and 5 GB are free, a checkpoint of each is written once and removed; else its
size is by arithmetic. Prints a table and writes benchmarks/results/size.json.
"""

import argparse
import json
from pathlib import Path

from measuring.sizes import compare_sizes
from measuring.sizes_table import print_sizes

RESULT = Path(__file__).parent / "results" / "size.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=1440)
    parser.add_argument("--steps", type=int, default=14, help="of each backbone")
    parser.add_argument("--without-checkpoints", action="store_true", help="write none")
    parser.add_argument("--folder", type=Path, help="where to write; default: the system's temporary folder")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    compared = compare_sizes(
        n=args.utterances, steps=args.steps, folder=args.folder, with_checkpoints=not args.without_checkpoints
    )
    print_sizes(compared)
    args.result.parent.mkdir(exist_ok=True)
    args.result.write_text(json.dumps(compared.to_json(), indent=1) + "\n")
    print(f"\nwrote {args.result}")


if __name__ == "__main__":
    main()
