"""evaluate, steps, vote and head."""

from typing import TYPE_CHECKING, Annotated, Any

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
from ser_store_cli.output import Figure, Percent, format_interval, maybe_figure, print_json, print_table

if TYPE_CHECKING:
    from ser_store.ensembles import VoteReport
    from ser_store.evaluation import Evaluations, MemberEvaluation
    from ser_store.step_comparison import StepComparison


def register(app: typer.Typer) -> None:
    app.command()(evaluate)
    app.command()(steps)
    app.command()(vote)
    app.command()(head)


@stated
def evaluate(
    members: MembersArgument = None,
    on: OnOption = None,
    by: Annotated[str | None, typer.Option("--by", help="Also by speaker, label or a column.")] = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Accuracy, per-class report and confusion matrix of members. Named members are reported in full."""
    from ser_store.evaluation import evaluate as compute
    from ser_store_h5.store import Store

    evaluations = compute(Store(store), members or [], on=on, split=split, by=by)
    if json:
        print_json(evaluations.to_json())
        return
    print_evaluations(evaluations)
    for member in evaluations.members if members else ():
        _print_report(member)
    if not members:
        typer.echo("\nName a member for its per-class report and confusion matrix.")


def print_evaluations(evaluations: "Evaluations") -> None:
    """One line for each member, and for each group of it."""
    from ser_store.statistics import wilson_interval

    rows = []
    for member in evaluations.members:
        for group, metrics in [("", member.metrics), *member.groups.items()]:
            rows.append(
                [
                    member.member if not group else f"  {evaluations.by} {group}",
                    metrics.n,
                    metrics.correct,
                    Percent(metrics.accuracy),
                    Percent(metrics.balanced_accuracy),
                    format_interval(wilson_interval(metrics.correct, metrics.n)),
                ]
            )
    print_table([f"on {evaluations.on}", "n", "correct", "accuracy", "balanced accuracy", "95% interval"], rows)


def _print_report(member: "MemberEvaluation") -> None:
    scores, metrics = member.metrics.per_class, member.metrics
    per_class = [
        [
            name,
            *(Figure(column[index]) for column in (scores.precision, scores.recall, scores.f1)),
            scores.support[index],
        ]
        for index, name in enumerate(member.classes)
    ]
    averages = [
        [name, Figure(average.precision), Figure(average.recall), Figure(average.f1), metrics.n]
        for name, average in (("macro average", metrics.macro_avg), ("weighted average", metrics.weighted_avg))
    ]
    typer.echo(f"\n{member.member}")
    print_table(["class", "precision", "recall", "f1", "support"], per_class + averages)
    typer.echo("\nconfusion matrix: rows true, columns predicted")
    rows = [[name, *row] for name, row in zip(member.classes, metrics.confusion.tolist(), strict=True)]
    print_table(["", *member.classes], rows)


@stated
def steps(
    run: Annotated[list[str] | None, typer.Option("--run", help="A run; may be given several times.")] = None,
    select: Annotated[
        str | None, typer.Option("--select", help="best, divergence, min-loss, last or a step: record the choice.")
    ] = None,
    on: OnOption = None,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Compare the cached steps of each run, and select one."""
    from ser_store.step_comparison import steps as compare
    from ser_store_h5.store import Store

    comparison = compare(Store(store), run or [], on=on, split=split, select=select)
    if select is not None and comparison.on == "test":
        warn("selected on test: what is reported on test from now on is too high; splits with a valid part avoid that")
    if json:
        print_json(comparison.to_json())
    else:
        print_steps(comparison)


def print_steps(comparison: "StepComparison") -> None:
    """One table for all runs, the selected step of each marked."""
    rows = []
    for run in comparison.runs:
        for score in run.steps:
            mark = "←" if score.step == run.selected else ""
            reason = f" {run.reason}" if mark and run.reason else ""
            rows.append(
                [
                    run.run,
                    score.step,
                    Percent(score.accuracy),
                    Percent(score.balanced_accuracy),
                    maybe_figure(score.eval_loss),
                    maybe_figure(score.train_loss),
                    mark + reason,
                ]
            )
    header = [f"on {comparison.on}", "step", "accuracy", "balanced accuracy", "eval loss", "train loss", "selected"]
    print_table(header, rows)


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
    from ser_store.statistics import wilson_interval

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


@stated
def head(
    kind: Annotated[str, typer.Option("--kind", help="logreg, svm, mlp, knn or lda.")] = "logreg",
    from_: Annotated[
        list[str] | None, typer.Option("--from", help="A member; may be given several times. [default: all that fit]")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", help="The head's run. [default: source's run and kind]")] = None,
    cv: Annotated[str | None, typer.Option("--cv", help="speaker or utterance: score everyone out of fold.")] = None,
    folds: Annotated[int, typer.Option("--folds", help="Folds of --cv.")] = 5,
    fold: Annotated[int | None, typer.Option("--fold", help="The fold to score, for splits into folds.")] = None,
    seed: Annotated[int, typer.Option("--seed")] = 42,
    split: SplitOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Fit a lightweight classifier on cached representations; its scores are a member again."""
    from ser_store.evaluation import evaluate as compute
    from ser_store.heads import head as fit
    from ser_store.progress import bar
    from ser_store_h5.store import Store

    opened = Store(store)
    options: dict[str, Any] = {"split": split, "fold": fold, "cv": cv, "folds": folds, "seed": seed}
    fitted = fit(opened, from_ or [], kind=kind, run=run, progress=bar, **options)
    if json:
        print_json({"heads": [vars(one) for one in fitted]})
        return
    for one in fitted:
        scored = "out of fold" if cv else "outside the training part"
        typer.echo(f"{one.member}: fitted on {one.n_train} utterances of {one.source}, scored {one.n_scored} {scored}")
    on = "all" if cv else f"fold-{fold}" if fold else None
    print_evaluations(compute(opened, [one.member for one in fitted], on=on, split=split))
