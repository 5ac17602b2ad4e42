"""The `serstore` command."""

import os
import sys

import typer

from ser_store_cli import INTERRUPTED
from ser_store_cli.commands import across as across_commands
from ser_store_cli.commands import calibrate as calibrate_command
from ser_store_cli.commands import compare as compare_command
from ser_store_cli.commands import corpus as corpus_commands
from ser_store_cli.commands import demo as demo_command
from ser_store_cli.commands import evaluate as evaluate_command
from ser_store_cli.commands import finetune as finetune_command
from ser_store_cli.commands import head as head_command
from ser_store_cli.commands import interchange as interchange_commands
from ser_store_cli.commands import models as model_commands
from ser_store_cli.commands import paper as paper_command
from ser_store_cli.commands import plot as plot_command
from ser_store_cli.commands import predict as predict_command
from ser_store_cli.commands import push_store as push_store_command
from ser_store_cli.commands import report as report_command
from ser_store_cli.commands import reproduce as reproduce_command
from ser_store_cli.commands import steps as steps_command
from ser_store_cli.commands import store as store_commands
from ser_store_cli.commands import sweep as sweep_command
from ser_store_cli.commands import vote as vote_command
from ser_store_cli.help import describe_commands
from ser_store_cli.options import speaks_for_all, warn

app = typer.Typer(
    name="serstore",
    help="Fine-tune speech transformers for emotion recognition once; answer every later question from a file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    corpus_commands,
    finetune_command,
    model_commands,
    store_commands,
    interchange_commands,
    push_store_command,
    evaluate_command,
    compare_command,
    steps_command,
    vote_command,
    head_command,
    sweep_command,
    calibrate_command,
    across_commands,
    predict_command,
    plot_command,
    report_command,
    paper_command,
    reproduce_command,
    demo_command,
):
    module.register(app)
describe_commands(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from ser_store_h5 import __version__

        typer.echo(f"serstore {__version__}")
        raise typer.Exit


@app.callback()
def serstore(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Fine-tune speech transformers for emotion recognition once; answer every later question from a file."""


def main() -> None:
    """Entry point of the console script."""
    try:
        code = _run_with_others() if os.environ.get("WORLD_SIZE", "1") != "1" else _run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    # Here alone, since Ctrl-C may come before a command has begun or when it has ended.
    if code == INTERRUPTED and speaks_for_all():
        typer.echo("interrupted; what was written is complete", err=True)
    sys.exit(code)


def _run() -> int | str | None:
    try:
        app()
    except SystemExit as ended:
        return ended.code
    return 0


def _run_with_others() -> int:
    """The exit code; of several processes that were started with the same wrong words, the first says what is wrong."""
    try:
        return int(app(standalone_mode=False) or 0)
    except Exception as problem:
        # click's error of wrong usage, of which typer has a copy that it does not export.
        if not hasattr(problem, "format_message"):
            raise
        if speaks_for_all():
            warn(" ".join(f"{problem.format_message()} `serstore --help` says what is.".split()))
        return 2
