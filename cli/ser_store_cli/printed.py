"""Commands that a command runs: each is printed before it runs, so that it can be run again by hand."""

import shlex
from typing import Any

from ser_store_cli.command import app
from ser_store_cli.output import print_styled


def print_title(title: str) -> None:
    print_styled(f"\n── {title}", bold=True)


def run_printed(*words: str) -> int:
    """Print a ``serstore`` command, run it in this process, and return its exit code."""
    print_styled(f"$ serstore {shlex.join(words)}", dim=True)
    code: Any = app(list(words), standalone_mode=False)
    return code or 0
