"""extract and models."""

from typing import Annotated

import typer

from ser_store_cli.options import (
    DEFAULT_STORE,
    AudioOption,
    CheckpointOption,
    DebugOption,
    InitOption,
    JsonOption,
    RunOption,
    StoreOption,
    show_reports,
    stated,
)
from ser_store_cli.output import format_bytes, print_json, print_table


def register(app: typer.Typer) -> None:
    app.command()(extract)
    app.command()(models)


ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A key of `serstore models`, a hub id, or a local folder."),
]


@stated
def extract(
    model: ModelOption = None,
    run: RunOption = None,
    step: Annotated[int | None, typer.Option("--step", help="A step of the run that has a checkpoint.")] = None,
    audio: AudioOption = None,
    checkpoint: CheckpointOption = None,
    init: InitOption = "pretrained",
    pooling: Annotated[str, typer.Option(help="mean, sum or max; of a frozen backbone.")] = "mean",
    seed: Annotated[int, typer.Option(help="Of a random initialisation.")] = 42,
    whisper_context: Annotated[
        str,
        typer.Option(
            help="utterance, or full: the thirty seconds that Whisper was trained on. Of a frozen Whisper.",
        ),
    ] = "utterance",
    batch_size: Annotated[int, typer.Option(min=1, help="Utterances for each forward pass.")] = 8,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Cache the whole corpus: from a run's checkpoint, a frozen backbone, or every run that has a checkpoint."""
    from ser_store.common.progress import bar
    from ser_store.extraction.extract import extract as compute
    from ser_store_h5.store import Store

    show_reports()
    done = compute(
        Store(store),
        model=model,
        run=run,
        step=step,
        audio=audio,
        checkpoint=checkpoint,
        init=init,
        pooling=pooling,
        seed=seed,
        whisper_context=whisper_context,
        batch_size=batch_size,
        progress=bar,
    )
    if json:
        print_json({"members": [vars(one) for one in done]})
        return
    for one in done:
        kept = f", {one.kept} were there already" if one.kept else ""
        typer.echo(f"{one.member}: {one.computed} utterances computed{kept}")


@stated
def models(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """The catalogue of backbones; the same whatever the store."""
    from ser_store.backbones.catalogue import list_backbones

    backbones = list_backbones()
    if json:
        print_json({"models": [backbone.to_json() for backbone in backbones]})
        return
    print_table(
        ["key", "architecture", "parameters", "float32", "pretraining data", "hub id"],
        [
            [
                one.key,
                one.architecture,
                f"{one.parameters / 1e6:,.1f} M" if one.parameters else "–",
                format_bytes(one.bytes_fp32) if one.bytes_fp32 else "–",
                one.pretraining,
                one.hub_id or "–",
            ]
            for one in backbones
        ],
    )
    typer.echo("\nAny other hub id or local folder of these families works too: --model org/name or --model DIR.")
