"""How long a training stands still for a checkpoint: in the foreground, as the Trainer writes it, and in ours."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from measuring.surroundings import describe_machine, list_package_versions
from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.loading import build_model
from ser_store.common.display import format_bytes
from ser_store.common.provenance import describe_hardware
from ser_store.training.checkpointing.checkpoints import mark_whole
from ser_store.training.checkpointing.writer import CheckpointWriter
from ser_store_cli.output import print_table

PACKAGES = ("ser-store", "torch", "transformers", "safetensors")
_SMALL = {"trainer_state.json": b"{}"}
CLASSES = tuple("abcdefgh")


def compare_checkpoints(models: Sequence[str], times: int, *, seed: int, folder: Path | None) -> dict[str, Any]:
    """Seconds of each checkpoint, from random weights and moments of the full size.

    ``foreground`` is what the Trainer's own way takes, marked with checksums; ``stood_still`` what ours keeps the
    training from going on; ``written`` until ours is whole, with nothing computed meanwhile. The first of ours, which
    takes the memory for the copy, is ``first``.
    """
    rows = [_compare(model, times, seed=seed, folder=folder) for model in models]
    machine = {**describe_machine(), **describe_hardware(), "threads": torch.get_num_threads()}
    return {
        "seed": seed,
        "weights": "random",
        "machine": machine,
        "versions": list_package_versions(PACKAGES),
        "models": rows,
    }


def _compare(model: str, times: int, *, seed: int, folder: Path | None) -> dict[str, Any]:
    classifier = build_model(model, classes=CLASSES, pooling="mean", init="random", seed=seed).model
    classifier.to("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-6)
    for parameter in classifier.parameters():
        parameter.grad = torch.rand_like(parameter)
    optimizer.step()
    took: dict[str, list[float]] = {"foreground": [], "stood_still": [], "written": []}
    with TemporaryDirectory(dir=folder, prefix=".serstore-bench-") as scratch, quiet_transformers():
        plain, ours = Path(scratch, "plain"), Path(scratch, "ours")
        writer = CheckpointWriter(ours, training="bench", limit=2)
        for step in range(1, times + 2):
            place = plain / "checkpoint-1"
            took["foreground"].append(_time(lambda: _save_plainly(place, classifier, optimizer)))  # noqa: B023
            began = time.perf_counter()
            took["stood_still"].append(_time(lambda: writer.save(step, classifier, optimizer, _SMALL)))  # noqa: B023
            writer.wait()
            took["written"].append(time.perf_counter() - began)
        size = sum(path.stat().st_size for path in (ours / f"checkpoint-{times + 1}").iterdir())
    return {"model": model, "bytes": size, "first": took["stood_still"][0]} | {
        name: seconds[1:] for name, seconds in took.items()
    }


def _save_plainly(place: Path, model: Any, optimizer: Any) -> None:
    model.save_pretrained(place)
    torch.save(optimizer.state_dict(), place / "optimizer.pt")
    mark_whole(place, training="bench", checksums={})


def _time(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def print_checkpoints(written: dict[str, Any]) -> None:
    """A row for each model: the median of its turns but the first."""
    print_table(
        ["model", "size", "foreground", "stands still", "first", "until whole", "ratio"],
        [
            [
                one["model"],
                format_bytes(one["bytes"]),
                *(f"{median(one[name]):.3g} s" for name in ("foreground", "stood_still")),
                f"{one['first']:.3g} s",
                f"{median(one['written']):.3g} s",
                f"× {median(one['foreground']) / median(one['stood_still']):.1f}",
            ]
            for one in written["models"]
        ],
    )
