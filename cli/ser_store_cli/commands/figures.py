"""plot and report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ser_store.common.display import Result
from ser_store_cli import option
from ser_store_cli.command import command

# What each kind shows, for the help and for shells.
KINDS = {
    "confusion": "which classes are taken for which",
    "curves": "losses and accuracy by step, and where the losses diverge",
    "steps": "the accuracy of all runs by step, with intervals",
    "ensembles": "all ensembles of --k members, the best corrected",
    "accuracy": "members with intervals, or groups of utterances --by a column",
    "calibration": "how often members are right by how sure they are",
    "disagreement": "utterances that one of two members alone gets right",
    "difficulty": "which members get which utterances right",
    "layers": "accuracy by layer and kind of head, also of a sweep's --rows",
    "learning-curve": "accuracy by training utterances, of a sweep's --rows",
    "map": "representations in two dimensions, --by label or a column",
    "cross": "training corpus by test corpus, of the --rows of a cross",
}


def _complete_kinds(incomplete: str) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in KINDS.items() if kind.startswith(incomplete)]


@command(listed="\n".join(f"{kind:<16}{text}" for kind, text in KINDS.items()))
def plot(
    kind: Annotated[
        str, typer.Argument(help="What is seen, see above.", metavar="KIND", autocompletion=_complete_kinds)
    ],
    members: option.Members = None,
    file: Annotated[
        Path, typer.Option("--output", "-o", help="The figure's file: SVG, PDF or PNG by the end of its name.")
    ] = ...,  # type: ignore[assignment]  # typer's word for an option that must be given
    width: Annotated[
        str, typer.Option("--width", help="As wide as a column (3.5 inches) or a page (7.16 inches).")
    ] = "page",
    by: Annotated[
        str | None,
        typer.Option("--by", help="accuracy: for each speaker, label or value of a column; map: what is told apart."),
    ] = None,
    k: Annotated[int | None, typer.Option("--k", help="ensembles: the number of members of each.")] = None,
    layer: Annotated[
        int | None, typer.Option("--layer", help="map: of which layer.", show_default="the last one")
    ] = None,
    method: Annotated[str, typer.Option("--method", help="map: how it is made, pca, tsne or umap.")] = "pca",
    rows: Annotated[
        Path | None,
        typer.Option(
            "--rows",
            help="layers, learning-curve, cross: a file with what `serstore sweep --json` or `serstore cross --json` "
            "printed.",
        ),
    ] = None,
    steps: option.Steps = "selected",
    exclude: option.Exclude = None,
    rule: option.Rule = "hard",
    tie: option.Tie = "lowest",
    on: option.On = None,
    split: option.Split = None,
    store: option.Store = option.HERE,
) -> Result:
    """Draw a figure for a paper: confusions, curves, all ensembles, accuracy by speaker, and more."""
    from ser_store.figures.plot import plot as draw

    # Whether these are known is for the library to say.
    choices: dict[str, Any] = {"width": width, "steps": steps, "rule": rule, "tie": tie, "method": method}
    what: Any = kind
    return draw(
        store,
        what,
        members or [],
        file=file,
        on=on,
        split=split,
        exclude=exclude or [],
        by=by,
        k=k,
        layer=layer,
        rows=rows,
        progress=True,
        **choices,
    )


@command()
def report(
    members: option.Members = None,
    file: Annotated[
        Path, typer.Option("--output", "-o", help="The page, such as report.html; replaced if there.")
    ] = ...,  # type: ignore[assignment]  # typer's word for an option that must be given
    k: Annotated[
        int | None,
        typer.Option(
            "--k",
            help="Members of the ensembles that are searched.",
            show_default="3; of three members or fewer the best one is chosen",
        ),
    ] = None,
    steps: option.Steps = "selected",
    exclude: option.Exclude = None,
    audio: Annotated[
        str | None,
        typer.Option(
            "--audio",
            help="Recordings of the hard utterances: embed (in the page) or link (to where they are).",
            show_default="none",
        ),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="The heading.", show_default="the corpus' name")] = None,
    on: option.On = None,
    split: option.Split = None,
    store: option.Store = option.HERE,
) -> Result:
    """Write one page of HTML about the members: figures, charts, hard utterances, and votes by whoever reads it."""
    from ser_store.reporting.report import report as write

    # Whether these are known is for the library to say.
    choices: dict[str, Any] = {"steps": steps, "audio": audio}
    return write(
        store,
        file,
        members or [],
        on=on,
        split=split,
        exclude=exclude or [],
        k=k,
        title=title,
        progress=True,
        **choices,
    )
