"""calibrate."""

from typing import Annotated

import typer

from ser_store_cli.completion import complete_members, complete_parts
from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    OnOption,
    SplitOption,
    StoreOption,
    show_reports,
    stated,
    warn_cautions,
)
from ser_store_cli.output import print_blocks, print_json


def register(app: typer.Typer) -> None:
    app.command()(calibrate)


@stated
def calibrate(
    members: Annotated[
        list[str],
        typer.Argument(help="Members with logits or other scores.", autocompletion=complete_members),
    ],
    select_on: Annotated[
        str | None,
        typer.Option(
            "--select-on",
            help="Fit on this part, and score all that the members cover.",
            show_default="other speakers of --on",
            autocompletion=complete_parts,
        ),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="The name of the new run.", show_default="SOURCE-calibrated")
    ] = None,
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Fit a temperature for each member on speakers that it does not score, and keep the result as a member."""
    from ser_store.ensembles.fitted.calibrate import calibrate as fit

    show_reports()
    done = fit(store, members, on=on, split=split, select_on=select_on, run=run)
    warn_cautions(done.cautions)
    if json:
        print_json(done.to_json())
    else:
        print_blocks(done.describe())
