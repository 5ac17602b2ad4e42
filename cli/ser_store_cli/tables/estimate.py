"""What a fine-tuning will take, for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from ser_store.common.display import format_bytes
from ser_store_cli.output import print_table

if TYPE_CHECKING:
    from ser_store.training.estimate import Estimate

_HEADER = ("model", "parameters", "trained", "steps", "members", "memory", "disk", "step", "time")


def print_estimates(estimates: Sequence["Estimate"]) -> None:
    """Print one row for each model, what was measured of it, and what of it this machine has no room for."""
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
                f"{one.time.seconds_per_step:.2f} s",
                format_seconds(one.time.seconds),
            ]
            for one in estimates
        ],
    )
    typer.echo()
    for one in estimates:
        _print_parts(one)


def _print_parts(one: "Estimate") -> None:
    memory, disk, time = one.memory, one.disk, one.time
    processes = f" in each of {one.processes} processes" if one.processes > 1 else ""
    typer.echo(
        f"{one.model}: measured on {time.device}{processes}, {one.init} weights, utterances of up to "
        f"{memory.longest_seconds:.1f} s, {one.train_batch_size} at a time ({one.eval_batch_size} in evaluation): "
        f"{format_bytes(memory.total)} memory, {time.seconds_per_step:.2f} s a step"
    )
    saving = "" if time.seconds_per_checkpoint is None else f", {time.seconds_per_checkpoint:.1f} s a checkpoint"
    typer.echo(
        f"  extrapolated: {one.steps} steps ({one.steps_per_epoch} to an epoch of {one.n_train} utterances), "
        f"{one.members} evaluations of {one.n_evaluated} utterances, {time.seconds_per_evaluation:.1f} s each{saving}"
    )
    typer.echo(f"  disk: {format_bytes(disk.checkpoints)} checkpoints, {format_bytes(disk.members)} members")
    if disk.total > disk.free:
        typer.echo(
            f"  {format_bytes(disk.total)} are more than the {format_bytes(disk.free)} free; name a larger disk with "
            "--checkpoints, or keep fewer with --save-total-limit"
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
