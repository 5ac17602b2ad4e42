"""bench vote."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ser_store_cli.options import DebugOption, JsonOption, show_reports, stated, warn
from ser_store_cli.output import print_json, print_table

if TYPE_CHECKING:
    from ser_store.measuring.voting import Rate, VoteComparison


def register(bench: typer.Typer) -> None:
    bench.command()(vote)


@stated
def vote(
    k: Annotated[int, typer.Option("--k", min=2, max=15, help="Members of an ensemble.")] = 5,
    runs: Annotated[int, typer.Option("--runs", min=1, max=1000, help="Runs that are drawn.")] = 6,
    steps: Annotated[int, typer.Option("--steps", min=1, max=1000, help="Steps of each run: all are candidates.")] = 14,
    utterances: Annotated[int, typer.Option("--utterances", min=1, max=1_000_000)] = 288,
    classes: Annotated[int, typer.Option("--classes", min=2, max=64)] = 8,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Searches; the median counts.")] = 5,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Search all ensembles beside pandas, scipy, scikit-learn and mlxtend, where they are installed, and numpy."""
    from ser_store.common.progress import bar
    from ser_store.measuring.electorate import Electorate
    from ser_store.measuring.voting import compare_voting

    show_reports()
    electorate = Electorate(runs=runs, steps=steps, n=utterances, n_classes=classes, k=k, seed=seed)
    compared = compare_voting(electorate, repeats=repeats, progress=bar)
    for name, library in compared.missing.items():
        warn(f"{name} is left out: pip install {library} to measure it")
    if json:
        print_json(compared.to_json())
    else:
        print_voting(compared)


def print_voting(compared: "VoteComparison") -> None:
    """Ensembles per second of each, beside the search that one writes in numpy."""
    electorate = compared.electorate
    typer.echo(
        f"{electorate.k} of {electorate.m} members, {electorate.n:,} utterances, {electorate.n_classes} classes: "
        f"{electorate.total:,} ensembles\nall searches agree on {compared.checked:,} of them by each rule, and the "
        "libraries on those they voted"
    )
    for rule in dict.fromkeys(rate.rule for rate in compared.rates):
        typer.echo(f"\n{rule} voting")
        rows = [_list_figures(rate, electorate.total) for rate in compared.rates if rate.rule == rule]
        print_table(["", "threads", "voted", "ns/ensemble", "ensembles/s", "ratio", "all"], rows)
    typer.echo("\nratio: ensembles per second over those of the search that one writes in numpy. ~ extrapolated")


def _list_figures(rate: "Rate", total: int) -> list[object]:
    return [
        rate.name,
        rate.threads,
        _Count(rate.measured),
        _Count(1e9 / rate.per_second),
        _Count(rate.per_second),
        _Count(rate.ratio),
        _Duration(total / rate.per_second, rate.measured == total),
    ]


class _Count(float):
    """A number with thousands separated, of small ones three digits."""

    def __str__(self) -> str:
        return f"{float(self):,.0f}" if self >= 100 else f"{float(self):.3g}"


@dataclass(frozen=True)
class _Duration:
    """Seconds, in the unit that fits."""

    seconds: float
    is_measured: bool

    def __str__(self) -> str:
        units = (("days", 86_400), ("h", 3600), ("min", 60), ("s", 1))
        name, size = next((unit for unit in units if self.seconds >= unit[1]), ("s", 1))
        return f"{'' if self.is_measured else '~ '}{self.seconds / size:.3g} {name}"
