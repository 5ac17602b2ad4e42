"""What every command does: it is one of `serstore`, prints what it found, and states a problem in one line."""

import errno
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ser_store.common.display import Result
from ser_store_cli.output import print_result, speaking_for, speaks_for_all, warn, warn_cautions
from ser_store_h5.errors import SerstoreError
from ser_store_h5.names import is_on_hub

Command = TypeVar("Command", bound=Callable[..., Result | None])

app = typer.Typer(
    name="serstore",
    help="Fine-tune speech transformers for emotion recognition once; answer every later question from a file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_FORM = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Print tables for a paper: latex (booktabs; caption, best in bold), markdown, or csv (all digits).",
        show_default="tables for a terminal",
    ),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document instead of tables.")]
_DEBUG = Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")]

_NO_MEMORY = "memory ran out: expected more of it; end what else takes memory here, or lift the limit on it"
_NO_THREAD = (
    "no further thread or process could be started: expected memory for one, and fewer than `ulimit -u` allows; end "
    "what else runs here, or set OMP_NUM_THREADS=1"
)


def command(
    name: str | None = None, *, form: bool = False, json: bool = True, listed: str = "", **settings: Any
) -> Callable[[Command], Command]:
    """Make a function a command of `serstore`.

    What it returns is printed, after its cautions; a function that prints for itself returns None. It need not have
    the options that every command has, but is given those it has.

    Args:
        name: default: the function's.
        form: whether it has the option ``--format``.
        json: whether it has the option ``--json``.
        listed: lines that its help shows as they are.
        settings: further ones of typer.
    """

    def add(function: Command) -> Command:
        signature = inspect.signature(function)
        common: dict[str, tuple[Any, Any]] = {"form": (_FORM, None)} if form else {}
        common |= {"json": (_JSON, False)} if json else {}
        common |= {"debug": (_DEBUG, False)}
        parameters = [one for one in signature.parameters.values() if one.name not in common]
        parameters += [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for option, (annotation, default) in common.items()
        ]

        @functools.wraps(function)
        def run(**options: Any) -> None:
            if options.get("json") and options.get("form") is not None:
                raise typer.BadParameter("--json and --format are given: expected one of them")
            with speaking_for(run):
                _run(function, {*signature.parameters}, options)

        described: Any = run
        described.__signature__ = signature.replace(parameters=parameters)
        described.__annotations__ = {one.name: one.annotation for one in parameters}
        text = f"{function.__doc__}\n\n\b\n{listed}" if listed else None
        app.command(name or function.__name__, help=text, **settings)(run)
        return function

    return add


def _run(function: Callable[..., Result | None], takes: set[str], options: dict[str, Any]) -> None:
    form, debug = options.get("form"), options["debug"]
    try:
        if form is not None:
            from ser_store.common.typesetting import check_format

            check_format(form)
        found = function(**{name: value for name, value in _take_store(options).items() if name in takes})
        if found is not None:
            warn_cautions(found.list_cautions())
            print_result(found, json=options["json"], form=form)
    except SerstoreError as problem:
        _fail(str(problem), debug)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except MemoryError:
        _fail(_NO_MEMORY, debug)
    except OSError as problem:
        _fail(_describe(problem), debug)
    except RuntimeError as problem:
        # Of a problem in a process that decodes, the text is the traceback there.
        if "can't start new thread" not in str(problem) and str(problem) != os.strerror(errno.EAGAIN):
            raise
        _fail(_NO_THREAD, debug)


def _take_store(options: dict[str, Any]) -> dict[str, Any]:
    """The options with a store on the hub that stands among the members: ``evaluate hub:me/ravdess``."""
    named = options.get("members") or []
    stores = [one for one in named if is_on_hub(one)]
    if not stores:
        return options
    return {**options, "members": [one for one in named if one not in stores], "store": Path(stores[-1])}


def _describe(problem: OSError) -> str:
    if problem.errno == errno.ENOMEM:
        return _NO_MEMORY
    if problem.errno == errno.EAGAIN and not problem.filename:  # of a fork
        return _NO_THREAD
    name = f"{problem.filename}: " if problem.filename else ""
    return f"{name}{problem.strerror or problem}; check that the file is there and may be read"


def _fail(problem: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    if speaks_for_all():
        warn(" ".join(problem.split()))
    raise typer.Exit(1) from None
