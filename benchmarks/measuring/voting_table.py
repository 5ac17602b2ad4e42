"""The voters' results, as tables."""

from dataclasses import dataclass

from measuring.voting import Rate, VoteComparison
from ser_store.common.display import Table


def print_voting(compared: VoteComparison) -> None:
    """Ensembles per second of each, beside the search that one writes in numpy."""
    posed = compared.posed
    print(
        f"{posed.k} of {posed.m} members, {posed.n:,} utterances, {posed.n_classes} classes: "
        f"{posed.total:,} ensembles\nall searches agree on {compared.checked:,} of them by each rule, and the "
        "libraries on those they voted"
    )
    for rule in dict.fromkeys(rate.rule for rate in compared.rates):
        print(f"\n{rule} voting")
        rows = [_list_figures(rate, posed.total) for rate in compared.rates if rate.rule == rule]
        print(Table(["", "threads", "voted", "ns/ensemble", "ensembles/s", "ratio", "all"], rows))
    print("\nratio: ensembles per second over those of the search that one writes in numpy. ~ extrapolated")


def _list_figures(rate: Rate, total: int) -> list[object]:
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
