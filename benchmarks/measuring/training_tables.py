"""What training and extraction took, as tables."""

import os
from textwrap import fill

from measuring.extracting import ExtractionComparison
from measuring.running import RuntimeComparison
from measuring.surroundings import describe_machine
from ser_store.common.display import Table, format_bytes
from ser_store.recipes.recipe import Recipe

# Of each core; what measures keeps one of them busy itself when it begins.
QUIET_LOAD = 0.6


def print_runtimes(compared: RuntimeComparison) -> None:
    """Seconds of each backbone, and what Table 5 says."""
    recipe = compared.recipe
    hardware = ", ".join(compared.hardware["gpus"]) or f"{describe_machine()['processor']}, {compared.threads} threads"
    print(
        f"{compared.corpus}: {compared.n_train} utterances trained on, {compared.n_evaluated} evaluated; "
        f"{_describe_computing(recipe)}; "
        f"random weights, seed {recipe.seed}; {hardware}"
    )
    rows: list[list[object]] = []
    for one in compared.runtimes:
        published = one.published or {}
        rows.append([one.model])
        for name in ("per_100_steps", "total", "to_selected_step"):
            rows[-1] += [_maybe(one.extrapolated[name]), _maybe(published.get(name))]
        if one.notebook is not None:
            rows[-1].append(_maybe(one.notebook["extrapolated"]["total"]))
    header = ["model", "100 steps", "Table 5", "in all", "Table 5", "to selected step", "Table 5"]
    with_notebook = compared.notebook is not None
    print(Table([*header, "notebook in all"] if with_notebook else header, rows))
    print()
    rows = []
    for one in compared.runtimes:
        rows.append([one.model, one.steps, f"{one.utterances_per_second:,.3g}", f"{one.floor_share:.0%}"])
        rows[-1].append(format_bytes(one.peak_bytes))
        if one.notebook is not None and one.ratio is not None:
            rows[-1] += [f"{one.notebook['utterances_per_second']:,.3g}", f"× {one.ratio:.2f}"]
            rows[-1].append(f"{min(one.ratios):.2f} to {max(one.ratios):.2f}")
    header = ["model", "steps timed", "utterances/s", "of the floor", "memory"]
    print(Table([*header, "notebook/s", "ratio", "of pairs"] if with_notebook else header, rows))
    print()
    for paragraph in _explain_runtimes(compared):
        print(fill(paragraph, 118))


def _describe_computing(recipe: Recipe) -> str:
    compiled = ", compiled" if recipe.torch_compile else ""
    size, times = recipe.per_device_train_batch_size, recipe.gradient_accumulation_steps
    return f"{recipe.precision}{compiled}, batches of {size} accumulated {times} times"


def _explain_runtimes(compared: RuntimeComparison) -> list[str]:
    """What of the table was measured, and what was not."""
    plan = compared.plan
    lines = [
        "Measured here: utterances/s of training, the median of all stretches of steps but the first; one evaluation, "
        "one checkpoint, the start-up; memory, on the GPU, else what the process grew by.",
        f"Extrapolated from these: 100 steps with their evaluation and checkpoint, and the {plan.steps:,} steps of the "
        f"recipe on {plan.n_train:,} utterances with {plan.count_evaluations(plan.steps)} evaluations of "
        f"{plan.n_evaluated}, start-up and the decoding of all recordings included.",
        "of the floor: the floating-point operations forth and back of the very batches, at the "
        f"{compared.matrix_rate / 1e9:,.0f} GFLOP/s that a product of matrices reached here in "
        f"{compared.recipe.precision}, over the time they took.",
        "Table 5: Gavali & Verma, IJDMMM 17(2), 2025, on RAVDESS, on a machine of theirs.",
    ]
    if compared.notebook is not None:
        differences = [one.loss_difference for one in compared.runtimes if one.loss_difference is not None]
        losses = f", to the same losses within {max(differences):.0e}" if differences else ""
        upsampled = f"; {compared.upsampled} recordings were brought to 48 kHz for that" if compared.upsampled else ""
        lines.append(
            f"notebook: the published way in {_describe_computing(compared.notebook)}, by turns in the same process, "
            f"on the same utterances{losses}; each of them is resampled from 48 kHz whenever it is asked for"
            f"{upsampled}, and what the checkpoints say is computed once more in the end. ratio: of utterances/s, the "
            "median of all pairs of stretches."
        )
    if compared.load is not None and compared.load > QUIET_LOAD * (os.cpu_count() or 1):
        lines.append(
            f"The machine was busy when this began (load {compared.load:.1f}): measure again when it is quiet, the "
            "more so where the ratios of pairs are far apart."
        )
    return lines


class _Seconds(float):
    def __str__(self) -> str:
        return f"{float(self):,.0f} s" if self >= 100 else f"{float(self):.3g} s"


def _maybe(seconds: float | None) -> _Seconds | str:
    return "–" if seconds is None else _Seconds(seconds)


def print_rates(compared: ExtractionComparison) -> None:
    """Utterances per second of each backbone."""
    print(f"{compared.corpus}, decoding included, batches of {compared.batch_size}, random weights")
    rows = [
        [one.model, one.utterances, _Seconds(one.seconds), f"{one.per_second:,.1f}", format_bytes(one.peak_bytes)]
        for one in compared.rates
    ]
    print(Table(["model", "utterances", "time", "per second", "memory"], rows))
