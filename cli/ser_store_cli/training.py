"""What finetune does and prints once its options are known: estimates, several models, the run, its publication."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from ser_store.common.display import Table
from ser_store_cli.output import print_blocks, print_json, warn, warn_cautions

if TYPE_CHECKING:
    from ser_store.recipes.recipe import Recipe
    from ser_store_h5.runs import RunRecord
    from ser_store_h5.store import Store


def print_dry_run(
    store: "Store", model: str | None, resolved: "Recipe | None", places: Mapping[str, Any], *, json: bool
) -> None:
    """What the run would take, or each of the paper's six where no model is named."""
    from ser_store.errors import SerstoreError
    from ser_store.reproduction.reproduce import list_published_models
    from ser_store.training.distributed.processes import count_processes, is_main
    from ser_store.training.estimate import describe_estimates, estimate

    estimates, problems = [], []
    for one in list_published_models() if model is None else [model]:
        try:
            estimates.append(estimate(store, one, recipe=resolved, **places))
        except SerstoreError as problem:
            if model is not None or count_processes() > 1:
                raise
            problems.append(str(problem))
    if is_main():
        if json:
            print_json({"estimates": [one.to_json() for one in estimates]})
        else:
            print_blocks(describe_estimates(estimates))
    for line in problems:
        warn(line)
    if problems:
        raise typer.Exit(1)


def train_all(store: "Store", resolved: "Recipe | None", places: Mapping[str, Any], *, json: bool) -> None:
    """Train the paper's six, and say how each ended."""
    from ser_store.reproduction.reproduce import finetune_all
    from ser_store.training.distributed.processes import is_main

    outcomes = finetune_all(store, recipe=resolved, **places, progress=True)
    if is_main():
        if json:
            print_json({"models": [one.to_json() for one in outcomes]})
        else:
            print_blocks([Table(["model", "run", "outcome"], [[one.model, one.run, one.outcome] for one in outcomes])])
            for one in outcomes:
                if one.problem:
                    warn(f"{one.model}: {one.problem}")
    if any(one.problem for one in outcomes):
        raise typer.Exit(1)


def train_one(
    store: "Store", model: str | None, request: Mapping[str, Any], *, push_to_hub: str | None, json: bool
) -> None:
    """Train a run, say how it went, and publish it where that is asked for."""
    from ser_store.training.distributed.processes import is_main
    from ser_store.training.finetune import finetune

    if push_to_hub is not None and is_main():
        from ser_store.backbones.description import refuse_speaker_head
        from ser_store.hub.push import reserve_repository

        if request["recipe"] is not None:
            refuse_speaker_head(request["recipe"].classification_head, push_to_hub)
        reserve_repository(push_to_hub)
    record = finetune(store, model, **request, progress=True)
    if not is_main():
        return
    if json:
        published = _push(store, record.run, push_to_hub)
        print_json({**record.to_json(), "members": store.member_names(record.run), **published})
        return
    _print_run(store, record)
    _push(store, record.run, push_to_hub)


def train_seeds(store: "Store", model: str | None, seeds: int, request: Mapping[str, Any], *, json: bool) -> None:
    """Train a run with each seed, and say how far they differ."""
    from ser_store.evaluation import evaluate
    from ser_store.evaluation.tables import tabulate_evaluations
    from ser_store.training.distributed.processes import is_main
    from ser_store.training.seeds import finetune_seeds

    records = finetune_seeds(store, model, seeds=seeds, **request, progress=True)
    if not is_main():
        return
    on, split = (records[0].details[name] for name in ("on", "split"))
    found = evaluate(store, [name for one in records for name in _list_runs(store, one)], on=on, split=split)
    warn_cautions((*found.cautions, *(found.loss_cautions if json else ())))
    if json:
        print_json({"runs": [one.to_json() for one in records], **found.to_json()})
    else:
        print_blocks(tabulate_evaluations(found))


def _push(store: "Store", run: str, repository: str | None) -> dict[str, Any]:
    """Publish a run where that is asked for; what a JSON document says of it."""
    if repository is None:
        return {}
    from ser_store.hub.push import push_to_hub

    warn(f"{run} goes to {repository}; it is whole in the store, whatever becomes of that")
    published = push_to_hub(store, run, repository)
    warn(f"{published.member} is at {published.url}")
    return {"published": vars(published)}


def _print_run(store: "Store", record: "RunRecord") -> None:
    """How long the run took, why it stopped if it did so early, and all its steps."""
    from ser_store.evaluation.steps import steps as compare

    typer.echo(f"{record.run}: {record.details['steps_done']} steps in {record.details['seconds']:.0f} s")
    stopped = record.details.get("stopped_early")
    if stopped:
        best = f"{stopped['metric']} is not better than {stopped['best']:.4g} at step {stopped['best_step']}"
        typer.echo(f"stopped early: {best}, for {stopped['patience']} evaluations")
    comparison = compare(store, [record.run], on=record.details["on"], split=record.details["split"])
    warn_cautions(comparison.cautions)
    print_blocks(comparison.describe())
    if record.details.get("fold") == "all":
        _print_folds(store, record)


def _print_folds(store: "Store", record: "RunRecord") -> None:
    """The figures of a run that is pooled over folds, and of the steps that were selected in them."""
    from ser_store.evaluation import evaluate

    found = evaluate(store, _list_runs(store, record), on="all")
    for one in found.members:
        if one.folds is not None:
            typer.echo(f"\n{one.member}: {one.metrics.accuracy:.2%} of all {one.metrics.n} utterances")
            print_blocks(one.folds.describe())


def _list_runs(store: "Store", record: "RunRecord") -> list[str]:
    """A run, and that of the steps that were selected in its folds, where there is one."""
    from ser_store.evaluation.folds import name_selected

    chosen = name_selected(record.run)
    return [record.run, *([chosen] if store.has_run(chosen) else [])]
