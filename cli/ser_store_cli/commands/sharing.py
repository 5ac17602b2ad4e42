"""export-onnx, pack, unpack, merge and push-store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ser_store.common.display import Result, format_bytes, format_count
from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.completion import complete_members
from ser_store_cli.output import print_either, warn

# Names that one line holds before it only counts them.
_NAMED = 5


@command("export-onnx")
def export_onnx(
    model: Annotated[
        str,
        typer.Argument(
            help="A fine-tuned run, or run@step, whose checkpoint is kept; or a folder or hub id of a pushed model.",
            autocompletion=complete_members,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file, such as model.onnx.")],
    store: option.Store = option.HERE,
) -> Result:
    """Write a fine-tuned model as one ONNX file, from waveforms to logits, for programs without torch."""
    from ser_store.errors import require

    require("transformers")
    from ser_store.hub.onnx_export import export_onnx as export

    return export(model, output, store=store)


@command()
def pack(
    file: Annotated[Path, typer.Argument(help="The file to write: a new FILE.h5.")],
    members: Annotated[
        list[str] | None,
        typer.Argument(
            help="Members: run@step, or a run, which stands for its selected step.",
            show_default="all members",
            autocompletion=complete_members,
        ),
    ] = None,
    without_pooled: option.WithoutPooled = False,
    store: option.Store = option.HERE,
    json: bool = False,
) -> None:
    """Put a store into one HDF5 file, which all reading commands accept as --store."""
    from ser_store_h5.pack.packing import pack as write

    done = write(store, file, members=members or None, with_pooled=not without_pooled, progress=True)
    line = f"packed {format_count(len(done.members), 'member')} into {file}, {format_bytes(done.bytes)}"
    print_either({"file": file, **vars(done)}, [line], json=json)


@command()
def unpack(
    file: Annotated[
        Path, typer.Argument(help="A packed store, written by `serstore pack`.", callback=option.find_store)
    ],
    store: option.Store = option.HERE,
    json: bool = False,
) -> None:
    """Turn a packed file into a store that can be written to, in the new folder --store."""
    from ser_store_h5.pack.packing import unpack as write

    members = write(file, store, progress=True).member_names()
    line = f"unpacked {format_count(len(members), 'member')} into {store}"
    print_either({"store": store, "members": members}, [line], json=json)


@command()
def merge(
    other: Annotated[Path, typer.Argument(help="The other store, of the same corpus: a folder or a packed file.")],
    rename: Annotated[
        list[str] | None,
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            help="Give a run, split or column of the other store a new name; repeat for several.",
        ),
    ] = None,
    store: option.Store = option.HERE,
    json: bool = False,
) -> None:
    """Add the runs, members, splits and columns of another store of the same corpus."""
    from ser_store_h5.pack.merging import merge as add

    done = add(store, other, rename=_parse_renamed(rename or []), progress=True)
    for run in done.kept_selections:
        warn(f"{run}: the other store had selected another step; the selection of {store} stays")
    changes = {name: getattr(done, name) for name in ("added", "replaced", "identical", "runs", "splits", "columns")}
    said = [f"added {_list(done.added, 'member')}"]
    said += [
        f"added {_list(found, noun)}" for noun, found in (("split", done.splits), ("column", done.columns)) if found
    ]
    said += [f"completed {_list(done.replaced, 'member')}"] if done.replaced else []
    said += [f"{format_count(len(done.identical), 'member')} there already, the same"] if done.identical else []
    print_either({"store": store, **changes}, ["; ".join(said)], json=json)


def _parse_renamed(pairs: list[str]) -> dict[str, str]:
    """New names by old ones."""
    from ser_store.errors import StoreError

    for pair in pairs:
        old, _, new = pair.partition("=")
        if not (old and new):
            raise StoreError(f"--rename {pair}: expected OLD=NEW")
    return dict(pair.split("=", 1) for pair in pairs)


def _list(names: Sequence[str], noun: str) -> str:
    rest = ", …" if len(names) > _NAMED else ""
    return format_count(len(names), noun) + (f" ({', '.join(names[:_NAMED])}{rest})" if names else "")


@command("push-store")
def push_store(
    repository: Annotated[
        str,
        typer.Argument(
            metavar="OWNER/NAME",
            help="The dataset repository: a new or empty one, or one with a store of this corpus, which is replaced.",
        ),
    ],
    public: Annotated[
        bool, typer.Option("--public", help="Let others see a repository that is made now.", show_default="private")
    ] = False,
    without_pooled: option.WithoutPooled = False,
    licence: Annotated[
        str | None,
        typer.Option("--licence", help="The licence by the hub's name, as cc-by-nc-sa-4.0.", show_default="not stated"),
    ] = None,
    citation: Annotated[
        Path | None,
        typer.Option("--citation", help="A file with what is to be cited, in Markdown or BibTeX (.bib)."),
    ] = None,
    store: option.Store = option.HERE,
) -> Result:
    """Publish a store on the Hugging Face hub: tables, the packed store, and a card with protocol and figures.

    It is then read by --store hub:OWNER/NAME. No recordings go there, and no folders of this machine.
    """
    from ser_store.hub.push_store import push_store as push

    cited = None if citation is None else _read_citation(citation)
    return push(
        store,
        repository,
        private=not public,
        with_pooled=not without_pooled,
        licence=licence,
        citation=cited,
        progress=True,
    )


def _read_citation(path: Path) -> str:
    text = path.read_text(encoding="utf-8").strip()
    return f"```bibtex\n{text}\n```" if path.suffix == ".bib" else text
