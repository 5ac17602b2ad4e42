"""Two processes train the run that one would: the same members, complete and in corpus order, written once."""

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest
from process_samples import list_lines
from torch.distributed import TCPStore

from ser_store.errors import SerstoreError
from ser_store.training.checkpointing.checkpoints import find_folders
from ser_store.training.distributed import processes as parallel
from ser_store.training.distributed.processes import claim_last_word, refuse_other_precision
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

# Thirty-two utterances are evaluated: in batches of three that leaves one process with a batch less and a last batch of
# two. An epoch has two steps, so that the fifth, from which one is resumed, lies within one.
WORDS = ("finetune", "--model", "tiny-wav2vec2", "--max-steps", "7", "--eval-steps", "3", "--save-steps", "5")
WORDS = (*WORDS, "--logging-steps", "1", "--eval-batch-size", "3", "--train-batch-size", "4")
RUN = "tiny-wav2vec2"


COMMAND = "from ser_store_cli.app import main; main()"


def launch_by_torchrun(*words):
    """Run the command in two processes under torchrun, on the CPU; `launch` does without it, much faster."""
    launcher = ("torch.distributed.run", "--nproc_per_node", 2, "--standalone", "--local_addr", "127.0.0.1")
    child = ("--no-python", sys.executable, "-c", COMMAND)
    command = [sys.executable, "-m", *launcher, *child, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def two(empty, tmp_path_factory):
    """A store that two processes trained a run in. Read only."""
    path = shutil.copytree(empty, tmp_path_factory.mktemp("two") / "speech.store")
    done = launch_by_torchrun(*WORDS, "--accumulation", 1, "--store", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def copy(two, tmp_path):
    return shutil.copytree(two, tmp_path / "speech.store")


def assert_same_run(path, expected, *, within):
    store, other = Store(path), Store(expected)
    assert store.member_names(RUN) == other.member_names(RUN) == [f"{RUN}@{step}" for step in (3, 6, 7)]
    for name in store.member_names(RUN):
        member, same = store.read_member(name), other.read_member(name)
        np.testing.assert_array_equal(member.rows, same.rows)
        np.testing.assert_allclose(member.logits, same.logits, atol=within)
    for point, same in zip(store.curves(RUN), other.curves(RUN), strict=True):
        assert point.keys() == same.keys()
        assert (point["step"], point.get("accuracy")) == (same["step"], same.get("accuracy"))
        for loss in {"train_loss", "eval_loss", "grad_norm"} & point.keys():
            assert point[loss] == pytest.approx(same[loss], rel=1e-4)


def test_two_processes_train_the_run_that_one_trains_with_twice_the_accumulation(two, empty, serstore, tmp_path):
    path = shutil.copytree(empty, tmp_path / "one.store")
    assert serstore(*WORDS, "--accumulation", 2, "--store", path).code == 0
    assert_same_run(two, path, within=1e-3)
    assert Store(path).run(RUN).details["resolved"]["processes"] == 1
    resolved = Store(two).run(RUN).details["resolved"]
    assert (resolved["processes"], resolved["effective_batch_size"]) == (2, 8)
    assert verify_store(two).ok


def test_members_hold_every_evaluated_utterance_once_in_corpus_order(two):
    store = Store(two)
    evaluated = np.flatnonzero(store.corpus.splits["speaker"] != "train")
    for name in store.member_names(RUN):
        np.testing.assert_array_equal(store.read_member(name).rows, evaluated)


def test_two_processes_resume_a_run_within_an_epoch(two, copy, launch):
    store = Store(copy)
    checkpoints = copy / "runs" / RUN / "checkpoints"
    shutil.rmtree(checkpoints / "checkpoint-7")
    for step in (6, 7):
        store.member_path(RUN, step).unlink()
    curves = copy / "runs" / RUN / "curves.jsonl"
    lines = curves.read_text().splitlines(keepends=True)
    curves.write_text("".join(line for line in lines if json.loads(line)["step"] <= 5))
    record = store.run(RUN)
    store.update_run(record.updated(state="running", checkpoints=str(checkpoints)))
    assert launch("finetune", "--resume", "--store", copy, environment=None).codes == [0, 0]
    assert [session["step"] for session in Store(copy).run(RUN).details["resumed"]] == [5]
    assert_same_run(copy, two, within=1e-6)
    assert [folder.name for folder in find_folders(checkpoints)] == ["checkpoint-5", "checkpoint-7"]


def test_a_problem_of_all_processes_is_stated_once(two, launch):
    ended = launch(*WORDS, "--accumulation", 1, "--store", two, environment=None, alone=True)
    assert ended.codes == [1, 1]
    assert "".join(ended.said).count(f"run {RUN} is in {two} already") == 1


def test_a_process_that_is_killed_ends_the_other_with_one_line_and_a_store_that_is_whole(empty, launch, tmp_path):
    path = shutil.copytree(empty, tmp_path / "speech.store")
    words = (*WORDS, "--accumulation", 1, "--store", path)
    ended = launch(*words, environment=None, kill={"rank": 1, "batch": 5})
    assert ended.codes == [1, -signal.SIGKILL]
    [line] = list_lines(ended.said[0])
    assert f"serstore: another of the 2 processes that train {RUN} has ended: expected all of them" in line
    assert "Traceback" not in ended.said[0].partition("serstore: ")[0]
    assert Store(path).steps(RUN) == [3]
    assert verify_store(path).ok


def test_the_precision_of_the_recipe_is_not_overruled_in_silence(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    refuse_other_precision("bf16")
    message = "accelerate's configuration has mixed_precision bf16, and `precision` is fp32: expected the same"
    with pytest.raises(SerstoreError, match=message):
        refuse_other_precision("fp32")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    refuse_other_precision("fp32")
    refuse_other_precision("fp16")


def test_the_first_of_several_processes_has_the_last_word(monkeypatch):
    assert claim_last_word()
    kept = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for name, value in {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": kept.port}.items():
        monkeypatch.setenv(name, str(value))
    assert [claim_last_word() for _ in range(3)] == [True, False, False]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert [claim_last_word() for _ in range(2)] == [True, False]
    del kept
    monkeypatch.setattr(parallel, "_STORE_PATIENCE", timedelta(milliseconds=50))
    assert claim_last_word()
