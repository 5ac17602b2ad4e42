"""Options that many commands share, and what every command does with a stated problem."""

import errno
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ser_store_cli.completion import complete_members, complete_parts, complete_runs, complete_splits
from ser_store_cli.output import name_options, speaking_for
from ser_store_h5.errors import SerstoreError
from ser_store_h5.names import is_on_hub

EXAMPLE = "example:"


def find_store(store: Path) -> Path:
    """Return where a store lies that is named on the command line, such as ``~/my.store`` or ``example:paper``."""
    place, is_example, name = str(store).partition(EXAMPLE)
    if place or not is_example:
        return Path(os.path.expanduser(store))  # noqa: PTH111 - `~x` may be a folder
    from ser_store.reproduction.example import find_example

    try:
        return find_example(name)
    except SerstoreError as problem:
        raise typer.BadParameter(str(problem)) from problem


StoreOption = Annotated[
    Path,
    typer.Option(
        "--store",
        envvar="SERSTORE",
        help="The store: its folder, a packed file, hub:OWNER/NAME, or example:paper and example:whisper-base, which "
        "come with the package.",
        show_default="./ser.store",
        callback=find_store,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document instead of tables.")]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Print tables for a paper: latex (booktabs; caption, best in bold), markdown, or csv (all digits).",
        show_default="tables for a terminal",
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")]
OnOption = Annotated[
    str | None,
    typer.Option(
        "--on",
        help="The utterances to report on: train, valid, test, fold-1, …, or all.",
        show_default="test",
        autocompletion=complete_parts,
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="Which split of the corpus to use.",
        show_default="the store's default",
        autocompletion=complete_splits,
    ),
]
MembersArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="Members: run@step, or a run, which stands for its selected step.",
        show_default="every run",
        autocompletion=complete_members,
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option("--exclude", help="Leave out this member, run or pattern (hubert-*); repeat for several."),
]
AudioOption = Annotated[Path | None, typer.Option("--audio", help="The folder with the recordings.")]
LabelsOption = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        help="A label map, a TOML file that says which labels mean the same and which are dropped: "
        'angry = ["anger", "A"], drop = "rest".',
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option("--run", help="The name of the run.", show_default="the model's name", autocompletion=complete_runs),
]
CheckpointOption = Annotated[
    Path | None, typer.Option("--checkpoint", help="A folder with the model's weights; nothing is downloaded then.")
]
InitOption = Annotated[str, typer.Option("--init", help="Weights to begin with: pretrained or random.")]
RuleOption = Annotated[
    str,
    typer.Option(
        "--rule",
        help="How ensembles vote: hard (majority), soft (mean probability), soft-log (mean log-probability), or by "
        "weights that are fitted on other speakers, as vote has them: pool, stack or greedy-pool.",
    ),
]
TIE_HELP = (
    "How hard voting breaks ties: lowest (the first class), confidence (the most probable class), best (the answer of "
    "the most accurate member) or abstain (no answer, which is wrong)."
)
TieOption = Annotated[
    str,
    typer.Option(
        "--tie",
        help=TIE_HELP,
    ),
]

DEFAULT_STORE = Path("ser.store")

_NO_MEMORY = "memory ran out: expected more of it; end what else takes memory here, or lift the limit on it"
_NO_THREAD = (
    "no further thread or process could be started: expected memory for one, and fewer than `ulimit -u` allows; end "
    "what else runs here, or set OMP_NUM_THREADS=1"
)


def split_names(text: str) -> Any:
    """Return the names in ``a,b``; the library says which ones there are."""
    return [one.strip() for one in text.split(",")]


def stated(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a stated problem into one line on stderr and exit code 1."""

    @functools.wraps(command)
    def run(*arguments: Any, debug: bool = False, **options: Any) -> None:
        if options.get("json") and options.get("form") is not None:
            raise typer.BadParameter("--json and --format are given: expected one of them")
        with speaking_for(command):
            _run(*arguments, debug=debug, **_take_store(options))

    def _run(*arguments: Any, debug: bool, **options: Any) -> None:
        try:
            if (form := options.get("form")) is not None:
                from ser_store.common.typesetting import check_format

                check_format(form)
            command(*arguments, debug=debug, **options)
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

    return run


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


def speaks_for_all() -> bool:
    """Return whether this process is the one to say why the command ends; under ``torchrun``, the first that has to."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return True
    from ser_store.training.distributed.processes import claim_last_word

    return claim_last_word()


def show_reports() -> None:
    """Send what the library reports while it works, such as weights that were missing, to stderr."""
    import logging

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
