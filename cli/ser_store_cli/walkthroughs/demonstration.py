"""The demo: the main job from audio to a vote, each step a command that is printed before it runs."""

import time
from dataclasses import dataclass
from pathlib import Path

import typer

from ser_store_cli.output import print_styled
from ser_store_cli.walkthroughs.printed import Runner, print_title, run_printed

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


@dataclass(frozen=True)
class Demonstration:
    """Where the demo works.

    Attributes:
        store: a folder that was not there before.
        audio: the recordings.
        steps: optimizer steps of each backbone.
    """

    store: Path
    audio: Path
    steps: int


def demonstrate(store: Path, *, audio: Path | None, steps: int | None, run: Runner) -> None:
    """Run the demo.

    Args:
        store: where the store shall be; where something is there already, beside it under a number.
        audio: RAVDESS recordings, or None for a synthetic corpus.
        steps: optimizer steps of each backbone.
        run: runs one ``serstore`` command, given its words; the first that fails ends the demo.
    """
    started = time.perf_counter()
    print_title("Real models on real recordings, from the store that comes with the package")
    _run_all([list(words) for words in REAL], Path("example:whisper-base"), run=run)
    store = _find_free(store)
    if audio is None:
        folder = store.with_name(f"{store.stem}.audio")
        _write_corpus(folder)
        plan = Demonstration(store, folder, steps or STEPS_SYNTHETIC)
    else:
        plan = Demonstration(store, audio, steps or STEPS_RAVDESS)
    for title, commands in _list_commands(plan):
        print_title(title)
        _run_all(commands, store, run=run)
    print_styled(f"\nDone in {time.perf_counter() - started:.0f} s. The store is {store}: try next", bold=True)
    typer.echo(
        f"  serstore evaluate tiny-wav2vec2 --by speaker --store {store}\n"
        f"  serstore vote --k 3 --all-combos --steps all --rule soft --on valid --store {store}\n"
        f"  serstore head --kind lda --cv speaker --run lda-by-speaker --store {store}\n"
        f"  serstore finetune --model xlsr53 --store {store}     (a GPU, and the weights from the hub)"
    )


def _run_all(commands: list[list[str]], store: Path, *, run: Runner) -> None:
    for command in commands:
        code = run_printed([*command, "--store", str(store)], run=run)
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


def _list_commands(plan: Demonstration) -> list[tuple[str, list[list[str]]]]:
    every = str(max(1, plan.steps // EVALUATIONS))
    recipe = ["--max-steps", str(plan.steps), "--eval-steps", every, "--save-steps", every, "--logging-steps", every]
    recipe += ["--train-batch-size", "8", "--eval-batch-size", "16", "--accumulation", "1", "--learning-rate", "1e-3"]
    return [
        (
            "The corpus, split so that no speaker is on two sides",
            [["init", "--corpus", "ravdess", "--audio", str(plan.audio), "--split", "speaker"], ["audit"]],
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
