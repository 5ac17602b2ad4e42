"""Trainings that are killed and resumed, and what they are held against: one that goes through.

Tests of training and ``benchmarks/soak_finetune.py`` use it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from ser_store.training.checkpointing.checkpoints import find_folders, is_whole
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

RUN = "r"
# Everything random that a backbone has: dropout, layer drop, and masks over time and features.
BACKBONE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "feat_extract_norm": "layer",
    "conv_dim": (16, 16),
    "conv_kernel": (400, 2),
    "conv_stride": (160, 2),
    "conv_bias": True,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "mask_time_prob": 0.2,
    "mask_time_length": 2,
    "mask_feature_prob": 0.1,
    "mask_feature_length": 2,
    "layerdrop": 0.3,
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.1,
    "final_dropout": 0.1,
}
WHISPER = {
    "d_model": 32,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "apply_spec_augment": True,
    "mask_time_prob": 0.2,
    "mask_time_length": 4,
    "mask_feature_prob": 0.1,
    "mask_feature_length": 4,
    "encoder_layerdrop": 0.3,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.1,
    "final_dropout": 0.1,
}
Ask = Train = Callable[..., dict[str, Any]]


def save_backbone(folder: Path) -> Path:
    """A small backbone with random weights."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    from ser_store.backbones.checkpoint import quiet_transformers

    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(1)
        Wav2Vec2Model(Wav2Vec2Config(**BACKBONE)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


def save_whisper(folder: Path) -> Path:
    """A small Whisper's encoder with random weights, as half a checkpoint of the hub has it."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    from ser_store.backbones.checkpoint import quiet_transformers

    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(1)
        WhisperEncoder(WhisperConfig(**WHISPER)).half().save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


@contextmanager
def serving(program: str = "forking.py", environment: Mapping[str, str] = os.environ) -> Iterator[Ask]:
    """A program of this folder that answers each line with one, both JSON."""
    command = [sys.executable, Path(__file__).with_name(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as server:
        jobs, outcomes = server.stdin, server.stdout
        assert jobs is not None
        assert outcomes is not None

        def ask(**job: Any) -> dict[str, Any]:
            jobs.write(json.dumps(job) + "\n")
            jobs.flush()
            outcome: dict[str, Any] = json.loads(outcomes.readline())
            return outcome

        yield ask
        jobs.close()


def train_by(ask: Ask, store: Path, recipe: dict[str, Any] | None, *, model: Path, **job: Any) -> dict[str, Any]:
    """Train, or extract where there is no recipe, in a process of its own; says how that ended, and how often it had
    written by then."""
    outcome = ask(store=str(store), model=str(model), recipe=recipe, **job)
    # A member that comes out otherwise when it is trained again is reported.
    assert not any("differ" in line for line in outcome.get("said", [])), outcome
    return outcome


def read_members(path: Path) -> dict[int, Any]:
    """Every array of every member, as bytes, and where it came from."""
    store = Store(path)
    members = [store.read_member(name) for name in store.member_names(RUN)]
    return {one.step: (*(a.tobytes() for a in (one.rows, one.logits, one.pooled)), one.provenance) for one in members}


def read_points(path: Path) -> list[dict[str, Any]]:
    """The curves, but for the seconds."""
    return [{name: value for name, value in point.items() if name != "seconds"} for point in Store(path).curves(RUN)]


def name_checkpoints(path: Path) -> list[str]:
    return [folder.name for folder in find_folders(path / "runs" / RUN / "checkpoints")]


def read_checkpoints(path: Path) -> dict[str, Any]:
    """What training goes on from, as bytes, and the state of all that takes part in it, but for the Trainer's log."""
    found: dict[str, Any] = {}
    for folder in find_folders(path / "runs" / RUN / "checkpoints"):
        state = json.loads((folder / "trainer_state.json").read_text())
        found[folder.name] = {name: state[name] for name in ("global_step", "epoch", "max_steps")}
        found[folder.name] |= state["stateful_callbacks"]
        for name in ("model.safetensors", "optimizer.safetensors", "scheduler.pt", "rng_state.pth"):
            found[folder.name][name] = (folder / name).read_bytes()
    return found


def assert_same_run(path: Path, through: Path) -> None:
    """A run that was resumed has the members, curves and checkpoints of the one that went through."""
    assert read_members(path) == read_members(through)
    assert read_points(path) == read_points(through)
    record, expected = Store(path).run(RUN), Store(through).run(RUN)
    assert record.state == expected.state == "finished"
    for name in ("steps_done", "evaluations"):
        assert record.details[name] == expected.details[name]
    seconds = [point["seconds"] for point in Store(path).curves(RUN)]
    assert seconds == sorted(seconds)
    assert record.details["seconds"] >= seconds[-1]
    checkpoints, expected_checkpoints = read_checkpoints(path), read_checkpoints(through)
    assert checkpoints.keys() == expected_checkpoints.keys()
    for name, checkpoint in checkpoints.items():
        differing = [part for part, value in expected_checkpoints[name].items() if checkpoint[part] != value]
        assert not differing, (name, differing)
    assert verify_store(path).ok


@dataclass
class Tally:
    """What befell the runs of a soak.

    Attributes:
        runs: that were trained to their end; each was the one that went through.
        begun: times that one of them was begun or resumed, and was to be stopped.
        stopped: of these, those that were, before they had come to their end.
        midway: of these, those that left a checkpoint half written.
        steps: optimizer steps that the runs had in all.
        most: checkpoints that any of them had on the disk when it was stopped, half written ones included.
    """

    runs: int = 0
    begun: int = 0
    stopped: int = 0
    midway: int = 0
    steps: int = 0
    most: int = 0


def stop_trainings(
    folder: Path, empty: Path, train: Train, *, times: int, seed: int, by: signal.Signals = signal.SIGKILL
) -> Iterator[Tally]:
    """Train runs with options drawn at random, stop each up to three times at random writes, and compare; yields each.

    Args:
        folder: where stores are made.
        empty: a store without runs.
        times: runs.
        by: SIGKILL to the process that trains, or another signal to all of its group.
    """
    draw, tally = Random(seed), Tally()
    for place in range(times):
        recipe = draw_recipe(draw)
        through = Path(shutil.copytree(empty, folder / f"{place}.through.store"))
        outcome = train(through, recipe)
        assert outcome.get("state") == "finished", (recipe, outcome)
        path = Path(shutil.copytree(empty, folder / f"{place}.stopped.store"))
        resume = False
        for _ in range(draw.randint(1, 3)):
            moment = draw.randrange(1, outcome["writes"])
            how = {"kill_at_write": moment} if by is signal.SIGKILL else {"end_at_write": moment, "signal": int(by)}
            stopped = train(path, recipe, resume=resume, **how)
            resume, tally.begun = True, tally.begun + 1
            _count_stop(tally, path, stopped, limit=recipe["save_total_limit"])
        ended = train(path, recipe, resume=True)
        assert ended.get("state") == "finished", (recipe, ended)
        assert_same_run(path, through)
        tally.runs += 1
        tally.steps += Store(path).run(RUN).details["steps_done"]
        shutil.rmtree(through)
        shutil.rmtree(path)
        yield tally


def _count_stop(tally: Tally, path: Path, outcome: dict[str, Any], *, limit: int) -> None:
    if outcome.get("state") == "finished":
        return
    assert outcome["killed"] or outcome["problem"] == "KeyboardInterrupt", outcome
    folders = find_folders(path / "runs" / RUN / "checkpoints")
    whole = list(filter(is_whole, folders))
    assert len(folders) <= max(limit, 2)
    assert whole or len(folders) <= 1
    tally.stopped += 1
    tally.midway += len(whole) < len(folders)
    tally.most = max(tally.most, len(folders))


def draw_recipe(draw: Random) -> dict[str, Any]:
    """Options with a state that a checkpoint has to keep, each of them now and then; all are of a few steps."""
    steps = draw.randint(6, 16)
    recipe: dict[str, Any] = {
        "max_steps": steps,
        "learning_rate": 1e-3,
        "per_device_train_batch_size": draw.randint(1, 3),
        "per_device_eval_batch_size": draw.randint(1, 8),
        "gradient_accumulation_steps": draw.randint(1, 3),
        "save_total_limit": draw.randint(1, 3),
        "lr_scheduler_type": draw.choice(("linear", "cosine", "constant", "constant_with_warmup")),
        "seed": draw.randrange(1000),
    }
    recipe |= {name: draw.randint(1, 6) for name in ("eval_steps", "save_steps", "logging_steps")}
    if recipe["lr_scheduler_type"] != "constant":
        recipe["warmup_steps"] = draw.randrange(steps)
    further: dict[str, Any] = {
        "weight_decay": 0.01,
        "layer_decay": 0.9,
        "class_weights": "balanced",
        "label_smoothing_factor": 0.1,
        "max_seconds": 0.8,
        "group_by_length": True,
        "early_stopping_patience": 2,
        "frozen_layers": 1,
        "gradient_checkpointing": True,
        "dataloader_num_workers": 2,
        "augmentation": {"gain_prob": 0.5, "noise_prob": 0.5, "speed_prob": 0.5},
        "masking": {"mask_time_prob": 0.5, "layerdrop": 0.5},
        "precision": "bf16",
    }
    return recipe | {name: value for name, value in further.items() if draw.random() < 0.35}
