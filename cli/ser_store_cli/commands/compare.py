"""compare."""

from typing import Annotated, Any

import typer

from ser_store_cli.completion import complete_members
from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    ExcludeOption,
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

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="Two or more members, or ensembles such as a@1+b@2+c@3.",
        autocompletion=complete_members,
        show_default="every run",
    ),
]


def register(app: typer.Typer) -> None:
    app.command()(compare)


@stated
def compare(
    names: NamesArgument = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Compare all others with this one only; best is the most accurate.")
    ] = None,
    unit: Annotated[
        str,
        typer.Option(
            "--unit", help="What counts as independent: utterance, speaker, or auto (speakers where they are known)."
        ),
    ] = "auto",
    rule: RuleOption = "hard",
    tie: TieOption = "lowest",
    exclude: ExcludeOption = None,
    alpha: Annotated[float, typer.Option("--alpha", help="Significance level of the verdicts.")] = 0.05,
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    form: FormatOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Test whether one member or ensemble is better than another on the same utterances."""
    from ser_store.evaluation.comparing import compare as compute
    from ser_store_h5.store import Store

    # Whether these are known is for the library to say.
    choices: dict[str, Any] = {"unit": unit, "rule": rule, "tie": tie, "exclude": exclude or []}
    comparison = compute(Store(store), names or [], on=on, split=split, against=against, alpha=alpha, **choices)
    warn_cautions(comparison.cautions)
    print_result(comparison, json=json, form=form)
