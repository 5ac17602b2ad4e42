"""finetune."""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ser_store.recipes.validation import OLD_NAMES
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
from ser_store_cli.origin_choice import Origin, find_like, read_begun, refuse_begun
from ser_store_cli.output import print_json
from ser_store_cli.recipe_choice import print_recipe_text, resolve_recipe
from ser_store_cli.tables.finetune import print_dry_run, print_run, push, train_all

if TYPE_CHECKING:
    from ser_store.training.request import Fold, Request
    from ser_store_h5.store import Store

Pair = tuple[float, float]

LENGTH = "Length and batches"
RATE = "Learning rate"
LOSS = "Loss and what is trained"
HEARD = "Augmentation"
INTERVALS = "Logging and checkpoints"
MACHINE = "Machine"


# Hugging Face's spellings, which the parameters bear, and the short ones. Together they would not fit into the help.
_SHORT = {new.replace("_", "-"): old.replace("_", "-") for old, new in OLD_NAMES.items()}


def register(app: typer.Typer) -> None:
    app.command(context_settings={"token_normalize_func": _shorten})(finetune)


def _shorten(name: str) -> str:
    """Return the short spelling of an option that is written without its dashes."""
    no, plain = ("no-", name[3:]) if name.startswith("no-") else ("", name)
    return no + _SHORT.get(plain, plain)


def _in(panel: str, text: str, *names: str, default: str | None = None) -> Any:
    """An option of the recipe in a panel of the help; None stands for what the recipe says, or else for ``default``."""
    for long, short in _SHORT.items():
        if names and names[0].partition("/")[0] == f"--{short}":
            text = f"{text} Also --{long}."
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=default or False)


@stated
def finetune(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option("--model", help="A name that `serstore models` lists, a Hugging Face id, or a local folder."),
    ] = None,
    all_models: Annotated[
        bool,
        typer.Option(
            "--all", help="Train the six models of the paper, one after the other; finished ones are skipped."
        ),
    ] = False,
    run: RunOption = None,
    split: SplitOption = None,
    fold: Annotated[
        str | None,
        typer.Option(
            "--fold",
            help="The fold to evaluate on, where the split consists of folds; all for each in turn, and then one run "
            "in which every utterance is answered by the model that has not met its fold.",
        ),
    ] = None,
    valid: Annotated[
        str | None,
        typer.Option(
            "--valid",
            help="next: the fold after it is a validation part, not trained on, by which --fold all selects steps.",
        ),
    ] = None,
    init: InitOption = "pretrained",
    checkpoint: CheckpointOption = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option("--checkpoints", help="The folder for checkpoints.", show_default="in the run's folder"),
    ] = None,
    audio: AudioOption = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue a run that was interrupted, with the settings it was started with."),
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="Take the settings from a TOML file, or from a run (weights and split too). Options override them.",
        ),
    ] = None,
    print_recipe: Annotated[bool, typer.Option("--print-recipe", help="Only print all settings as TOML.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only measure a few steps, and report the memory, disk and time that all take."),
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            "--push-to-hub", help="Upload the model to OWNER/NAME on the Hugging Face hub, as a private repository."
        ),
    ] = None,
    num_train_epochs: Annotated[
        float | None, _in(LENGTH, "Number of passes over the training part.", "--epochs", default="10")
    ] = None,
    max_steps: Annotated[int | None, _in(LENGTH, "Number of optimizer steps; replaces --epochs.")] = None,
    per_device_train_batch_size: Annotated[
        int | None, _in(LENGTH, "Utterances per device in one forward pass.", "--train-batch-size", default="4")
    ] = None,
    per_device_eval_batch_size: Annotated[
        int | None,
        _in(LENGTH, "Utterances per device in one forward pass of the evaluation.", "--eval-batch-size", default="4"),
    ] = None,
    gradient_accumulation_steps: Annotated[
        int | None, _in(LENGTH, "Gradient accumulation: batches per optimizer step.", "--accumulation", default="2")
    ] = None,
    group_by_length: Annotated[
        bool | None, _in(LENGTH, "Put utterances of similar length into one batch, which saves padding.")
    ] = None,
    early_stopping_patience: Annotated[
        int | None, _in(LENGTH, "Stop after this many evaluations without improvement.")
    ] = None,
    early_stopping_metric: Annotated[
        str | None, _in(LENGTH, "What has to improve: eval_loss, accuracy or balanced_accuracy.", default="eval_loss")
    ] = None,
    seed: Annotated[
        int | None, _in(LENGTH, "Seed of initialisation, order, dropout and augmentation.", default="42")
    ] = None,
    learning_rate: Annotated[
        float | None, _in(RATE, "Learning rate at its peak.", "--learning-rate", "--lr", default="1e-4")
    ] = None,
    head_learning_rate: Annotated[
        float | None, _in(RATE, "Learning rate of the classification head.", default="the learning rate")
    ] = None,
    lr_scheduler_type: Annotated[
        str | None,
        _in(
            RATE,
            "How the rate changes: linear, cosine, constant or constant_with_warmup.",
            "--schedule",
            default="linear",
        ),
    ] = None,
    warmup_steps: Annotated[int | None, _in(RATE, "Steps until the rate reaches its peak.", default="0")] = None,
    warmup_ratio: Annotated[
        float | None, _in(RATE, "Warm-up as a fraction of all steps; replaces --warmup-steps.", "--warmup-share")
    ] = None,
    layer_decay: Annotated[
        float | None,
        _in(RATE, "Layer-wise decay: the rate of each layer is this times that of the layer above.", default="1"),
    ] = None,
    weight_decay: Annotated[float | None, _in(RATE, "Weight decay of AdamW.", default="0")] = None,
    max_grad_norm: Annotated[float | None, _in(RATE, "Clip gradients to this norm.", default="1")] = None,
    class_weights: Annotated[
        str | None,
        _in(LOSS, "Weights of the classes in the loss: none, balanced, or angry=2,calm=0.5.", default="none"),
    ] = None,
    label_smoothing_factor: Annotated[
        float | None,
        _in(
            LOSS,
            "Label smoothing: share of the target that is spread over all classes.",
            "--label-smoothing",
            default="0",
        ),
    ] = None,
    freeze_feature_encoder: Annotated[bool | None, _in(LOSS, "Do not train the convolutions.")] = None,
    frozen_layers: Annotated[
        int | None, _in(LOSS, "Do not train the lowest N transformer layers.", default="0")
    ] = None,
    cache_frozen: Annotated[
        bool | None, _in(LOSS, "Compute what the frozen layers say once, and read it from disk in later epochs.")
    ] = None,
    num_hidden_layers: Annotated[
        int | None, _in(LOSS, "Keep only the lowest N transformer layers.", default="all")
    ] = None,
    classification_head: Annotated[
        str | None,
        _in(LOSS, "The head: dense, random at first; or linear, fitted to the backbone at first.", default="dense"),
    ] = None,
    pooling: Annotated[str | None, _in(LOSS, "How frames become one vector: mean, sum or max.", default="mean")] = None,
    max_seconds: Annotated[float | None, _in(HEARD, "Crop longer utterances to this many seconds.")] = None,
    crop: Annotated[
        str | None, _in(HEARD, "Where to crop: random, or head for the beginning.", default="random")
    ] = None,
    mask_time_prob: Annotated[
        float | None, _in(HEARD, "SpecAugment: fraction of frames that are masked.", default="the backbone's")
    ] = None,
    mask_time_length: Annotated[
        int | None, _in(HEARD, "SpecAugment: frames per mask.", default="the backbone's")
    ] = None,
    mask_feature_prob: Annotated[
        float | None, _in(HEARD, "SpecAugment: fraction of feature channels that are masked.", default="the backbone's")
    ] = None,
    mask_feature_length: Annotated[
        int | None, _in(HEARD, "SpecAugment: channels per mask.", default="the backbone's")
    ] = None,
    layerdrop: Annotated[float | None, _in(HEARD, "Probability of skipping a layer.", default="the backbone's")] = None,
    speed_prob: Annotated[
        float | None, _in(HEARD, "Probability of changing the speed of an utterance.", default="0")
    ] = None,
    speed_range: Annotated[Pair | None, _in(HEARD, "Lowest and highest speed factor.", default="0.9 1.1")] = None,
    reverb_prob: Annotated[float | None, _in(HEARD, "Probability of adding reverberation.", default="0")] = None,
    reverb_seconds: Annotated[
        Pair | None, _in(HEARD, "Shortest and longest reverberation time.", default="0.2 0.8")
    ] = None,
    noise_prob: Annotated[float | None, _in(HEARD, "Probability of adding white noise.", default="0")] = None,
    noise_db: Annotated[
        Pair | None, _in(HEARD, "Lowest and highest signal-to-noise ratio in dB.", default="10 30")
    ] = None,
    gain_prob: Annotated[float | None, _in(HEARD, "Probability of changing the volume.", default="0")] = None,
    gain_db: Annotated[Pair | None, _in(HEARD, "Lowest and highest gain in dB.", default="-12 12")] = None,
    versions: Annotated[
        int | None,
        _in(
            HEARD, "Different versions of an utterance, which the epochs take in turn.", default="a new one each epoch"
        ),
    ] = None,
    eval_steps: Annotated[
        int | None, _in(INTERVALS, "Evaluate, and cache a member, every N steps.", default="100")
    ] = None,
    logging_steps: Annotated[int | None, _in(INTERVALS, "Log the training loss every N steps.", default="100")] = None,
    save_steps: Annotated[int | None, _in(INTERVALS, "Save a checkpoint every N steps.", default="100")] = None,
    save_total_limit: Annotated[int | None, _in(INTERVALS, "Number of checkpoints to keep.", default="2")] = None,
    report_to: Annotated[
        str | None,
        _in(INTERVALS, "Also log to tensorboard or wandb, in STORE.tracking/ beside the store.", default="none"),
    ] = None,
    precision: Annotated[
        str | None, _in(MACHINE, "Number format of the computation: fp32, tf32, fp16 or bf16.", default="fp32")
    ] = None,
    attn_implementation: Annotated[
        str | None,
        _in(
            MACHINE,
            "Implementation of attention: eager, sdpa or flash_attention_2.",
            "--attention",
            default="the best there is",
        ),
    ] = None,
    gradient_checkpointing: Annotated[
        bool | None, _in(MACHINE, "Save memory at the price of time: recompute activations.")
    ] = None,
    torch_compile: Annotated[
        bool | None, _in(MACHINE, "Compile the model with torch.compile.", "--compile/--no-compile")
    ] = None,
    dataloader_num_workers: Annotated[
        int | None, _in(MACHINE, "Processes that decode recordings in parallel.", "--dataloader-workers", default="0")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Fine-tune a backbone and cache its answers at every evaluation. Defaults: the paper's settings."""
    number = _read_fold(fold)
    asked = {name: value for name, value in {**context.params, "fold": number}.items() if value is not None}
    resolved = resolve_recipe(asked, recipe=recipe, store=store, resume=resume)
    begun = (
        _find_begun(store, model=model, run=run, split=split, fold=number)
        if resume and not all_models and (print_recipe or dry_run)
        else None
    )
    if print_recipe:
        print_recipe_text(resolved if begun is None else resolved or begun.recipe, json=json)
        return
    origin = Origin(model, init, checkpoint, split, number, cast(Any, valid))  # the library says whether it is known
    if begun is not None:
        origin, resolved = read_begun(begun), resolved or begun.recipe
    else:
        origin = find_like(origin, store, recipe=recipe, run=run, resume=resume, with_weights=not all_models)
    model, checkpoint = origin.model, origin.checkpoint
    if (model is not None) + all_models > 1:
        raise typer.BadParameter("expected one of --model and --all")
    if model is None and not (all_models or resume):
        raise typer.BadParameter("expected --model MODEL, or --all for the paper's six", param_hint="--model")
    if all_models and (run or checkpoint or checkpoints or push_to_hub):
        raise typer.BadParameter(
            "--all trains several models: --run, --checkpoint, --checkpoints, --push-to-hub do not fit"
        )
    over_folds = origin.fold == "all"
    if over_folds and (all_models or push_to_hub or dry_run):
        raise typer.BadParameter(
            "all trains several models: --all, --push-to-hub, --dry-run take one fold", param_hint="--fold"
        )
    opened = _open(store)
    places: dict[str, Any] = {"split": origin.split, "fold": origin.fold, "init": origin.init, "audio": audio}
    if dry_run:
        if model is not None:
            refuse_begun(opened, origin, model, run=run, resume=resume, recipe=resolved)
        print_dry_run(
            opened, model, resolved, {**places, "checkpoint": checkpoint, "checkpoints": checkpoints}, json=json
        )
        return
    show_reports()
    if all_models:
        train_all(opened, resolved, places, json=json)
        return
    from ser_store.training.finetune import finetune as train
    from ser_store.training.processes import is_main

    if push_to_hub is not None and is_main():
        from ser_store.hub.push import reserve_repository

        reserve_repository(push_to_hub)
    record = train(
        opened,
        model,
        run=run,
        **places,
        valid=origin.valid,
        recipe=resolved,
        checkpoint=checkpoint,
        checkpoints=checkpoints,
        resume=resume,
        progress=True,
    )
    if not is_main():
        return
    if json:
        published = push(opened, record.run, push_to_hub)
        print_json({**record.to_json(), "members": opened.member_names(record.run), **published})
        return
    print_run(opened, record)
    push(opened, record.run, push_to_hub)


def _read_fold(given: str | None) -> "Fold":
    if given is None:
        return None
    if given == "all":
        return "all"
    if not given.isdecimal():
        raise typer.BadParameter(f"{given!r} is neither a number nor all", param_hint="--fold")
    return int(given)


def _open(store: Path) -> "Store":
    from ser_store.errors import require
    from ser_store_h5.store import Store

    opened = Store(store)
    require("torch")
    require("transformers")
    if "WANDB_MODE" in os.environ:
        with redirect_stdout(sys.stderr):  # transformers repeats it on stdout, which belongs to the result
            require("transformers.integrations.integration_utils")
    return opened


def _find_begun(store: Path, **asked: Any) -> "Request | None":
    from ser_store.training.request import find_request
    from ser_store_h5.store import Store

    return find_request(Store(store), **asked)
