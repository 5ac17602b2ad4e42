"""Training that is interrupted leaves a store that reads and verifies, with all members cached until then."""

import shutil
import signal
import subprocess
import sys
import time

import pytest

from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

RECIPE = (
    "--max-steps",
    "5000",
    "--eval-steps",
    "2",
    "--save-steps",
    "2",
    "--logging-steps",
    "1",
    "--accumulation",
    "1",
)
PATIENCE_SECONDS = 600


@pytest.fixture
def store(empty, tmp_path):
    return shutil.copytree(empty, tmp_path / "speech.store")


def test_ctrl_c_ends_with_130_and_a_run_marked_interrupted(store, serstore):
    words = ("finetune", "--model", "tiny-hubert", *RECIPE, "--store", str(store))
    command = [sys.executable, "-c", "from ser_store_cli.app import main; main()", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(list(store.glob("runs/tiny-hubert/step-*.h5"))) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1].endswith("interrupted; what was written is complete")
    assert Store(store).run("tiny-hubert").state == "interrupted"
    assert verify_store(store).ok
    assert serstore("steps", "--run", "tiny-hubert", "--store", store).code == 0


def test_a_run_that_ended_before_it_left_anything_can_be_begun_again(store, serstore, tmp_path):
    words = ("finetune", "--model", "tiny-hubert", "--max-steps", 1, "--store", store)
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    assert serstore(*words, "--audio", empty).code == 1
    assert Store(store).runs() == []
    assert serstore(*words).code == 0
    assert Store(store).steps("tiny-hubert") == [1]
