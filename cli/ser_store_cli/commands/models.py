"""extract, export-onnx and models."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ser_store_cli.completion import complete_members
from ser_store_cli.options import (
    DEFAULT_STORE,
    AudioOption,
    CheckpointOption,
    DebugOption,
    InitOption,
    JsonOption,
    LabelsOption,
    RunOption,
    StoreOption,
    show_reports,
    stated,
)
from ser_store_cli.output import print_blocks, print_json


def register(app: typer.Typer) -> None:
    app.command()(extract)
    app.command("export-onnx")(export_onnx)
    app.command()(models)


ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A name that `serstore models` lists, a Hugging Face id, or a local folder."),
]


@stated
def extract(
    model: ModelOption = None,
    run: RunOption = None,
    step: Annotated[
        int | None,
        typer.Option("--step", help="The step whose checkpoint is used.", show_default="every checkpoint of the run"),
    ] = None,
    audio: AudioOption = None,
    checkpoint: CheckpointOption = None,
    labels: LabelsOption = None,
    init: InitOption = "pretrained",
    pooling: Annotated[
        str, typer.Option("--pooling", help="How frames become one vector: mean, sum or max. For --model only.")
    ] = "mean",
    layers: Annotated[
        str,
        typer.Option(
            "--layers",
            help="The hidden states that are pooled in one pass: all, last, or numbers such as 3,4,5. 0 is what enters "
            "the first transformer layer; the last is the top, behind the final layer norm where the family has one.",
        ),
    ] = "last",
    statistics: Annotated[
        str | None,
        typer.Option(
            "--statistics",
            help="Of the frames of each layer: mean, std, or mean,std, one after the other.",
            show_default="what --pooling says",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of --init random.")] = 42,
    whisper_context: Annotated[
        str,
        typer.Option(
            "--whisper-context",
            help="What a frozen Whisper looks at: the utterance, or full, the thirty seconds it was trained on.",
        ),
    ] = "utterance",
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            help="Utterances in one forward pass.",
            show_default="8, or no limit with --batch-seconds",
        ),
    ] = None,
    batch_seconds: Annotated[
        float | None,
        typer.Option("--batch-seconds", help="Seconds of sound in one forward pass, padding counted."),
    ] = None,
    window_seconds: Annotated[
        float | None,
        typer.Option(
            "--window-seconds",
            help="Cut longer recordings into windows of at most this length, whose frames are pooled together.",
            show_default="never",
        ),
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            "--speed",
            help="Play the recordings so many times as fast, under a --run of its own: versions for `head --augment`.",
        ),
    ] = 1.0,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="Number format of the forward passes: fp32, tf32, fp16 or bf16.",
            show_default="fp32, or what the run was trained in",
        ),
    ] = None,
    on_bad: Annotated[
        str,
        typer.Option("--on-bad", help="What recordings do that cannot be used: fail, or skip, which leaves them out."),
    ] = "fail",
    classifier: Annotated[
        bool,
        typer.Option(
            "--classifier",
            help="Keep the logits of the classifier that --model was saved with, also of one of transformers' own.",
        ),
    ] = False,
    trained_on: Annotated[
        str | None,
        typer.Option(
            "--trained-on",
            help="What that classifier was trained on: a part of the split, others (folds but its own), or nothing.",
            show_default="unknown",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Cache representations of all recordings: by a frozen backbone or features (--model), or by fine-tuned runs."""
    from ser_store.extraction.extract import extract as compute
    from ser_store.training.distributed.processes import is_main
    from ser_store_h5.store import Store

    show_reports()
    options: dict[str, Any] = {"init": init, "pooling": pooling, "whisper_context": whisper_context, "seed": seed}
    options |= {"precision": precision, "on_bad": on_bad, "window_seconds": window_seconds, "speed": speed}
    options |= {"classifier": classifier, "trained_on": trained_on}
    done = compute(
        Store(store),
        model=model,
        run=run,
        step=step,
        audio=audio,
        checkpoint=checkpoint,
        labels=labels,
        layers=layers,
        statistics=statistics,
        batch_size=batch_size,
        batch_seconds=batch_seconds,
        progress=True,
        **options,
    )
    if not is_main():
        return
    if json:
        print_json({"members": [vars(one) for one in done]})
        return
    for one in done:
        print_blocks(one.describe())


@stated
def export_onnx(
    model: Annotated[
        str,
        typer.Argument(
            help="A fine-tuned run, or run@step, whose checkpoint is kept; or a folder or hub id of a pushed model.",
            autocompletion=complete_members,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file, such as model.onnx.")],
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a fine-tuned model as one ONNX file, from waveforms to logits, for programs without torch."""
    from ser_store.errors import require

    require("transformers")
    from ser_store.hub.onnx_export import export_onnx as export

    written = export(model, output, store=store)
    if json:
        print_json(written.to_json())
    else:
        print_blocks(written.describe())


@stated
def models(store: StoreOption = DEFAULT_STORE, json: JsonOption = False, debug: DebugOption = False) -> None:
    """List the backbones that are known by name."""
    from ser_store.backbones.catalogue import models as list_models

    listed = list_models()
    if json:
        print_json(listed.to_json())
        return
    others = "\nAny other hub id or local folder of these families works too: --model org/name or --model DIR."
    print_blocks([*listed.describe(), others])
