"""vote."""

from typing import TYPE_CHECKING, Annotated

import typer

from ser_store_cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    MembersArgument,
    OnOption,
    SplitOption,
    StoreOption,
    stated,
    warn,
)
from ser_store_cli.output import Percent, format_interval, print_json, print_table

if TYPE_CHECKING:
    from ser_store.ensembles import VoteReport


def register(app: typer.Typer) -> None:
    app.command()(vote)


@stated
def vote(
    members: MembersArgument = None,
    k: Annotated[int | None, typer.Option("--k", help="Members of an ensemble. [default: all candidates]")] = None,
    all_combos: Annotated[bool, typer.Option("--all-combos", help="Search every ensemble of k candidates.")] = False,
    steps: Annotated[
        str, typer.Option("--steps", help="Candidates: the selected step of each run, or all.")
    ] = "selected",
    rule: Annotated[str, typer.Option("--rule", help="hard (plurality), soft (mean probability), soft-log.")] = "hard",
    tie: Annotated[str, typer.Option("--tie", help="lowest, confidence, best or abstain.")] = "lowest",
    min_accuracy: Annotated[float, typer.Option("--min-accuracy", help="Leave out candidates below it.")] = 0.0,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the best to show.")] = 20,
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Vote one ensemble, or search all k-member ensembles of the candidates."""
    from ser_store.ensembles import vote as search
    from ser_store.progress import bar
    from ser_store_h5.store import Store

    report = search(
        Store(store),
        members or [],
        k=k,
        all_combos=all_combos,
        steps=steps,
        rule=rule,
        tie=tie,
        min_accuracy=min_accuracy,
        on=on,
        split=split,
        top=top,
        progress=bar,
    )
    if not report.search.complete:
        warn(f"interrupted: the best of the first {report.search.searched:,} ensembles")
    if json:
        print_json(report.to_json())
    else:
        print_vote(report)
    if not report.search.complete:
        raise KeyboardInterrupt


def print_vote(report: "VoteReport") -> None:
    """The best ensembles, the gain over the best single member, and what is left of it after correction."""
    from ser_store.intervals import wilson_interval

    search = report.search
    rows = [
        [
            place,
            f"{ensemble.score.correct}/{ensemble.score.n}",
            Percent(ensemble.score.accuracy),
            Percent(ensemble.score.balanced_accuracy),
            format_interval(wilson_interval(ensemble.score.correct, ensemble.score.n)),
            ensemble.score.ties,
            " ".join(ensemble.members),
        ]
        for place, ensemble in enumerate(report.ensembles, start=1)
    ]
    ties = f", ties to {search.tie}" if search.rule == "hard" else ""
    typer.echo(f"{search.k} of {len(report.candidates)} members on {report.on}, {search.rule} voting{ties}")
    print_table(["", "correct", "accuracy", "balanced accuracy", "95% interval", "ties", "members"], rows)
    name, accuracy = report.best_single
    typer.echo(f"\n{search.searched:,} ensembles searched in {search.seconds:.3g} s")
    gain = f"{report.gain * 100:+.2f} points"
    typer.echo(f"best member alone: {name} with {Percent(accuracy)}; gain of the best ensemble: {gain}")
    if report.selection is not None and search.searched > 1:
        typer.echo(
            f"chosen on the utterances it is reported on: apparent {Percent(report.selection.apparent)}, corrected "
            f"{Percent(report.selection.corrected)} ({report.selection.method}, {report.selection.repeats} repeats)"
        )
