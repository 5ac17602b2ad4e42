"""What several tests of training begin with."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "backbones"))

from hub_server import TOKEN, run_hub, use_hub
from process_samples import COMMON
from training_kills import forking_trainer


@pytest.fixture(scope="session")
def empty(serstore, speech, tmp_path_factory):
    """A store without runs. Read only: its copies are trained in."""
    path = tmp_path_factory.mktemp("empty") / "speech.store"
    assert serstore("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker", "--store", path).code == 0
    return path


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A hub on this machine, which all that is launched talks to, and the environment that says so."""
    folder = tmp_path_factory.mktemp("served")
    with run_hub(folder) as server:
        environment = {"HF_ENDPOINT": server.address, "HF_HOME": str(folder), "HF_TOKEN": TOKEN}
        yield server, folder, {**environment, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}


@pytest.fixture(scope="module")
def hub(served):
    """The same hub, which this process talks to as well."""
    server, folder, environment = served
    with pytest.MonkeyPatch.context() as patch:
        use_hub(server, folder, patch)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def trainer():
    """Trains or extracts in a process of its own, which may be killed."""
    with forking_trainer() as train:
        yield train


@pytest.fixture(scope="session")
def launch(served, tmp_path_factory):
    """Runs the command in two processes that share a model; gives both exit codes and what both said on stderr."""
    program, folder = Path(__file__).with_name("forking_processes.py"), tmp_path_factory.mktemp("said")
    with subprocess.Popen(
        [sys.executable, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **served[2]},
    ) as server:

        def run(*words, environment, **job):
            job |= {"words": [str(word) for word in words], "folder": str(folder)}
            if environment is not None:
                job["environment"] = {**COMMON, **environment}
            server.stdin.write(json.dumps(job) + "\n")
            server.stdin.flush()
            told = json.loads(server.stdout.readline())
            if job.get("measure") and told["codes"] == [0, 0]:
                told["memory"] = [json.loads((folder / f"{rank}.memory").read_text()) for rank in (0, 1)]
            return SimpleNamespace(**told)

        yield run
        server.stdin.close()
