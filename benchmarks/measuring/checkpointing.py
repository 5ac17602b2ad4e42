"""How long a training stands still for a checkpoint, by the Trainer and by ours, of all weights and of adapters."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from measuring.step_clock import read_clock
from measuring.surroundings import describe_machine, list_package_versions
from ser_store.audio.decode import SAMPLE_RATE
from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.loading import build_model
from ser_store.common.display import Table, format_bytes
from ser_store.common.provenance import describe_hardware
from ser_store.recipes.recipe import Recipe
from ser_store.training.checkpointing.checkpoints import mark_whole
from ser_store.training.checkpointing.writer import CheckpointWriter
from ser_store.training.preparing import prepare

PACKAGES = ("ser-store", "torch", "transformers", "safetensors")
_SMALL = {"trainer_state.json": b"{}"}
CLASSES = tuple("abcdefgh")
_UTTERANCES, _SECONDS = 8, 3.7  # RAVDESS' mean


def compare_checkpoints(
    models: Sequence[str], times: int, *, lora: int | None, seed: int, folder: Path | None
) -> dict[str, Any]:
    """Seconds of each checkpoint, from random weights and moments of the full size; with ``lora`` of adapters too.

    ``foreground`` is what the Trainer's own way takes, marked with checksums; ``stood_still`` what ours keeps the
    training from going on; ``written`` until ours is whole, with nothing computed meanwhile. The first of ours, which
    takes the memory for the copy, is ``first``. ``step`` is what an optimizer step over random samples takes.
    """
    ranks = (None,) if lora is None else (None, lora)
    rows = [_compare(model, times, rank, seed=seed, folder=folder) for model in models for rank in ranks]
    machine = {**describe_machine(), **describe_hardware(), "threads": torch.get_num_threads()}
    return {
        "seed": seed,
        "weights": "random",
        "machine": machine,
        "versions": list_package_versions(PACKAGES),
        "models": rows,
    }


def _compare(model: str, times: int, rank: int | None, *, seed: int, folder: Path | None) -> dict[str, Any]:
    classifier = build_model(model, classes=CLASSES, pooling="mean", init="random", seed=seed).model
    prepare(classifier, Recipe(lora=rank, seed=seed))
    classifier.to("cuda" if torch.cuda.is_available() else "cpu").train()
    trained = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6)
    step = _make_step(classifier, optimizer)
    step()
    took: dict[str, list[float]] = {"foreground": [], "stood_still": [], "written": [], "step": []}
    with TemporaryDirectory(dir=folder, prefix=".serstore-bench-") as scratch, quiet_transformers():
        plain, ours = Path(scratch, "plain"), Path(scratch, "ours")
        writer = CheckpointWriter(ours, training="bench", limit=2)
        for number in range(1, times + 2):
            took["step"].append(_time(step))
            place = plain / "checkpoint-1"
            took["foreground"].append(_time(lambda: _save_plainly(place, classifier, optimizer)))  # noqa: B023
            began = time.perf_counter()
            took["stood_still"].append(_time(lambda: writer.save(number, classifier, optimizer, _SMALL)))  # noqa: B023
            writer.wait()
            took["written"].append(time.perf_counter() - began)
        size = sum(path.stat().st_size for path in (ours / f"checkpoint-{times + 1}").iterdir())
    described = {"model": model, "lora": rank, "trained": sum(one.numel() for one in trained), "bytes": size}
    return {**described, "first": took["stood_still"][0]} | {name: seconds[1:] for name, seconds in took.items()}


def _make_step(classifier: Any, optimizer: Any) -> Callable[[], None]:
    """An optimizer step over some utterances of random samples."""
    device = next(classifier.parameters()).device
    if classifier.config.backbone_config.model_type == "whisper":
        values = torch.rand(_UTTERANCES, round(_SECONDS * 100), classifier.config.backbone_config.num_mel_bins)
    else:
        values = torch.rand(_UTTERANCES, round(_SECONDS * SAMPLE_RATE))
    labels = torch.arange(_UTTERANCES) % len(CLASSES)
    values, labels = values.to(device), labels.to(device)

    def step() -> None:
        classifier(values, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _save_plainly(place: Path, model: Any, optimizer: Any) -> None:
    model.save_pretrained(place)
    torch.save(optimizer.state_dict(), place / "optimizer.pt")
    mark_whole(place, training="bench", checksums={})


def _time(call: Callable[[], object]) -> float:
    began = read_clock()
    call()
    return read_clock() - began


def print_checkpoints(written: dict[str, Any]) -> None:
    """A row for each model: the median of its turns but the first."""
    print(
        Table(
            ["model", "trained", "size", "foreground", "stands still", "first", "until whole", "ratio", "step"],
            [
                [
                    one["model"] + (f", LoRA {one['lora']}" if one["lora"] else ""),
                    f"{one['trained'] / 1e6:.2f} M",
                    format_bytes(one["bytes"]),
                    *(f"{median(one[name]):.3g} s" for name in ("foreground", "stood_still")),
                    f"{one['first']:.3g} s",
                    f"{median(one['written']):.3g} s",
                    f"× {median(one['foreground']) / median(one['stood_still']):.1f}",
                    f"{median(one['step']):.3g} s",
                ]
                for one in written["models"]
            ],
        )
    )
