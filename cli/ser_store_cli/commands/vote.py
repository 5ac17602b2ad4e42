"""vote."""

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.output import print_blocks, print_result, show_reports, warn, warn_cautions

if TYPE_CHECKING:
    from ser_store.ensembles import VoteReport


def parse_sizes(text: str | None) -> list[int] | None:
    """``3`` or ``3,5,7``."""
    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r}: expected a whole number, or several with commas between") from None


_CANDIDATES = {"rich_help_panel": "Candidates"}
_RULES = {"rich_help_panel": "Rules"}
_SEARCH = {"rich_help_panel": "Search"}
_CORRECTION = {"rich_help_panel": "Correction"}


@command(form=True)
def vote(
    members: option.Members = None,
    k: Annotated[
        str | None,
        typer.Option(
            "--k",
            metavar="K[,K…]",
            help="Members per ensemble; several sizes with commas.",
            show_default="all candidates",
            **_CANDIDATES,
        ),
    ] = None,
    all_combos: Annotated[
        bool, typer.Option("--all-combos", help="Search all ensembles of k candidates.", **_CANDIDATES)
    ] = False,
    steps: Annotated[
        str, typer.Option("--steps", help="Which steps of each run are candidates: selected or all.", **_CANDIDATES)
    ] = "selected",
    min_accuracy: Annotated[
        float, typer.Option("--min-accuracy", help="Leave out candidates whose accuracy is below this.", **_CANDIDATES)
    ] = 0.0,
    one_step_per_run: Annotated[
        bool, typer.Option("--one-step-per-run", help="Allow only one step of each run in an ensemble.", **_CANDIDATES)
    ] = False,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            help="Every ensemble must hold this member, run or pattern (hubert-*); repeat for several.",
            **_CANDIDATES,
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="Leave out this member, run or pattern; repeat for several.", **_CANDIDATES),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            "--rule",
            help="How to vote: hard (majority), soft (mean probability), soft-log (mean log-probability), "
            "weighted (hard, with accuracies as weights); or by what is fitted on other speakers: pool (a weight for "
            "each member's log-probabilities), greedy-pool (of members chosen there) or stack (logistic regression).",
            **_RULES,
        ),
    ] = "hard",
    tie: Annotated[
        str,
        typer.Option(
            "--tie",
            help=option.TIE_HELP,
            **_RULES,
        ),
    ] = "lowest",
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="Weights of the votes: accuracy, balanced-accuracy, w1,w2,… or a CSV of member and weight.",
            **_RULES,
        ),
    ] = None,
    objective: Annotated[
        str, typer.Option("--objective", help="Rank ensembles by accuracy or balanced-accuracy.", **_RULES)
    ] = "accuracy",
    search: Annotated[
        str,
        typer.Option(
            "--search",
            help="How to search: exhaustive (every ensemble votes), greedy (add one member after the other; may miss "
            "the best), pruned (the best without a vote of all), or auto (exhaustive, if ten minutes are enough).",
            **_SEARCH,
        ),
    ] = "auto",
    max_seconds: Annotated[
        float | None,
        typer.Option("--max-seconds", help="Stop a pruned search after this time, with the best so far.", **_SEARCH),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            help="What runs the search: auto, or on this machine batched (NumPy), bitsliced or summed (compiled), or "
            "over several workers loky, threading, dask or ray.",
            **_SEARCH,
        ),
    ] = "auto",
    threads: Annotated[
        int | None,
        typer.Option("--threads", help="Number of threads or workers.", show_default="all processors", **_SEARCH),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Address of the Dask scheduler, such as tcp://127.0.0.1:8786.", **_SEARCH),
    ] = None,
    select_on: Annotated[
        str | None,
        typer.Option(
            "--select-on",
            help="Choose the ensemble, or fit its weights, on this part and report it on --on. Needs no correction.",
            **_CORRECTION,
        ),
    ] = None,
    correction: Annotated[
        str,
        typer.Option(
            "--correct",
            help="How the best figure is corrected for having been chosen: bootstrap (choose on resampled utterances), "
            "halves (choose on one half, report on the other) or none.",
            **_CORRECTION,
        ),
    ] = "bootstrap",
    by: Annotated[
        str | None,
        typer.Option(
            "--correct-by",
            help="What the correction resamples: whole speakers (speaker), the groups of a column, or single "
            "utterances (utterance).",
            show_default="speaker",
            **_CORRECTION,
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option("--repeats", min=1, help="Repeats of the correction.", show_default="by size", **_CORRECTION),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the correction.", **_CORRECTION)] = 0,
    top: Annotated[
        int | None,
        typer.Option("--top", min=1, help="Number of ensembles to show.", show_default="10; 20 in JSON"),
    ] = None,
    diversity: Annotated[
        bool,
        typer.Option(
            "--diversity", help="Also report how different the members' errors are, and what each contributes."
        ),
    ] = False,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="Write the scores of all ensembles to a Parquet file.")
    ] = None,
    save: Annotated[
        str | None,
        typer.Option("--save", metavar="NAME", help="Keep the best ensemble as a member of this name."),
    ] = None,
    on: option.On = None,
    split: option.Split = None,
    store: option.Store = option.HERE,
    form: str | None = None,
    json: bool = False,
) -> None:
    """Let one ensemble vote, or find the best of all k-member ensembles.

    Ctrl-C ends the search with the best so far, or leaves out the correction; the exit code is 130.
    """
    sizes = parse_sizes(k)
    from ser_store.ensembles import Correction, Limits, Search, read_weights
    from ser_store.ensembles import vote as find_best

    show_reports()
    # Whether these are known is for the library to say.
    choices: dict[str, Any] = {"steps": steps, "rule": rule, "tie": tie, "objective": objective}
    page = _Page()
    report = find_best(
        store,
        members or [],
        k=sizes,
        all_combos=all_combos,
        **choices,
        weights=None if weights is None else read_weights(weights),
        on=on,
        split=split,
        select_on=select_on,
        top=top or (20 if json else 10),
        limits=Limits(
            min_accuracy=min_accuracy,
            one_step_per_run=one_step_per_run,
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
        ),
        search=Search(
            cast(Any, search),
            backend=cast(Any, backend),
            threads=threads,
            scheduler=scheduler,
            max_seconds=max_seconds,
        ),
        correction=Correction(cast(Any, correction), by=by, repeats=repeats, seed=seed),
        diversity=diversity,
        scores=scores,
        save=save,
        preview=page.begin if sys.stdout.isatty() and not json and form is None else None,
        progress=True,
    )
    page.warn(report)
    if not report.complete:
        done = "all ensembles are searched, but nothing is corrected"
        warn(f"interrupted: {done if report.is_searched else f'the best of the first {report.searched:,} ensembles'}")
    if json or form is not None:
        print_result(report, json=json, form=form)
    else:
        page.go_on(report)
        if scores is not None and report.complete:
            typer.echo(f"the scores of all ensembles are in {scores}")
        if report.saved is not None:
            typer.echo(f"the best is saved as {report.saved}")
    if not report.complete:
        raise KeyboardInterrupt


class _Page:
    """What is printed of a vote: on a terminal its beginning while the best ensemble is being corrected."""

    def __init__(self) -> None:
        self._cautions: tuple[str, ...] = ()
        self._n_printed = 0

    def warn(self, report: "VoteReport") -> None:
        """Print the cautions that have not been printed yet."""
        warn_cautions(caution for caution in report.cautions if caution not in self._cautions)
        self._cautions = report.cautions

    def begin(self, report: "VoteReport") -> None:
        """Print what is known before the correction."""
        self.warn(report)
        known = list(report.describe_best())
        print_blocks(known)
        self._n_printed = len(known)

    def go_on(self, report: "VoteReport") -> None:
        """Print the rest."""
        print_blocks(islice(report.describe(), self._n_printed, None))
