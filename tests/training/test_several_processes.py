"""What several processes are told beforehand: what they will take, and what is wrong, once for all."""

import re
import shutil

import pytest
from process_samples import COMMON, FULL, SHARDS
from transformers import Wav2Vec2Config, Wav2Vec2Model

from ser_store.recipes.recipe import Recipe
from ser_store.training.checkpointing.checkpoints import find_last
from ser_store.training.estimate.estimate import estimate
from ser_store_h5.store import Store

MODEL = "tiny-unispeech"


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A backbone of 7 million weights, most of them in its layers, which is normalised before each of them."""
    sizes = {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 3, "num_attention_heads": 6}
    config = Wav2Vec2Config(**sizes, conv_dim=[96] * 7, do_stable_layer_norm=True, feat_extract_norm="layer")
    path = tmp_path_factory.mktemp("backbone") / "wide"
    Wav2Vec2Model(config).save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("asked", "wrapped"), [(FULL, "TRANSFORMER_BASED_WRAP"), (SHARDS, "NO_WRAP"), (None, None)], ids=str
)
def test_each_process_takes_the_memory_and_disk_that_were_estimated(
    asked, wrapped, wide, empty, launch, tmp_path, monkeypatch
):
    path, options = shutil.copytree(empty, tmp_path / "speech.store"), {"max_steps": 2, "save_total_limit": 1}
    options |= {"train_batch_size": 2, "accumulation": 2, "max_seconds": 0.4, "eval_steps": 2}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    environment = asked and {**asked, "FSDP_AUTO_WRAP_POLICY": wrapped}
    done = launch("finetune", "--model", wide, *words, "--store", path, environment=environment, measure=True)
    assert done.codes == [0, 0], done.said
    for name, value in {**COMMON, **(environment or {"ACCELERATE_USE_FSDP": "false"}), "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    found = estimate(Store(path), str(wide), recipe=Recipe(**options))
    for held in done.memory:
        assert found.memory.weights == pytest.approx(held["weights"], rel=0.02)
        assert found.memory.optimizer == pytest.approx(held["optimizer"], rel=0.02)
        # Where each process has all gradients, they are exchanged through a copy that is made before the first step.
        copy = 0 if asked else held["gradients"]
        assert found.memory.gradients == pytest.approx(held["gradients"] + copy, rel=0.02)
        total = held["weights"] + held["optimizer"] + held["step"] + copy
        assert 0.95 <= found.memory.total / total <= 1.15
    checkpoint = find_last(path / "runs/wide/checkpoints").folder
    written = sum(each.stat().st_size for each in checkpoint.rglob("*") if each.is_file())
    assert found.disk.checkpoints / 2 == pytest.approx(written, rel=0.03)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--model", "nonsense"), 1, "unknown backbone 'nonsense': expected one of"),
        (("--model", MODEL, "--recipe", "nowhere.toml"), 1, "unknown run 'nowhere.toml'|nowhere.toml"),
        (("--model", MODEL, "--split", "none"), 1, "unknown split 'none': expected one of speaker"),
        (("--model", MODEL, "--store", "no.store"), 1, "no store at .*no.store"),
        (("--model", MODEL, "--lr", "abc"), 2, "Invalid value for '--learning-rate' / '--lr': 'abc' is not a valid"),
        (("--model", MODEL, "--lrr", "1"), 2, "No such option: --lrr"),
        ((), 2, "expected --model MODEL, or --all for the paper's six"),
    ],
)
def test_what_every_process_is_asked_wrongly_one_says_and_all_end_alike(words, code, message, empty, launch):
    ended = launch("finetune", "--store", empty, *words, environment=FULL, alone=True)
    assert ended.codes == [code, code]
    (line,) = [line for said in ended.said for line in said.splitlines() if line]
    assert re.match(f"serstore: .*({message})", line)


def test_a_dry_run_of_several_processes_is_printed_once(wide, empty, launch):
    words = ("finetune", "--model", wide, "--max-steps", 3, "--store", empty, "--dry-run")
    done = launch(*words, environment=SHARDS)
    assert (done.codes, done.said, done.printed[1]) == ([0, 0], ["", ""], "")
    assert "13.7 MB weights, 13.7 MB gradients, 27.4 MB AdamW" in done.printed[0]
    assert " gathered\ndisk    164 MB checkpoints" in done.printed[0]
    assert "for each of 2 processes with FSDP and SHARDED_STATE_DICT" in done.printed[0]
    refused = launch(*words, environment={**SHARDS, "FSDP_VERSION": "1"})
    assert refused.codes in ([1, 0], [1, -15])  # the launcher ends the other where that is still at it
    assert refused.said[0].startswith(
        "serstore: accelerate's configuration has fsdp_version 1: expected fsdp_version: 2"
    )
