"""What the reading commands load, seen from a process of their own."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "sklearn", "scipy", "matplotlib", "numba", "tqdm")
# What takes longer than a second loads the bar, too, which is the machine's business.
PROGRAM = """
import sys
from ser_store_h5 import progress
progress.DELAY_SECONDS = 3600
sys.argv = ["serstore", *sys.argv[1:]]
from ser_store_cli.app import main
try:
    main()
except SystemExit as ended:
    code = ended.code
print("LOADED", code, *sorted(sys.modules), file=sys.stderr)
"""
READING = [
    ("--help",),
    ("vote", "--help"),
    ("models",),
    ("corpora",),
    ("ls",),
    ("info",),
    ("verify",),
    ("audit",),
    ("evaluate", "xlsr53", "--by", "speaker"),
    ("steps",),
    ("vote", "--k", "5", "--all-combos"),
    ("vote", "--k", "3", "--all-combos", "--tie", "best"),
]


def run(*words: str) -> tuple[str, set[str]]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True)
    code, *modules = done.stderr.split("LOADED", 1)[1].split()
    return code, set(modules)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_a_reading_command_loads_neither_torch_nor_other_heavy_libraries(words, paper_store):
    options = () if words[0] in ("--help", "models", "corpora") or "--help" in words else ("--store", str(paper_store))
    code, modules = run(*words, *options)
    assert code in ("0", "None")
    assert not modules & {*HEAVY, "polars", "jinja2"}
    if "--help" in words:
        assert "numpy" not in modules


def test_import_reads_its_table_without_torch_and_scikit_learn(paper_predictions, tmp_path):
    words = ("import", str(paper_predictions), "--label", "emotion", "--store", str(tmp_path / "s"))
    code, modules = run(*words)
    assert code in ("0", "None")
    assert not modules & set(HEAVY)
    assert "polars" in modules


def test_a_figure_loads_matplotlib_and_nothing_else_that_is_heavy(paper_store, tmp_path):
    pytest.importorskip("matplotlib")
    code, modules = run("plot", "confusion", "-o", str(tmp_path / "f.svg"), "--store", str(paper_store))
    assert code in ("0", "None")
    assert modules & {*HEAVY, "polars"} == {"matplotlib"}
    assert "matplotlib.pyplot" not in modules


def test_a_report_loads_its_templates_and_nothing_that_is_heavy(paper_store, tmp_path):
    code, modules = run("report", "-o", str(tmp_path / "r.html"), "--store", str(paper_store))
    assert code in ("0", "None")
    assert "jinja2" in modules
    assert not modules & {*HEAVY, "polars"}


def test_importing_the_library_loads_nothing_heavy():
    program = "import sys, ser_store; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {*HEAVY, "polars"}


def test_predicting_by_a_head_on_a_feature_set_loads_no_transformers(serstore, speech, tmp_path):
    pytest.importorskip("torch")
    store, recording = tmp_path / "s", next(speech.rglob("*.wav"))
    for words in (
        ("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker"),
        ("extract", "--model", "mfcc"),
        ("head", "--from", "mfcc", "--kind", "lda", "--keep"),
    ):
        assert serstore(*words, "--store", store).code == 0
    code, modules = run("predict", "mfcc-lda", str(recording), "--store", str(store))
    assert code in ("0", "None")
    assert not modules & {"transformers", "accelerate", "polars", "matplotlib", "numba"}
