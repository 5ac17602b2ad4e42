"""What commands print: tables for people, JSON for programs."""

import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, get_type_hints

import typer
from typer.models import OptionInfo

from ser_store.common.display import Block, Picture, Result, Table
from ser_store.common.layout import wrap

# Functions of the library whose command has another name.
TWINS = {
    "describe_store": "info",
    "estimate": "finetune --dry-run",
    "export_onnx": "export-onnx",
    "finetune_all": "finetune --all",
    "finetune_seeds": "finetune --seeds N",
    "import_predictions": "import",
    "list_corpora": "corpora",
    "push_store": "push-store",
    "push_to_hub": "finetune --run RUN --resume --push-to-hub",
    "save_recipe": "finetune --print-recipe",
    "verify_store": "verify",
}
# Keys of JSON documents under which the library speaks.
_MESSAGES = ("cautions", "note", "notes", "problem", "skipped", "understood")
# Of a terminal that is narrower still, lines are wrapped by the terminal itself.
_NARROWEST = 40
_COMMAND: ContextVar[Callable[..., None] | None] = ContextVar("command", default=None)


def print_json(document: Any) -> None:
    typer.echo(json.dumps(_name_in_messages(document), ensure_ascii=False, indent=1, default=str))


def _name_in_messages(document: Any, *, is_message: bool = False) -> Any:
    """The document with :func:`name_options` for what is said, and nothing else: names and labels are the user's."""
    if isinstance(document, dict):
        return {key: _name_in_messages(value, is_message=key in _MESSAGES) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_name_in_messages(one, is_message=is_message) for one in document]
    return name_options(document) if is_message and isinstance(document, str) else document


def name_options(text: str, command: Callable[..., None] | None = None) -> str:
    """Say in the command's words what ``text`` says in the library's: options for parameters, commands for functions.

    Of `` `min_accuracy` is 92`` the command makes ``--min-accuracy is 92``, of `` `head()` makes one``
    `` `serstore head` makes one``, of `` `splits()` with `add` `` `` `serstore splits --add` ``. A parameter is found
    by the name of the command's parameter; what is neither stays as it is.

    Args:
        text: what the library says.
        command: whose options are meant. Default: the command that runs.
    """
    command = command or _COMMAND.get()
    if "`" not in text or command is None:
        return text
    options = {
        # In ``Annotated`` typer takes an option's first name for its default.
        name: f"--{name.replace('_', '-')}" if info.default is ... else str(info.default).partition("/")[0]
        for name, hint in get_type_hints(command, include_extras=True).items()
        for info in getattr(hint, "__metadata__", ())
        if isinstance(info, OptionInfo)
    }
    text = re.sub(r"`(\w+)\(\)` with `(\w+)`", lambda named: f"`serstore {named[1]} --{named[2]}`", text)
    text = re.sub(r"`(\w+)\(\)`", lambda named: f"`serstore {TWINS.get(named[1], named[1])}`", text)
    return re.sub(r"`(\w+)`", lambda named: options.get(named[1], named[0]), text)


@contextmanager
def speaking_for(command: Callable[..., None]) -> Iterator[None]:
    """Within, what is printed names the options of ``command``."""
    token = _COMMAND.set(command)
    try:
        yield
    finally:
        _COMMAND.reset(token)


def print_blocks(blocks: Iterable[Block]) -> None:
    """Print lines and tables as they come, as wide as the terminal is; in a pipe as wide as they are."""
    screen = find_screen()
    for block in blocks:
        if isinstance(block, Table):
            typer.echo(block.fit(screen.width, bold=screen.is_bold), color=screen.is_bold)
        elif screen.is_pictorial or not isinstance(block, Picture):
            for line in name_options(block).split("\n"):
                typer.echo("\n".join(wrap(line, screen.width)) if screen.width else line)


@dataclass(frozen=True)
class Screen:
    """What standard output can show.

    Attributes:
        width: characters of a line; None where it may be as long as it is.
        is_bold: whether best figures can be bold.
        is_pictorial: whether pictures made of letters can be seen.
    """

    width: int | None
    is_bold: bool
    is_pictorial: bool


def find_screen() -> Screen:
    """Ask the environment: ``COLUMNS``, ``NO_COLOR``, ``FORCE_COLOR`` and ``TERM``, and whether it is a terminal.

    Source: https://no-color.org, https://force-color.org
    """
    seen = sys.stdout.isatty()
    able = seen and os.environ.get("TERM") != "dumb"
    is_wide = not seen and not os.environ.get("COLUMNS", "").isdecimal()
    return Screen(
        width=None if is_wide else max(shutil.get_terminal_size().columns, _NARROWEST),
        is_bold=not os.environ.get("NO_COLOR") and (able or bool(os.environ.get("FORCE_COLOR"))),
        is_pictorial=(able or not seen) and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8",
    )


def print_styled(text: str, **style: Any) -> None:
    """Print a line in a style of click's, where styles can be seen."""
    typer.secho(text, color=find_screen().is_bold, **style)


def print_result(
    result: Result, *, json: bool, form: str | None = None, document: Any = None, blocks: Iterable[Block] | None = None
) -> None:
    """Print a result as JSON, as tables of a paper in the format ``form``, or as it looks in a terminal.

    Args:
        result: of the library.
        json: whether JSON was asked for.
        form: the format of tables, or None.
        document: what the JSON is. Default: the result's own.
        blocks: what is shown. Default: all that the result describes.
    """
    if json:
        print_json(result.to_json() if document is None else document)
    elif form is not None:
        from ser_store.common.typesetting import format_result

        known: Any = form  # whether it is, is for the library to say
        typer.echo(name_options(format_result(result, known, blocks=blocks)))
    else:
        print_blocks(result.describe() if blocks is None else blocks)


def print_either(document: Any, blocks: Iterable[Block], *, json: bool) -> None:
    """Print the document where JSON was asked for, else lines and tables."""
    if json:
        print_json(document)
    else:
        print_blocks(blocks)


def speaks_for_all() -> bool:
    """Return whether this process is the one to say why the command ends; under ``torchrun``, the first that has to."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return True
    from ser_store.training.distributed.processes import claim_last_word

    return claim_last_word()


def show_reports() -> None:
    """Send what the library reports while it works, such as weights that were missing, to stderr."""

    class Named(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return name_options(super().format(record))

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Named("serstore: %(message)s"))
    logger = logging.getLogger("ser_store")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def warn(text: str) -> None:
    """Print one line on stderr."""
    typer.echo(f"serstore: {name_options(text)}", err=True)


def warn_cautions(cautions: Iterable[str]) -> None:
    """Print why figures may mislead, a line each on stderr, before the figures."""
    for caution in cautions:
        warn(f"caution: {caution}")
