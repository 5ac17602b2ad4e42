"""Training that is interrupted leaves a store that reads and verifies, with all members cached until then."""

import shutil
import signal
import sys

import pytest

from ser_store.training.trainer import MemberTrainer
from ser_store_cli.app import main
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

RECIPE = ("--max-steps", 50, "--eval-steps", 2, "--save-steps", 2, "--logging-steps", 1, "--accumulation", 1)


@pytest.fixture
def store(empty, tmp_path):
    return shutil.copytree(empty, tmp_path / "speech.store")


def test_ctrl_c_ends_with_130_and_a_run_marked_interrupted(store, serstore, monkeypatch, capsys):
    def train_until(self, *arguments, train=MemberTrainer.training_step, **named):
        if self.state.global_step == 4:
            signal.raise_signal(signal.SIGINT)
        return train(self, *arguments, **named)

    words = ("finetune", "--model", "tiny-hubert", *RECIPE, "--store", store)
    monkeypatch.setattr(MemberTrainer, "training_step", train_until)
    monkeypatch.setattr(sys, "argv", ["serstore", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1].endswith("interrupted; what was written is complete")
    assert Store(store).run("tiny-hubert").state == "interrupted"
    assert Store(store).steps("tiny-hubert") == [2, 4]
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
