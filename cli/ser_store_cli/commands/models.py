"""extract and models."""

from typing import Annotated, Any

import typer

from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.output import print_either, print_result, show_reports


@command()
def extract(
    model: option.Model = None,
    run: option.Run = None,
    step: Annotated[
        int | None,
        typer.Option("--step", help="The step whose checkpoint is used.", show_default="every checkpoint of the run"),
    ] = None,
    audio: option.Audio = None,
    checkpoint: option.Checkpoint = None,
    labels: option.Labels = None,
    init: option.Init = "pretrained",
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
    on_bad: option.OnBad = "fail",
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
    store: option.Store = option.HERE,
    json: bool = False,
) -> None:
    """Cache representations of all recordings: by a frozen backbone or features (--model), or by fine-tuned runs."""
    from ser_store.extraction.extract import extract as compute
    from ser_store.training.distributed.processes import is_main

    show_reports()
    options: dict[str, Any] = {"init": init, "pooling": pooling, "whisper_context": whisper_context, "seed": seed}
    options |= {"precision": precision, "on_bad": on_bad, "window_seconds": window_seconds, "speed": speed}
    options |= {"classifier": classifier, "trained_on": trained_on}
    done = compute(
        store,
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
    if is_main():
        blocks = (block for one in done for block in one.describe())
        print_either({"members": [vars(one) for one in done]}, blocks, json=json)


@command()
def models(store: option.Store = option.HERE, json: bool = False) -> None:
    """List the backbones that are known by name."""
    from ser_store.backbones.catalogue import models as list_models

    listed = list_models()
    others = "\nAny other hub id or local folder of these families works too: --model org/name or --model DIR."
    print_result(listed, json=json, blocks=[*listed.describe(), others])
