"""What the benchmarks measure with is imported as they import it: from the folder of the scripts."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
