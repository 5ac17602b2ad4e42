"""Where the tests find the real recordings, and which tests are collected where torch is not installed.

Recordings and published logits lie beside the repository, in ``../shared`` (or where ``SERSTORE_SHARED`` says). Where
they are absent their tests are skipped, unless ``SERSTORE_REQUIRE_SHARED`` is 1: then they fail.
"""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from typer.testing import CliRunner

from ser_store_h5 import progress

# How long an example takes, and to draw it, is the machine's business, not the test's. Each run has the same examples;
# more and others: --hypothesis-profile=soak.
PATIENT = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("serstore", **PATIENT, max_examples=50, derandomize=True)
settings.register_profile("soak", **PATIENT, max_examples=2000)
settings.load_profile("serstore")

# Commands that take longer than ten seconds on a busy machine log how far they are, beside what is expected of them.
progress._LOG_SECONDS = 3600.0

# What a shell runs in the background ignores Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(os.environ.get("SERSTORE_SHARED", Path(__file__).parents[1].parent / "shared"))
SAMPLES = Path(__file__).parents[1] / "ser_store" / "reproduction" / "samples"

collect_ignore: list[str] = []
if find_spec("torch") is None:
    collect_ignore += ["backbones", "prediction", "training"]
    collect_ignore += ["benchmarks/test_timing.py", "benchmarks/test_running.py"]
if find_spec("huggingface_hub") is None:
    collect_ignore += ["hub"]
if find_spec("matplotlib") is None:
    collect_ignore += ["figures"]


def _shared(*parts: str) -> Path:
    folder = SHARED.joinpath(*parts)
    if not folder.is_dir():
        message = f"{folder} is not there; SERSTORE_SHARED names the folder that holds ravdess/ and published-logits/"
        if os.environ.get("SERSTORE_REQUIRE_SHARED") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return folder


def _recordings(rate: str) -> Path:
    pytest.importorskip("soundfile")
    return _shared("ravdess", rate)


@pytest.fixture(scope="session")
def ravdess_16k() -> Path:
    """The 1,440 speech recordings of RAVDESS, 16 kHz FLAC."""
    return _recordings("16k")


@pytest.fixture(scope="session")
def ravdess_48k() -> Path:
    """Sixty-three RAVDESS originals, 48 kHz WAV, five of them stereo."""
    return _recordings("48k")


@pytest.fixture(scope="session")
def paper_predictions() -> Path:
    """The reconstructed predictions of the six published models, a CSV file."""
    return SAMPLES / "reconstructed_predictions.csv"


@pytest.fixture(scope="session")
def published_tables() -> dict[str, Any]:
    """The tables and reports that the paper prints."""
    return json.loads((SAMPLES / "published_tables.json").read_text())


@pytest.fixture(scope="session")
def published_logits() -> Path:
    """Logits of three published models on all recordings of RAVDESS, in one long table (ravdess_folds.csv)."""
    return _shared("published-logits") / "ravdess_folds.csv"


@pytest.fixture(scope="session")
def whisper_base() -> Path:
    """The encoder of OpenAI's Whisper base with its pretrained weights."""
    return _shared("backbones", "whisper-base")


@dataclass(frozen=True)
class Outcome:
    """What one command gave: exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Serstore = Callable[..., Outcome]


@pytest.fixture(scope="session")
def serstore() -> Serstore:
    """Runs one command in this process: ``serstore("vote", "--k", 5)``."""
    from ser_store_cli.app import app

    def run(*words: object) -> Outcome:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture(scope="session")
def paper_store(paper_predictions: Path, serstore: Serstore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the reconstructed predictions of the six published models. Read only."""
    store = tmp_path_factory.mktemp("paper") / "paper.store"
    assert serstore("import", paper_predictions, "--label", "emotion", "--store", store).code == 0
    return store


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty-eight synthetic recordings: three speakers, eight emotions, two repetitions of one statement. Read only."""
    from ser_store.corpora.synthetic import iter_utterances, synthesise

    soundfile = pytest.importorskip("soundfile")
    folder = tmp_path_factory.mktemp("speech")
    for utterance in iter_utterances(speakers=3):
        if (utterance.intensity, utterance.statement) == (1, 1):
            path = folder / f"Actor_{utterance.actor:02}" / f"{utterance.stem}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, synthesise(utterance), 16_000, subtype="PCM_16")
    return folder
