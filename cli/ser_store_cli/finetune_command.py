"""finetune."""

from pathlib import Path
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
    SplitOption,
    StoreOption,
    show_reports,
    stated,
)
from ser_store_cli.output import print_json


def register(app: typer.Typer) -> None:
    app.command()(finetune)


@stated
def finetune(
    model: Annotated[str, typer.Option("--model", help="A key of `serstore models`, a hub id, or a local folder.")],
    run: RunOption = None,
    split: SplitOption = None,
    fold: Annotated[int | None, typer.Option("--fold", help="The fold to evaluate, for splits into folds.")] = None,
    init: InitOption = "pretrained",
    checkpoint: CheckpointOption = None,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="Where checkpoints go. [default: in the run's folder]")
    ] = None,
    audio: AudioOption = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training part. [default: 10]")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of epochs.")] = None,
    train_batch_size: Annotated[int | None, typer.Option("--train-batch-size", help="[default: 4]")] = None,
    eval_batch_size: Annotated[int | None, typer.Option("--eval-batch-size", help="[default: 4]")] = None,
    accumulation: Annotated[int | None, typer.Option(help="Batches for each optimizer step. [default: 2]")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", "--lr", help="[default: 1e-4]")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="linear, cosine, constant or constant_with_warmup. [default: linear]")
    ] = None,
    warmup_steps: Annotated[int | None, typer.Option(help="[default: 0]")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="[default: 0]")] = None,
    max_grad_norm: Annotated[float | None, typer.Option(help="[default: 1]")] = None,
    eval_steps: Annotated[
        int | None, typer.Option(help="Steps between evaluations, each of which caches a member. [default: 100]")
    ] = None,
    logging_steps: Annotated[int | None, typer.Option(help="[default: 100]")] = None,
    save_steps: Annotated[int | None, typer.Option(help="Steps between checkpoints. [default: 100]")] = None,
    save_total_limit: Annotated[int | None, typer.Option(help="Checkpoints kept. [default: 2]")] = None,
    pooling: Annotated[str | None, typer.Option(help="mean, sum or max. [default: mean]")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, tf32, fp16 or bf16. [default: fp32]")] = None,
    gradient_checkpointing: Annotated[bool, typer.Option("--gradient-checkpointing", help="Time for memory.")] = False,
    seed: Annotated[int | None, typer.Option(help="[default: 42]")] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Train all parameters of a backbone, and cache a member at every evaluation. Defaults: the published recipe."""
    from ser_store.errors import require
    from ser_store.training.recipe import Recipe
    from ser_store_h5.store import Store

    recipe = Recipe().changed(
        epochs=epochs,
        max_steps=max_steps,
        train_batch_size=train_batch_size,
        eval_batch_size=eval_batch_size,
        accumulation=accumulation,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        eval_steps=eval_steps,
        logging_steps=logging_steps,
        save_steps=save_steps,
        save_total_limit=save_total_limit,
        pooling=pooling,
        precision=precision,
        gradient_checkpointing=gradient_checkpointing or None,
        seed=seed,
    )
    opened = Store(store)
    require("torch")
    require("transformers")
    from ser_store.training.finetuning import finetune as train

    show_reports()

    record = train(
        opened,
        model,
        run=run,
        split=split,
        fold=fold,
        recipe=recipe,
        init=init,
        checkpoint=checkpoint,
        checkpoints=checkpoints,
        audio=audio,
        show_progress=True,
    )
    if json:
        print_json({**record.to_json(), "members": opened.member_names(record.run)})
        return
    from ser_store.step_comparison import steps as compare
    from ser_store_cli.steps_command import print_steps

    typer.echo(f"{record.run}: {record.details['steps_done']} steps in {record.details['seconds']:.0f} s")
    print_steps(compare(opened, [record.run], on=record.details["on"], split=split))
