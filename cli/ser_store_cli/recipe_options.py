"""The options of a recipe on the command line: a row for each, under its panel of the help."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ser_store.recipes.validation import OLD_NAMES

Pair = tuple[float, float]

# Of each option: name, type, help, what it is if nothing says otherwise, and its spellings where that is not the name.
_OPTIONS: dict[str, tuple[tuple[Any, ...], ...]] = {
    "Length and batches": (
        ("num_train_epochs", float, "Number of passes over the training part.", "10", "--epochs"),
        ("max_steps", int, "Number of optimizer steps; replaces --epochs.", None),
        ("per_device_train_batch_size", int, "Utterances per device in one forward pass.", "4", "--train-batch-size"),
        (
            "per_device_eval_batch_size",
            int,
            "Utterances per device in one forward pass of the evaluation.",
            "4",
            "--eval-batch-size",
        ),
        (
            "gradient_accumulation_steps",
            int,
            "Gradient accumulation: batches per optimizer step.",
            "2",
            "--accumulation",
        ),
        (
            "batch_seconds",
            float,
            "Fill each batch with utterances of similar length up to this many seconds; replaces --train-batch-size.",
            None,
        ),
        ("group_by_length", bool, "Put utterances of similar length into one batch, which saves padding.", None),
        ("early_stopping_patience", int, "Stop after this many evaluations without improvement.", None),
        ("early_stopping_metric", str, "What has to improve: eval_loss, accuracy or balanced_accuracy.", "eval_loss"),
        ("seed", int, "Seed of initialisation, order, dropout and augmentation.", "42"),
    ),
    "Learning rate": (
        ("learning_rate", float, "Learning rate at its peak.", "1e-4", "--learning-rate", "--lr"),
        ("head_learning_rate", float, "Learning rate of the classification head.", "the learning rate"),
        (
            "lr_scheduler_type",
            str,
            "How the rate changes: linear, cosine, constant or constant_with_warmup.",
            "linear",
            "--schedule",
        ),
        ("warmup_steps", int, "Steps until the rate reaches its peak.", "0"),
        ("warmup_ratio", float, "Warm-up as a fraction of all steps; replaces --warmup-steps.", None, "--warmup-share"),
        ("layer_decay", float, "Layer-wise decay: the rate of each layer is this times that of the layer above.", "1"),
        ("weight_decay", float, "Weight decay of AdamW.", "0"),
        ("max_grad_norm", float, "Clip gradients to this norm.", "1"),
    ),
    "Loss and what is trained": (
        ("class_weights", str, "Weights of the classes in the loss: none, balanced, or angry=2,calm=0.5.", "none"),
        (
            "label_smoothing_factor",
            float,
            "Label smoothing: share of the target that is spread over all classes.",
            "0",
            "--label-smoothing",
        ),
        ("freeze_feature_encoder", bool, "Do not train the convolutions.", None),
        ("frozen_layers", int, "Do not train the lowest N transformer layers.", "0"),
        ("lora", int, "LoRA: train adapters of this rank in the layers, and the head, alone.", "all is trained"),
        ("lora_alpha", float, "LoRA: the adapters' output is multiplied by this over the rank.", "twice the rank"),
        ("cache_frozen", bool, "Compute what the frozen layers say once, and read it from disk in later epochs.", None),
        ("num_hidden_layers", int, "Keep only the lowest N transformer layers.", "all"),
        (
            "classification_head",
            str,
            "The head: dense, random at first; linear, fitted to the backbone at first; or linear-by-speaker, on how "
            "an utterance differs from the others of its speaker.",
            "dense",
        ),
        ("pooling", str, "How frames become one vector: mean, sum or max.", "mean"),
        ("pooled_layers", int, "Pool the frames of the N highest layers, side by side.", "1"),
    ),
    "Augmentation": (
        ("max_seconds", float, "Crop longer utterances to this many seconds.", None),
        ("crop", str, "Where to crop: random, or head for the beginning.", "random"),
        ("mask_time_prob", float, "SpecAugment: fraction of frames that are masked.", "the backbone's"),
        ("mask_time_length", int, "SpecAugment: frames per mask.", "the backbone's"),
        ("mask_feature_prob", float, "SpecAugment: fraction of feature channels that are masked.", "the backbone's"),
        ("mask_feature_length", int, "SpecAugment: channels per mask.", "the backbone's"),
        ("layerdrop", float, "Probability of skipping a layer.", "the backbone's"),
        ("speed_prob", float, "Probability of changing the speed of an utterance.", "0"),
        ("speed_range", Pair, "Lowest and highest speed factor.", "0.9 1.1"),
        ("reverb_prob", float, "Probability of adding reverberation.", "0"),
        ("reverb_seconds", Pair, "Shortest and longest reverberation time.", "0.2 0.8"),
        ("noise_prob", float, "Probability of adding white noise.", "0"),
        ("noise_db", Pair, "Lowest and highest signal-to-noise ratio in dB.", "10 30"),
        ("gain_prob", float, "Probability of changing the volume.", "0"),
        ("gain_db", Pair, "Lowest and highest gain in dB.", "-12 12"),
        ("versions", int, "Different versions of an utterance, which the epochs take in turn.", "a new one each epoch"),
    ),
    "Logging and checkpoints": (
        ("eval_steps", int, "Evaluate, and cache a member, every N steps.", "100"),
        ("logging_steps", int, "Log the training loss every N steps.", "100"),
        ("save_steps", int, "Save a checkpoint every N steps.", "100"),
        ("save_total_limit", int, "Number of checkpoints to keep.", "2"),
        ("report_to", str, "Also log to tensorboard or wandb, in STORE.tracking/ beside the store.", "none"),
    ),
    "Machine": (
        (
            "micro_batch",
            str,
            "One forward pass: a batch, up to N utterances of it, or with auto all of a step, where memory allows.",
            "batch",
        ),
        (
            "precision",
            str,
            "Number format: fp32, tf32, fp16 or bf16, or auto for the hardware's.",
            "fp32",
        ),
        (
            "attn_implementation",
            str,
            "Implementation of attention: eager, sdpa or flash_attention_2.",
            "the best there is",
            "--attention",
        ),
        ("gradient_checkpointing", bool, "Save memory at the price of time: recompute activations.", None),
        ("torch_compile", bool, "Compile the model with torch.compile.", None, "--compile/--no-compile"),
        ("dataloader_num_workers", int, "Processes that decode recordings in parallel.", "0", "--dataloader-workers"),
    ),
}
# Hugging Face's spellings, which the parameters bear, and the short ones. Together they would not fit into the help.
_SHORT = {new.replace("_", "-"): old.replace("_", "-") for old, new in OLD_NAMES.items()}


def with_recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a recipe in place of its ``**options``; None stands for what the recipe says."""
    signature = inspect.signature(command)
    parameters = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters += [_make_parameter(panel, *row) for panel, rows in _OPTIONS.items() for row in rows]
    target: Any = command
    target.__signature__ = signature.replace(parameters=sorted(parameters, key=lambda one: one.kind))
    target.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _make_parameter(panel: str, name: str, kind: Any, text: str, default: str | None, *names: str) -> inspect.Parameter:
    also = [long for long, short in _SHORT.items() if names and names[0].partition("/")[0] == f"--{short}"]
    text = " ".join([text, *(f"Also --{long}." for long in also)])
    option = typer.Option(*names, help=text, rich_help_panel=panel, show_default=default or False)
    annotation = Annotated[kind | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def shorten(name: str) -> str:
    """Return the short spelling of an option that is written without its dashes."""
    no, plain = ("no-", name[3:]) if name.startswith("no-") else ("", name)
    return no + _SHORT.get(plain, plain)
