"""Pages made from what they describe: one for each command, and one for each group of functions.

They are written beside the pages that are written by hand, into `commands/` and `api/`, when the site is built.
"""

import inspect
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

import ser_store as ss
from ser_store_cli.app import app
from ser_store_cli.help import EXAMPLES, PANELS
from ser_store_cli.output import TWINS

ABOUT_STORES = "Stores, members, and values that functions take"
ERRORS = "Errors"


def write_reference(docs: Path) -> None:
    """Write the pages of all commands and of all public names into ``docs``."""
    commands: Mapping[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    pages = {f"commands/{name}.md": describe_command(name, commands[name]) for name in commands}
    pages["commands/index.md"] = list_commands(commands)
    groups = group_names()
    pages |= {f"api/{slug(title)}.md": describe_names(title, names) for title, names in groups.items()}
    pages["api/index.md"] = list_names(groups)
    for folder in ("commands", "api"):
        shutil.rmtree(docs / folder, ignore_errors=True)
        (docs / folder).mkdir()
    for name, text in pages.items():
        (docs / name).write_text(text, encoding="utf-8")


def find_command(function: str) -> str:
    """Return the command that is the twin of a function, as far as there is one."""
    return TWINS.get(function, function).split()[0]


def slug(title: str) -> str:
    return "-".join(re.findall("[a-z]+", title.lower()))


def escape(text: str) -> str:
    """Return what a help text says as Markdown shows it: options as code, and nothing else as markup."""
    told = " ".join(text.split()).split("`")
    told[::2] = [re.sub(r"([*_<>\[\]|])", r"\\\1", outside) for outside in told[::2]]
    told[::2] = [re.sub(r"(?<![\w-])--[a-z][a-z-]*", r"`\g<0>`", outside) for outside in told[::2]]
    return "`".join(told)


def describe_command(name: str, command: Any) -> str:
    """Return the page of a command: what it does, how it is called, examples, options."""
    summary, *further = re.split(r"\n\s*\n", inspect.cleandoc(command.callback.__doc__))
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    asked = (f"{one.name.upper()}{' …' if one.nargs == -1 else ''}" for one in arguments)
    shown = (text if one.required else f"[{text}]" for text, one in zip(asked, arguments, strict=True))
    usage = " ".join(["serstore", name, *shown, "[OPTIONS]"])
    lines = [f"# {name}", "", escape(summary), "", *(f"{escape(text)}\n" for text in further)]
    lines += ["```text", usage, "```", ""]
    if twins := [one for one in ss.__all__ if find_command(one) == name and callable(getattr(ss, one))]:
        lines += ["In Python: " + ", ".join(f"{{py:func}}`~ser_store.{one}`" for one in twins) + ".", ""]
    lines += ["## Examples", ""]
    for text, words in EXAMPLES[name]:
        lines += [f"{escape(text)}:", "", "```sh", f"serstore {words}", "```", ""]
    for title, parameters in (("Arguments", arguments), *group_options(options)):
        if parameters:
            lines += [f"## {title}", "", *(line for one in parameters for line in describe_parameter(one))]
    return "\n".join(lines)


def group_options(options: list[Any]) -> list[tuple[str, list[Any]]]:
    """Return the options by the panel in which the command's help shows them."""
    titles = dict.fromkeys(getattr(one, "rich_help_panel", None) or "Options" for one in options)
    return [
        (title, [one for one in options if (getattr(one, "rich_help_panel", None) or "Options") == title])
        for title in titles
    ]


def describe_parameter(parameter: Any) -> Iterator[str]:
    """Yield the entry of a definition list: the words of an option, its help, its default."""
    names = " / ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = parameter.name.upper()
    elif not parameter.is_flag:
        names += f" {parameter.metavar or parameter.type.name.upper().removesuffix(' RANGE')}"
    shown = parameter.show_default
    default = shown if isinstance(shown, str) else "" if parameter.default in (None, False, ()) else parameter.default
    yield f"`{names}`"
    yield f": {escape(parameter.help or '')}" + (f" Default: {escape(str(default))}." if str(default) else "")
    yield ""


def list_commands(commands: Mapping[str, Any]) -> str:
    """Return the list of all commands by what they are for."""
    lines = ["# Every command", "", "`serstore COMMAND --help` says the same in a terminal.", ""]
    for title, names in PANELS.items():
        lines += [f"## {title}", "", "| command | what it does |", "|---|---|"]
        for name in names:
            summary = inspect.cleandoc(commands[name].callback.__doc__).split("\n\n")[0]
            lines.append(f"| [{name}]({name}.md) | {escape(summary)} |")
        lines.append("")
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *sorted(commands), "```", ""])


def group_names() -> dict[str, list[str]]:
    """Return all public names in groups: those of the commands, values, errors."""
    panels = {name: title for title, names in PANELS.items() for name in names}
    titles = [*PANELS, ABOUT_STORES, ERRORS]
    groups: dict[str, list[str]] = {title: [] for title in titles}
    for name in (one for one in ss.__all__ if one != "__version__"):
        found = getattr(ss, name)
        is_error = inspect.isclass(found) and issubclass(found, Exception)
        groups[ERRORS if is_error else panels.get(find_command(name), ABOUT_STORES)].append(name)
    return {title: names for title, names in groups.items() if names}


def describe_names(title: str, names: list[str]) -> str:
    """Return the page of a group of public names."""
    lines = [f"# {title}", "", "```{eval-rst}", ".. py:currentmodule:: ser_store", ""]
    for name in names:
        if not inspect.isclass(getattr(ss, name)):
            lines += [f".. autofunction:: ser_store.{name}", ""]
        else:
            lines += [f".. autoclass:: ser_store.{name}", "   :members:", ""]
    return "\n".join([*lines, "```", ""])


def list_names(groups: Mapping[str, list[str]]) -> str:
    """Return the list of all public names."""
    lines = [
        "# The Python API",
        "",
        "`import ser_store as ss` offers these names. Stores and files are named by paths,",
    ]
    lines += ["members by names; a result prints as the command prints it, and `.to_frame()` of it is a table.", ""]
    for title, names in groups.items():
        lines += [f"## [{title}]({slug(title)}.md)", "", "| name | what it is |", "|---|---|"]
        for name in names:
            summary = inspect.cleandoc(getattr(ss, name).__doc__ or "").split("\n\n")[0]
            code = re.sub(r"``([^`]*)``|:\w+:`~?([^`]*)`", lambda one: one[1] or one[2].rpartition(".")[2], summary)
            lines.append(f"| {{py:obj}}`~ser_store.{name}` | {escape(code)} |")
        lines.append("")
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *map(slug, groups), "```", ""])
