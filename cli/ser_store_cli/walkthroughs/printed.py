"""Commands that a command runs: each is printed before it runs, so that it can be run again by hand."""

import shlex
from collections.abc import Callable
from typing import Any

import typer

from ser_store_cli.output import print_styled

Runner = Callable[[list[str]], int]


def make_runner(app: typer.Typer) -> Runner:
    """Return a function that runs one ``serstore`` command in this process and returns its exit code."""

    def run(words: list[str]) -> int:
        code: Any = app(words, standalone_mode=False)
        return code or 0

    return run


def print_title(title: str) -> None:
    print_styled(f"\n── {title}", bold=True)


def run_printed(words: list[str], *, run: Runner) -> int:
    """Print a command, run it, and return its exit code."""
    print_styled(f"$ serstore {shlex.join(words)}", dim=True)
    return run(words)
