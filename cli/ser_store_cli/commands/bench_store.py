"""bench io and bench size."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ser_store_cli.options import DEFAULT_STORE, DebugOption, JsonOption, stated, warn
from ser_store_cli.output import format_bytes, print_json, print_table

if TYPE_CHECKING:
    from ser_store.measuring.sizes import SizeComparison
    from ser_store.measuring.storing import StorageComparison

BesideOption = Annotated[
    Path,
    typer.Option(
        "--store", envvar="SERSTORE", help="Measure on the disk of this store, beside it.", show_default="./ser.store"
    ),
]


def register(bench: typer.Typer) -> None:
    bench.command(name="io")(io)
    bench.command(name="size")(size)


@stated
def io(
    members: Annotated[int, typer.Option("--members", min=1, max=10_000)] = 12,
    utterances: Annotated[int, typer.Option("--utterances", min=2, max=1_000_000)] = 1440,
    hidden: Annotated[int, typer.Option("--hidden", min=1, max=65_536)] = 1024,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Readings; the median counts.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    store: BesideOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write and read beside h5py, numpy, pickle, lhotse, AnnData and zarr, where they are installed."""
    from ser_store.common.progress import bar
    from ser_store.measuring.storing import compare_storage
    from ser_store.measuring.workload import Workload

    compared = compare_storage(
        Workload(members=members, n=utterances, hidden=hidden, seed=seed),
        repeats=repeats,
        folder=store.resolve().parent,
        progress=bar,
    )
    for name, libraries in compared.missing.items():
        warn(f"{name} is left out: pip install {libraries} to measure it")
    if json:
        print_json(compared.to_json())
    else:
        print_storage(compared)


def print_storage(compared: "StorageComparison") -> None:
    """What serstore takes, and how many times as much the others do."""
    workload = compared.workload
    typer.echo(
        f"{workload.members} members × {workload.n} utterances × {workload.hidden} dimensions, pooled float16 and "
        f"logits float32: {format_bytes(workload.bytes)}"
    )
    header = ["", "write", "size", "open", "logits", "pooled", "utterance"]
    own, *others = compared.formats
    costs = own.costs
    seconds = [_format_seconds(value) for value in (costs.open, costs.logits, costs.pooled, costs.utterance)]
    rows = [[own.name, _format_seconds(costs.write), format_bytes(costs.bytes), *seconds]]
    for other in others:
        ratios = other.ratios
        marks = ("*" if other.members < workload.members else "") + ("†" if other.largest_error else "")
        values = (ratios.write, ratios.bytes, ratios.open, ratios.logits, ratios.pooled, ratios.utterance)
        rows.append([f"{other.name}{marks}", *(f"× {value:.3g}" for value in values)])
    print_table(header, rows)
    typer.echo(
        f"\nwrite: flushed to the disk. open: list all members. logits: of {len(workload.test)} utterances by all "
        "members. pooled: all of one member. utterance: one, by all members.\n× times as long, or as large, as "
        "serstore: below 1 the other is ahead.\nserstore compares what it reads with SHA-256 digests, single rows with "
        "Fletcher-32 checksums; numpy.savez with CRC-32, the others with nothing."
    )
    scaled = [other.members for other in others if other.members < workload.members]
    if scaled:
        typer.echo(f"* measured with {scaled[0]} members, and scaled.")
    if any(other.largest_error for other in others):
        typer.echo("† not what was written: lossy.")


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


@stated
def size(
    utterances: Annotated[int, typer.Option("--utterances", min=1, max=10_000_000)] = 1440,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Cached steps of each backbone.")] = 14,
    without_checkpoints: Annotated[
        bool, typer.Option("--without-checkpoints", help="Count their weights; else each is written once, 3.9 GB.")
    ] = False,
    store: BesideOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """The store beside the checkpoints it replaces, for the six published backbones."""
    from ser_store.measuring.sizes import compare_sizes

    compared = compare_sizes(
        n=utterances, steps=steps, folder=store.resolve().parent, with_checkpoints=not without_checkpoints
    )
    if json:
        print_json(compared.to_json())
    else:
        print_sizes(compared)


def print_sizes(compared: "SizeComparison") -> None:
    """A checkpoint of each backbone, what the paper says of it, and what is kept of it; and all steps of all."""
    rows = [
        [
            one.backbone,
            f"{one.parameters / 1e6:,.1f} M",
            format_bytes(one.weights_bytes),
            *([format_bytes(one.checkpoint_bytes)] if one.is_written else []),
            format_bytes(one.published_bytes),
            one.hidden_size,
            format_bytes(one.member_bytes),
            round(one.ratio),
        ]
        for one in compared.backbones
    ]
    is_written = all(one.is_written for one in compared.backbones)
    checkpoint = ["checkpoint"] if is_written else []
    print_table(["backbone", "parameters", "weights", *checkpoint, "Table 6", "hidden", "member file", "ratio"], rows)
    stated = "checkpoint: their file, written here once." if is_written else "No checkpoint was written."
    typer.echo(
        f"\n{compared.members} members ({compared.steps} steps each) on {compared.n:,} utterances: checkpoints "
        f"{format_bytes(compared.checkpoints_bytes)}, store {format_bytes(compared.store_bytes)}, ratio "
        f"{compared.ratio:,.0f}\nweights: parameters in float32 with a head for eight classes, by arithmetic. "
        f"{stated}\nmember file: pooled float16, logits float32. Table 6: Gavali & Verma, IJDMMM 17(2), 2025."
    )
