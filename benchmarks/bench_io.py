"""How fast and how small the store is beside other ways to keep the same, after checking that all give it back.

    pip install '.[bench]'
    python benchmarks/bench_io.py [--members 84] [--repeats 5] [--slow-members 6] [--folder DIR]

84 members (6 models at 14 steps) × 1,440 utterances × 1,024 dimensions, pooled float16 and logits float32. Prints a
table and writes benchmarks/results/io.json. Formats that keep each utterance by itself are measured with fewer members
and scaled; --slow-members 84 measures them in full, which takes some minutes and 4 GB.
"""

import argparse
import json
from pathlib import Path

from measuring.storing import compare_storage
from measuring.storing_table import print_storage
from measuring.workload import Workload
from ser_store_h5.progress import bar

RESULT = Path(__file__).parent / "results" / "io.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options = {"members": 84, "utterances": 1440, "hidden": 1024, "repeats": 5, "slow-members": 6, "seed": 0}
    for name, value in options.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", type=Path, help="where to write; default: the system's temporary folder")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    workload = Workload(members=args.members, n=args.utterances, hidden=args.hidden, seed=args.seed)
    compared = compare_storage(
        workload, repeats=args.repeats, slow_members=args.slow_members, folder=args.folder, progress=bar
    )
    print_storage(compared)
    for name, libraries in compared.missing.items():
        print(f"{name} is left out: {libraries} is not installed")
    args.result.parent.mkdir(exist_ok=True)
    args.result.write_text(json.dumps(compared.to_json(), indent=1) + "\n")
    print(f"\nwrote {args.result}")


if __name__ == "__main__":
    main()
