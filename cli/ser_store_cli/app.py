"""The `serstore` command."""

import os
import sys

import typer

from ser_store_cli import INTERRUPTED
from ser_store_cli.command import app
from ser_store_cli.commands import (  # noqa: F401 - each adds its commands
    across,
    corpus,
    demo,
    evaluate,
    figures,
    finetune,
    heads,
    interchange,
    models,
    predict,
    reproduce,
    sharing,
    store,
    vote,
)
from ser_store_cli.help import describe_commands
from ser_store_cli.output import speaks_for_all, warn

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
