"""bench runtime and bench extract."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ser_store_cli.options import AudioOption, DebugOption, JsonOption, stated, warn
from ser_store_cli.output import format_bytes, print_json, print_table

if TYPE_CHECKING:
    from ser_store.measuring.extracting import ExtractionComparison
    from ser_store.measuring.running import RuntimeComparison

ModelsOption = Annotated[
    str | None, typer.Option("--models", help="Keys, with commas between them.", show_default="the tiny presets")
]
FullOption = Annotated[bool, typer.Option("--full", help="The paper's six at full size, which needs a GPU.")]
FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", help="Where checkpoints lie for a while.", show_default="the temporary folder"),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0)]


def register(bench: typer.Typer) -> None:
    bench.command()(runtime)
    bench.command()(extract)


@stated
def runtime(
    audio: AudioOption = None,
    models: ModelsOption = None,
    full: FullOption = False,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimizer steps that are timed.")] = 24,
    precision: Annotated[str, typer.Option("--precision", help="fp32, tf32, fp16 or bf16.")] = "fp32",
    notebook: Annotated[bool, typer.Option("--notebook", help="Train in the published notebook's way, too.")] = False,
    folder: FolderOption = None,
    seed: SeedOption = 42,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """How long the published recipe takes here, from random weights, beside the paper's Table 5."""
    from ser_store.measuring.running import compare_runtimes
    from ser_store.progress import bar

    compared = compare_runtimes(
        choose_models(models, full=full),
        audio=audio,
        steps=steps,
        precision=precision,
        with_notebook=notebook,
        seed=seed,
        folder=folder,
        progress=bar,
    )
    for model, problem in compared.problems.items():
        warn(f"{model} is left out: {problem}")
    if json:
        print_json(compared.to_json())
    else:
        print_runtimes(compared)


def choose_models(models: str | None, *, full: bool) -> tuple[str, ...] | None:
    """The models that are named; None for the default ones.

    Raises:
        SerstoreError: if full size is asked for and there is no GPU.
    """
    from ser_store.errors import SerstoreError, require
    from ser_store.training.reproducing import list_published_models

    if models is not None:
        return tuple(name.strip() for name in models.split(","))
    if not full:
        return None
    if not require("torch").cuda.is_available():
        raise SerstoreError(
            "--full, and torch sees no GPU: expected one, since full size takes hours without; name single models by "
            "--models hubert-base to measure them all the same"
        )
    return list_published_models()


def print_runtimes(compared: "RuntimeComparison") -> None:
    """Seconds of each backbone, and what Table 5 says."""
    recipe = compared.recipe
    gpus = ", ".join(compared.hardware["gpus"]) or "no GPU"
    typer.echo(
        f"{compared.corpus}: {compared.n_train} utterances trained on, {compared.n_evaluated} evaluated; "
        f"{recipe.precision}, batches of {recipe.train_batch_size} accumulated {recipe.accumulation} times; "
        f"random weights; {gpus}"
    )
    header = [
        "model",
        "step",
        "evaluation",
        "checkpoint",
        "100 steps",
        "Table 5",
        "steps",
        "in all",
        "Table 5",
        "memory",
    ]
    with_notebook = any(one.ratio is not None for one in compared.runtimes)
    rows = []
    for one in compared.runtimes:
        published = one.published or {}
        row: list[object] = [one.model]
        row += [_Seconds(value) for value in (one.step_seconds, one.evaluation_seconds, one.saving_seconds)]
        row += [_Seconds(one.per_100_steps), _maybe(published.get("per_100_steps"))]
        row += [one.recipe_steps, _Seconds(one.total), _maybe(published.get("total")), format_bytes(one.peak_bytes)]
        rows.append([*row, f"× {one.ratio:.2f}"] if with_notebook and one.ratio else row)
    print_table([*header, "notebook"] if with_notebook else header, rows)
    typer.echo(
        "\n100 steps with their evaluation and checkpoint; in all: the whole recipe, extrapolated. memory: on the GPU, "
        "else what\nthe process grew by. Table 5: Gavali & Verma, IJDMMM 17(2), 2025, on 1,152 and 288 utterances of "
        "RAVDESS."
    )
    if with_notebook:
        typer.echo("notebook: how many times as long a step takes that resamples each utterance from 48 kHz anew.")


class _Seconds(float):
    def __str__(self) -> str:
        return f"{float(self):,.0f} s" if self >= 100 else f"{float(self):.3g} s"


def _maybe(seconds: float | None) -> _Seconds | str:
    return "–" if seconds is None else _Seconds(seconds)


@stated
def extract(
    audio: AudioOption = None,
    models: ModelsOption = None,
    full: FullOption = False,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 8,
    folder: FolderOption = None,
    seed: SeedOption = 42,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """How many utterances per second each backbone represents here, from random weights."""
    from ser_store.measuring.extracting import compare_extraction
    from ser_store.progress import bar

    compared = compare_extraction(
        choose_models(models, full=full), audio=audio, batch_size=batch_size, seed=seed, folder=folder, progress=bar
    )
    for model, problem in compared.problems.items():
        warn(f"{model} is left out: {problem}")
    if json:
        print_json(compared.to_json())
    else:
        print_rates(compared)


def print_rates(compared: "ExtractionComparison") -> None:
    """Utterances per second of each backbone."""
    typer.echo(f"{compared.corpus}, decoding included, batches of {compared.batch_size}, random weights")
    rows = [
        [one.model, one.utterances, _Seconds(one.seconds), f"{one.per_second:,.1f}", format_bytes(one.peak_bytes)]
        for one in compared.rates
    ]
    print_table(["model", "utterances", "time", "per second", "memory"], rows)
