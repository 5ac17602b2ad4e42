"""What several tests of training begin with."""

import json
import os
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "backbones"))

from hub_server import TOKEN, run_hub, use_hub
from process_samples import COMMON
from training_kills import serving, train_by


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
def forks(served):
    """A process that has loaded torch, and does jobs in forks of itself."""
    with serving(environment={**os.environ, **served[2]}) as ask:
        yield ask


@pytest.fixture(scope="session")
def trainer(forks):
    """Trains or extracts in a process of its own, which may be killed."""
    return partial(train_by, forks)


@pytest.fixture(scope="session")
def launch(forks, tmp_path_factory):
    """Runs the command in two processes that share a model; gives both exit codes and what both said on stderr."""
    folder = tmp_path_factory.mktemp("said")

    def run(*words, environment, **job):
        job |= {"words": [str(word) for word in words], "folder": str(folder)}
        if environment is not None:
            job["environment"] = {**COMMON, **environment}
        told = forks(**job)
        if job.get("measure") and told["codes"] == [0, 0]:
            told["memory"] = [json.loads((folder / f"{rank}.memory").read_text()) for rank in (0, 1)]
        return SimpleNamespace(**told)

    return run
