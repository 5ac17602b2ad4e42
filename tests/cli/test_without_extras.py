"""Without an extra, what needs it says so in one line, and all else works."""

import subprocess
import sys

import pytest

TRAINING = ("torch", "torchaudio", "transformers", "accelerate", "soundfile")
PROGRAM = """
import sys
from importlib.machinery import PathFinder

class WithoutExtra(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in HIDDEN else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutExtra
from ser_store_cli.app import main
main()
"""


def run(*words, hidden=TRAINING):
    command = [sys.executable, "-c", f"HIDDEN = {hidden}\n{PROGRAM}", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def store(serstore, speech, tmp_path_factory):
    path = tmp_path_factory.mktemp("core") / "speech.store"
    for words in (
        ("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker"),
        ("extract", "--model", "mfcc"),
    ):
        assert serstore(*words, "--store", path).code == 0
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("finetune", "--model", "xlsr53"),
        ("extract", "--model", "mfcc", "--run", "again"),
        ("extract", "--model", "tiny-hubert"),
        ("predict", "me/emotions", "recording.wav"),
        ("init", "--corpus", "ravdess", "--split", "twin"),
        ("demo",),
    ],
    ids=" ".join,
)
def test_what_needs_the_extra_names_it(words, store, speech, tmp_path):
    place = ("--store", store if words[0] != "demo" else tmp_path / "x")
    options = ("--audio", speech) if words[0] == "init" else ()
    done = run(*words, *options, *place)
    assert done.returncode == 1, done.stderr
    [line] = done.stderr.strip().splitlines()
    assert "is not installed: this needs the training extra; pip install 'ser-store[train]'" in line
    assert not (tmp_path / "x").exists()


def test_the_licence_of_opensmile_is_told_to_whom_it_lacks(store):
    done = run("extract", "--model", "egemaps", "--store", store, hidden=("opensmile",))
    assert done.returncode == 1, done.stderr
    [line] = done.stderr.strip().splitlines()
    assert "opensmile is not installed: this needs openSMILE, whose licence is for research only" in line
    assert line.endswith("pip install 'ser-store[opensmile]'")


def test_figures_name_their_extra(paper_store, tmp_path):
    file = tmp_path / "f.svg"
    done = run("plot", "confusion", "-o", file, "--store", paper_store, hidden=("matplotlib",))
    assert done.returncode == 1, done.stderr
    [line] = done.stderr.strip().splitlines()
    assert line.endswith("matplotlib is not installed: this needs the plot extra; pip install 'ser-store[plot]'")
    assert not file.exists()


@pytest.mark.parametrize("module", ["onnx", "onnxscript", "onnxruntime"])
def test_what_writes_onnx_is_an_extra_of_its_own(module, store, tmp_path):
    done = run("export-onnx", "mfcc", "-o", tmp_path / "model.onnx", "--store", store, hidden=(module,))
    assert done.returncode == 1, done.stderr
    [line] = done.stderr.strip().splitlines()
    assert line.endswith("is not installed: this needs the onnx extra; pip install 'ser-store[onnx]'")


def test_everything_else_works(store, paper_store):
    assert run("head", "--kind", "lda", "--from", "mfcc", "--store", store).returncode == 0
    for words in (("ls",), ("info",), ("evaluate",), ("steps",), ("verify",), ("audit",), ("models",)):
        done = run(*words, "--store", store)
        assert done.returncode == 0, done.stderr
    assert run("vote", "--k", 3, "--all-combos", "--store", paper_store).returncode == 0
