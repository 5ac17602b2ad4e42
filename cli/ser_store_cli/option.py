"""Options that several commands have."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ser_store_cli.completion import complete_members, complete_parts, complete_runs, complete_splits
from ser_store_h5.errors import SerstoreError

EXAMPLE = "example:"


def find_store(store: Path) -> Path:
    """Return where a store lies that is named on the command line, such as ``~/my.store`` or ``example:paper``."""
    place, is_example, name = str(store).partition(EXAMPLE)
    if place or not is_example:
        return Path(os.path.expanduser(store))  # noqa: PTH111 - `~x` may be a folder
    from ser_store.reproduction.published import find_example

    try:
        return find_example(name)
    except SerstoreError as problem:
        raise typer.BadParameter(str(problem)) from problem


def split_names(text: str) -> Any:
    """Return the names in ``a,b``; the library says which ones there are."""
    return [one.strip() for one in text.split(",")]


Store = Annotated[
    Path,
    typer.Option(
        "--store",
        envvar="SERSTORE",
        help="The store: its folder, a packed file, hub:OWNER/NAME, or example:paper and example:whisper-base, which "
        "come with the package.",
        show_default="./ser.store",
        callback=find_store,
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        help="The utterances to report on: train, valid, test, fold-1, …, or all.",
        show_default="test",
        autocompletion=complete_parts,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="Which split of the corpus to use.",
        show_default="the store's default",
        autocompletion=complete_splits,
    ),
]
Members = Annotated[
    list[str] | None,
    typer.Argument(
        help="Members: run@step, a run, which stands for its selected step, or a pattern (hubert-*).",
        show_default="every run",
        autocompletion=complete_members,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="Leave out this member, run or pattern (hubert-*); repeat for several."),
]
Audio = Annotated[Path | None, typer.Option("--audio", help="The folder with the recordings.")]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="A label map, a TOML file that says which labels mean the same and which are dropped: "
        'angry = ["anger", "A"], drop = "rest".',
    ),
]
Run = Annotated[
    str | None,
    typer.Option("--run", help="The name of the run.", show_default="the model's name", autocompletion=complete_runs),
]
Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", help="A folder with the model's weights; nothing is downloaded then.")
]
Init = Annotated[str, typer.Option("--init", help="Weights to begin with: pretrained or random.")]
Rule = Annotated[
    str,
    typer.Option(
        "--rule",
        help="How ensembles vote: hard (majority), soft (mean probability), soft-log (mean log-probability), or by "
        "weights that are fitted on other speakers, as vote has them: pool, stack or greedy-pool.",
    ),
]
TIE_HELP = (
    "How hard voting breaks ties: lowest (the first class), confidence (the most probable class), best (the answer of "
    "the most accurate member) or abstain (no answer, which is wrong)."
)
Tie = Annotated[str, typer.Option("--tie", help=TIE_HELP)]
Steps = Annotated[str, typer.Option("--steps", help="Which steps of each run: selected or all.")]
ClassWeight = Annotated[
    str | None,
    typer.Option("--class-weight", help="balanced: every class weighs the same.", show_default="none"),
]
Folds = Annotated[int | None, typer.Option("--folds", help="Number of folds that --cv draws.", show_default="5")]
Model = Annotated[
    str | None,
    typer.Option("--model", help="A name that `serstore models` lists, a Hugging Face id, or a local folder."),
]
OnBad = Annotated[
    str,
    typer.Option("--on-bad", help="What recordings do that cannot be used: fail, or skip, which leaves them out."),
]
WithoutPooled = Annotated[
    bool, typer.Option("--without-pooled", help="Leave out the representations. Evaluating and voting need none.")
]

HERE = Path("ser.store")
