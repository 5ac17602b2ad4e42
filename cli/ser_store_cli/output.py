"""What commands print: tables for people, JSON for programs."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, get_type_hints

import typer
from typer.models import OptionInfo

from ser_store.common.display import Block, Table


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=1, default=str))


def name_options(text: str, command: Callable[..., None]) -> str:
    """Put the options of ``command`` for its parameters that ``text`` names in backticks.

    The library speaks of parameters, the command of options: of the library's `` `min_accuracy` is 92`` the command
    makes ``--min-accuracy is 92``. A parameter of the library is found by the name of the command's parameter.
    """
    hints = get_type_hints(command, include_extras=True) if "`" in text else {}
    options = {
        name: str(info.default)  # in ``Annotated`` typer takes an option's name for its default
        for name, hint in hints.items()
        for info in getattr(hint, "__metadata__", ())
        if isinstance(info, OptionInfo)
    }
    return re.sub(r"`(\w+)`", lambda named: options.get(named[1], named[0]), text)


def print_blocks(blocks: Iterable[Block]) -> None:
    """Print lines and tables as they come."""
    for block in blocks:
        typer.echo(str(block))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    typer.echo(str(Table(header, rows)))
