"""predict."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.completion import complete_members
from ser_store_cli.output import find_screen, print_blocks, print_json, show_reports, warn

_STANDARD_INPUT = "-"


@command()
def predict(
    model: Annotated[
        str,
        typer.Argument(
            help="What answers: a fine-tuned run or run@step, a head that was fitted with --keep, several as a+b+c, a "
            "saved ensemble; or a folder or hub id of a published model, which needs no store.",
            autocompletion=complete_members,
        ),
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="Recordings, and folders of them; - reads names from standard input, one a line.",
            show_default="of a folder or hub id, the store's recordings",
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option("--window", help="Answer for each window of so many seconds.", show_default="whole recordings"),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option("--hop", help="Seconds from one window's beginning to the next one's.", show_default="the window"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write all rows to this .csv, .json or .parquet file instead."),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            help="How a+b+c votes: hard (majority), soft (mean probability), soft-log; or pool or greedy-pool, with "
            "weights that are fitted on the store's test part, else on all.",
            show_default="hard",
        ),
    ] = None,
    tie: Annotated[
        str | None,
        typer.Option(
            "--tie",
            help="How hard votes break ties: lowest (the first class), confidence, best (the member that is most "
            "accurate on the store's test part) or abstain.",
            show_default="lowest",
        ),
    ] = None,
    audio: option.Audio = None,
    checkpoint: option.Checkpoint = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu or cuda.", show_default="the GPU where there is one")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Recordings or windows in one forward pass.")
    ] = 8,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="Number format of the forward passes: fp32, tf32, fp16 or bf16.",
            show_default="what the member was computed in",
        ),
    ] = None,
    on_bad: option.OnBad = "fail",
    store: option.Store = option.HERE,
    json: bool = False,
) -> None:
    """Say which class any recordings are of, by a member or an ensemble of the store, or by a published model."""
    from ser_store.prediction.predict import predict as compute
    from ser_store.prediction.predictions import check_output

    show_reports()
    if output is not None:
        check_output(output)
    options: dict[str, Any] = {"rule": rule, "tie": tie, "device": device, "precision": precision, "on_bad": on_bad}
    options |= {"window": window, "hop": hop, "audio": audio, "checkpoint": checkpoint, "batch_size": batch_size}
    said = compute(model, _read_names(files or []), store=store, progress=True, **options)
    for note in said.notes:
        warn(note)
    written = None if output is None else said.save(output)
    if json:
        print_json(said.to_json())
    elif written is not None:
        typer.echo(written)
    else:
        print_blocks([said.tabulate(find_screen().width)])


def _read_names(files: list[str]) -> list[str]:
    """The files that are named; in place of a - those named on standard input."""
    named: list[str] = []
    for one in files:
        named += [line.strip() for line in sys.stdin if line.strip()] if one == _STANDARD_INPUT else [one]
    return named
