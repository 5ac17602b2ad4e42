"""What commands print: tables for people, JSON for programs."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from ser_store.common.display import Block, Table


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=1, default=str))


def print_blocks(blocks: Iterable[Block]) -> None:
    """Print lines and tables as they come."""
    for block in blocks:
        typer.echo(str(block))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    typer.echo(str(Table(header, rows)))
