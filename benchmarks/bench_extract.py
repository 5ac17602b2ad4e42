"""How fast serstore represents recordings beside the loops that people write, after checking that all say the same.

    pip install '.[train]'
    python benchmarks/bench_extract.py [--model FOLDER] [--audio DIR] [--repeats 5] [--batch-size 8]

Without --model a small wav2vec2 of random weights, without --audio synthetic recordings. The ways take turns; loading
the model and decoding the recordings are a part of each. Whisper is compared at its thirty seconds, where the numbers
are transformers'. Prints a table and writes benchmarks/results/extract_ways.json.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from measuring.extraction_ways import check_equal, compare_rates, list_ways, save_tiny, time_by_turns
from measuring.running import PACKAGES
from measuring.surroundings import describe_machine, list_package_versions
from measuring.training_corpus import scratch_store
from ser_store.common.display import Figure, Table
from ser_store.common.provenance import describe_hardware
from ser_store_h5.progress import bar

RESULT = Path(__file__).parent / "results" / "extract_ways.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a backbone's weights")
    parser.add_argument("--audio", type=Path, help="folder of RAVDESS recordings")
    for name, value in {"repeats": 5, "batch-size": 8, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--folder", type=Path, help="where to write; default: the system's temporary folder")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    with (
        TemporaryDirectory(dir=args.folder) as scratch,
        scratch_store(args.audio, folder=args.folder, progress=bar) as store,
    ):
        model = args.model or save_tiny(Path(scratch) / "tiny", args.seed)
        ways = list_ways(store, model, size=args.batch_size)
        apart = check_equal(ways)
        n = len(store.corpus)
        rates = compare_rates(time_by_turns(ways, repeats=args.repeats, progress=bar), n)
    print(f"{model.name}, {n} utterances; equal to {apart:.0e}; ratio: to the best plain loop, median of the rounds")
    rows = [[one["way"], Figure(one["per_second"]), Figure(one["ratio"])] for one in rates]
    print(Table(["way", "per second", "ratio"], rows))
    document = {
        "model": model.name,
        "utterances": n,
        "seed": args.seed,
        "batch_size": args.batch_size,
        "difference": apart,
        "machine": {**describe_machine(), **describe_hardware()},
        "versions": list_package_versions(PACKAGES),
        "ways": rates,
    }
    args.result.parent.mkdir(exist_ok=True)
    args.result.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwrote {args.result}")


if __name__ == "__main__":
    main()
