"""paper."""

import typer

from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    FormatOption,
    JsonOption,
    OnOption,
    SplitOption,
    StoreOption,
    stated,
    warn_cautions,
)
from ser_store_cli.output import print_result


def register(app: typer.Typer) -> None:
    app.command()(paper)


@stated
def paper(
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Print the tables of Gavali & Verma (2025) from the six runs, beside the published figures."""
    from ser_store.reproduction.tables import paper as compute

    tables = compute(store, on=on, split=split)
    warn_cautions(tables.cautions)
    print_result(tables, json=json, form=form)
