"""steps."""

from typing import Annotated, Any

import typer

from ser_store_cli.completion import complete_runs
from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    FormatOption,
    JsonOption,
    OnOption,
    RuleOption,
    SplitOption,
    StoreOption,
    TieOption,
    stated,
    warn_cautions,
)
from ser_store_cli.output import print_result


def register(app: typer.Typer) -> None:
    app.command()(steps)


@stated
def steps(
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            help="The run, or runs a+b+c that vote at each step that all have; repeat for several.",
            show_default="every run",
            autocompletion=complete_runs,
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            "--select",
            help="Select a step and record it in the run: best (highest accuracy), min-loss (lowest evaluation loss), "
            "divergence (lowest evaluation loss before it parts from the training loss), last, or a number.",
        ),
    ] = None,
    rule: RuleOption = "hard",
    tie: TieOption = "lowest",
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare the cached steps of each run, and select one of them."""
    from ser_store.evaluation.steps import steps as compare
    from ser_store_h5.store import Store

    choices: dict[str, Any] = {"rule": rule, "tie": tie}  # whether these are known is for the library to say
    comparison = compare(Store(store), runs or [], on=on, split=split, select=select, **choices)
    warn_cautions(comparison.cautions)
    print_result(comparison, json=json, form=form)
