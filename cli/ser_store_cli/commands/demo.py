"""demo: the main job from audio to a vote, each step a command that is printed before it runs."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.output import print_styled
from ser_store_cli.printed import print_title, run_printed

TINY = ("tiny-wav2vec2", "tiny-hubert", "tiny-unispeech")
HEADS = ("logreg", "svm", "mlp")
# Short enough for two cores without a GPU, long enough to see the curves bend.
STEPS_SYNTHETIC, STEPS_RAVDESS = 200, 300
EVALUATIONS = 5
# What real models said: of speakers that they had not met, and of ones that they had.
REAL = (
    ("compare", "whisper-base-ft+whisper-base-pool", "whisper-base-pool", "--on", "all", "--rule", "soft-log"),
    ("vote", "--k", "3", "--all-combos", "--steps", "all", "--rule", "soft-log", "--split", "paper", "--top", "3"),
)


@command(json=False)
def demo(
    audio: option.Audio = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", min=1, help="Optimizer steps of each fine-tuning.", show_default="200; on RAVDESS, 300"
        ),
    ] = None,
    store: option.Store = option.HERE,
) -> None:
    """Show the whole way from recordings to a vote: on synthetic speech, or with --audio on RAVDESS."""
    from ser_store.errors import require

    require("torch")
    started = time.perf_counter()
    print_title("Real models on real recordings, from the store that comes with the package")
    _run_all(REAL, Path("example:whisper-base"))
    store = _find_free(store)
    steps = steps or (STEPS_SYNTHETIC if audio is None else STEPS_RAVDESS)
    if audio is None:
        audio = store.with_name(f"{store.stem}.audio")
        _write_corpus(audio)
    for title, commands in _list_commands(audio, steps):
        print_title(title)
        _run_all(commands, store)
    print_styled(f"\nDone in {time.perf_counter() - started:.0f} s. The store is {store}: try next", bold=True)
    typer.echo(
        f"  serstore evaluate tiny-wav2vec2 --by speaker --store {store}\n"
        f"  serstore vote --k 3 --all-combos --steps all --rule soft --on valid --store {store}\n"
        f"  serstore head --kind lda --cv speaker --run lda-by-speaker --store {store}\n"
        f"  serstore finetune --model xlsr53 --store {store}     (a GPU, and the weights from the hub)"
    )


def _run_all(commands: Iterable[Iterable[str]], store: Path) -> None:
    for words in commands:
        code = run_printed(*words, "--store", str(store))
        if code:
            raise typer.Exit(code)


def _find_free(store: Path) -> Path:
    free, number = store, 2
    while free.exists():
        free, number = store.with_name(f"{store.stem}-{number}{store.suffix}"), number + 1
    return free


def _write_corpus(folder: Path) -> None:
    from ser_store.corpora.synthetic import write_synthetic_corpus

    print_title("A synthetic corpus: speech-like, deterministic, all eight emotions")
    paths = write_synthetic_corpus(folder, progress=True)
    typer.echo(f"{len(paths)} recordings in {folder}")


def _list_commands(audio: Path, steps: int) -> list[tuple[str, list[list[str]]]]:
    every = str(max(1, steps // EVALUATIONS))
    recipe = ["--max-steps", str(steps), "--eval-steps", every, "--save-steps", every, "--logging-steps", every]
    recipe += ["--train-batch-size", "8", "--eval-batch-size", "16", "--accumulation", "1", "--learning-rate", "1e-3"]
    return [
        (
            "The corpus, split so that no speaker is on two sides",
            [["init", "--corpus", "ravdess", "--audio", str(audio), "--split", "speaker"], ["audit"]],
        ),
        (
            "An acoustic backbone, and heads on it",
            [["extract", "--model", "mfcc"], *(["head", "--kind", kind, "--from", "mfcc@0"] for kind in HEADS)],
        ),
        (
            "Three tiny transformers, trained from random weights; each evaluation caches a member",
            [["finetune", "--model", key, *recipe] for key in TINY],
        ),
        ("Steps compared and selected on the validation speakers", [["steps", "--select", "best"]]),
        ("Evaluation on the test speakers", [["evaluate"]]),
        (
            "Every ensemble there is, against the best member alone",
            [
                ["vote", "--k", "3", "--all-combos", "--top", "5"],
                ["vote", "--k", "5", "--all-combos", "--steps", "all", "--top", "5"],
                ["vote", "--k", "5", "--all-combos", "--steps", "all", "--rule", "soft", "--top", "5"],
            ],
        ),
        ("What is in the store", [["info"]]),
    ]
