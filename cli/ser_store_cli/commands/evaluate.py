"""evaluate, compare, steps, paper and calibrate."""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ser_store.common.display import Result
from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.completion import complete_members, complete_parts, complete_runs
from ser_store_cli.output import print_blocks, print_result, show_reports, warn, warn_cautions
from ser_store_h5.errors import StoreError

if TYPE_CHECKING:
    from ser_store.across.applying import Applied
    from ser_store_h5.store import Store


@command(form=True)
def evaluate(
    members: option.Members = None,
    on: option.On = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Report by group too: speaker, label or a column of the corpus.")
    ] = None,
    hard: Annotated[
        bool, typer.Option("--hard", help="List the utterances that no member, or only one, predicts correctly.")
    ] = (False),
    steps: option.Steps = "selected",
    exclude: option.Exclude = None,
    rule: option.Rule = "hard",
    tie: option.Tie = "lowest",
    interval: Annotated[
        str,
        typer.Option(
            "--interval",
            help="Method of the confidence intervals: wilson, bootstrap (resamples utterances), speaker (resamples "
            "whole speakers), or auto: speaker where at least three are known, else wilson.",
        ),
    ] = "auto",
    normalise: Annotated[
        str | None,
        typer.Option(
            "--normalise",
            help="Show the confusion matrix as shares of the true class (true), of the predicted class (predicted) "
            "or of all.",
        ),
    ] = None,
    names: Annotated[
        str, typer.Option("--names", help="Names of the metrics: plain, or paper, which adds the paper's UA and WA.")
    ] = "plain",
    into: Annotated[
        Path | None,
        typer.Option(
            "--in",
            help="Apply these runs and kept heads to the recordings of another store, and evaluate them there, on the "
            "classes that both have. What is missing there is extracted. If the models learned from none of its "
            "recordings, --on is all of them by default.",
        ),
    ] = None,
    labels: option.Labels = None,
    audio: option.Audio = None,
    split: option.Split = None,
    store: option.Store = option.HERE,
    form: str | None = None,
    json: bool = False,
) -> None:
    """Report accuracy and other metrics of members. Named members are reported in full, by class."""
    from ser_store.evaluation import evaluate as compute
    from ser_store.evaluation.hard_utterances import find_hard_utterances
    from ser_store.evaluation.tables import name_metrics
    from ser_store.metrics.confusion import check_normalisation
    from ser_store_h5.store import Store

    called = name_metrics(names)
    shares: Any = normalise  # whether it is known is for the library to say
    if shares is not None:
        check_normalisation(shares)
    opened = Store(store)
    # Whether these are known is for the library to say.
    choices: dict[str, Any] = {"steps": steps, "rule": rule, "tie": tie, "exclude": exclude or []}
    if into is None and (labels or audio):
        raise StoreError(f"`{'labels' if labels else 'audio'}` without `into`: expected another store; leave it out")
    if into is not None:
        done = _apply(opened, members or [], into, labels=labels, audio=audio)
        opened, members = Store(into), [one.member for one in done]
        choices["classes"] = [name for name in done[0].classes if all(name in one.classes for one in done)]
        if split is None and all(one.heard == 0 for one in done):
            on = on or "all"
    evaluations = compute(opened, members or [], on=on, split=split, by=by, interval=cast(Any, interval), **choices)
    warn_cautions((*evaluations.cautions, *evaluations.loss_cautions) if json else evaluations.list_cautions())
    found = find_hard_utterances(opened, members or [], on=on, split=split, **choices) if hard else None
    document = {
        **evaluations.to_json(normalise=shares),
        **({} if names == "plain" else {"names": called}),
        **({} if found is None else {"hard": found.to_json()}),
    }
    blocks = chain(evaluations.describe(called, normalise=shares), () if found is None else found.describe())
    print_result(evaluations, json=json, form=form, document=document, blocks=blocks)
    if not (members or json or form):
        groups = ", its groups" if by else ""
        print_blocks([f"\nName a member for all its figures, its classes{groups} and confusions."])


def _apply(
    store: "Store", members: list[str], into: Path, *, labels: Path | None, audio: Path | None
) -> "list[Applied]":
    """What the members have become in the other store."""
    from ser_store.across.applying import apply
    from ser_store_h5.store import Store

    if not members:
        raise StoreError("`into` without a member: expected the runs or kept heads that are applied, by name")
    show_reports()
    there = Store(into)
    done = [apply(store, one, there, labels=labels, audio=audio, progress=True) for one in members]
    for one in done:
        for line in one.describe():
            warn(str(line))
    return done


@command(form=True)
def compare(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Two or more members, ensembles such as a@1+b@2+c@3, or patterns (hubert-*).",
            autocompletion=complete_members,
            show_default="every run",
        ),
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Compare all others with this one only; best is the most accurate.")
    ] = None,
    unit: Annotated[
        str,
        typer.Option(
            "--unit", help="What counts as independent: utterance, speaker, or auto (speakers where they are known)."
        ),
    ] = "auto",
    rule: option.Rule = "hard",
    tie: option.Tie = "lowest",
    exclude: option.Exclude = None,
    alpha: Annotated[float, typer.Option("--alpha", help="Significance level of the verdicts.")] = 0.05,
    on: option.On = None,
    split: option.Split = None,
    store: option.Store = option.HERE,
) -> Result:
    """Test whether one member or ensemble is better than another on the same utterances."""
    from ser_store.evaluation.comparing import compare as compute

    # Whether these are known is for the library to say.
    choices: dict[str, Any] = {"unit": unit, "rule": rule, "tie": tie, "exclude": exclude or []}
    return compute(store, names or [], on=on, split=split, against=against, alpha=alpha, **choices)


@command(form=True)
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
    rule: option.Rule = "hard",
    tie: option.Tie = "lowest",
    on: option.On = None,
    split: option.Split = None,
    store: option.Store = option.HERE,
) -> Result:
    """Compare the cached steps of each run, and select one of them."""
    from ser_store.evaluation.steps import steps as compare

    choices: dict[str, Any] = {"rule": rule, "tie": tie}  # whether these are known is for the library to say
    return compare(store, runs or [], on=on, split=split, select=select, **choices)


@command(form=True)
def paper(
    on: option.On = None,
    split: option.Split = None,
    store: option.Store = option.HERE,
) -> Result:
    """Print the tables of Gavali & Verma (2025) from the six runs, beside the published figures."""
    from ser_store.reproduction.tables import paper as compute

    return compute(store, on=on, split=split)


@command()
def calibrate(
    members: Annotated[
        list[str],
        typer.Argument(
            help="Members with logits or other scores, or patterns (hubert-*).", autocompletion=complete_members
        ),
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
    on: option.On = None,
    split: option.Split = None,
    store: option.Store = option.HERE,
) -> Result:
    """Fit a temperature for each member on speakers that it does not score, and keep the result as a member."""
    from ser_store.ensembles.fitted.calibrate import calibrate as fit

    show_reports()
    return fit(store, members, on=on, split=split, select_on=select_on, run=run)
