"""What a fine-tuning will take, for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from ser_store.common.display import format_bytes
from ser_store_cli.output import print_table

if TYPE_CHECKING:
    from ser_store.training.estimate.estimates import Estimate

_HEADER = ("model", "parameters", "trained", "steps", "members", "memory", "disk", "time at least")


def print_estimates(estimates: Sequence["Estimate"]) -> None:
    """One row for each model; what one consists of where there is only one; and what the figures rest on."""
    print_table(
        _HEADER,
        [
            [
                one.model,
                f"{one.parameters / 1e6:.1f} M",
                f"{one.trained / 1e6:.1f} M",
                one.steps,
                one.members,
                format_bytes(one.memory.total),
                format_bytes(one.disk.total),
                format_seconds(one.time.seconds),
            ]
            for one in estimates
        ],
    )
    typer.echo()
    if len(estimates) == 1:
        _print_parts(estimates[0])
    _print_basis(estimates[0])
    for one in estimates:
        _print_doubts(one)


def _print_parts(one: "Estimate") -> None:
    memory, disk = one.memory, one.disk
    gathered = f", {format_bytes(memory.gathered)} gathered" if memory.gathered else ""
    typer.echo(
        f"memory  {format_bytes(memory.weights)} weights, {format_bytes(memory.gradients)} gradients, "
        f"{format_bytes(memory.optimizer)} AdamW, {format_bytes(memory.activations)} for a batch of the longest "
        f"utterances ({memory.longest_seconds:.1f} s){gathered}"
    )
    typer.echo(
        f"disk    {format_bytes(disk.checkpoints)} checkpoints, {format_bytes(disk.members)} members "
        f"({one.members} of {one.n_evaluated} utterances)"
    )
    typer.echo(
        f"time    {one.steps} steps of {one.time.flops_per_step / 1e12:.3g} TFLOP, {one.steps_per_epoch} to an epoch "
        f"of {one.n_train} utterances"
    )


def _print_basis(one: "Estimate") -> None:
    devices = f", for each of {one.processes} processes {one.layout.value}" if one.processes > 1 else ""
    typer.echo(
        "An estimate. Memory: counted tensor by tensor, without what kernels take for themselves while they run"
        f"{devices}. Disk: the most that there is at once. Time: all multiplications and additions at "
        f"{one.time.flops_per_second / 1e12:.3g} TFLOP/s, measured just now by multiplying matrices on "
        f"{one.time.device}; a real training takes longer."
    )


def _print_doubts(one: "Estimate") -> None:
    if one.memory.available is not None and one.memory.total > one.memory.available:
        typer.echo(
            f"{one.model}: {format_bytes(one.memory.total)} are more than {format_bytes(one.memory.available)} here; "
            "try --gradient-checkpointing, --train-batch-size with --accumulation, or --max-seconds"
        )
    if one.memory.gathered and one.time.device.startswith("CPU"):
        typer.echo(
            f"{one.model}: accelerate shards on accelerators alone; without one, as here, each process has it whole"
        )
    if one.disk.total > one.disk.free:
        typer.echo(
            f"{one.model}: {format_bytes(one.disk.total)} are more than the {format_bytes(one.disk.free)} free; name a "
            "larger disk with --checkpoints, or keep fewer with --save-total-limit"
        )


def format_seconds(seconds: float) -> str:
    """Hours and minutes, or minutes and seconds.

    >>> format_seconds(14369.5), format_seconds(75.2), format_seconds(0.3)
    ('3 h 59 min', '1 min 15 s', '0 s')
    """
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
