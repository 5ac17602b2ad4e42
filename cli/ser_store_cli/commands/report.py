"""report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    ExcludeOption,
    JsonOption,
    MembersArgument,
    OnOption,
    SplitOption,
    StoreOption,
    stated,
    warn_cautions,
)
from ser_store_cli.output import print_result


def register(app: typer.Typer) -> None:
    app.command()(report)


@stated
def report(
    members: MembersArgument = None,
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
    steps: Annotated[str, typer.Option("--steps", help="Which steps of each run: selected or all.")] = "selected",
    exclude: ExcludeOption = None,
    audio: Annotated[
        str | None,
        typer.Option(
            "--audio",
            help="Recordings of the hard utterances: embed (in the page) or link (to where they are).",
            show_default="none",
        ),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="The heading.", show_default="the corpus' name")] = None,
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write one page of HTML about the members: figures, charts, hard utterances, and votes by whoever reads it."""
    from ser_store.reporting.report import report as write

    # Whether these are known is for the library to say.
    choices: dict[str, Any] = {"steps": steps, "audio": audio}
    written = write(
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
    warn_cautions(written.cautions)
    print_result(written, json=json, form=None)
