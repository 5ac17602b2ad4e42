"""push-store."""

from pathlib import Path
from typing import Annotated

import typer

from ser_store_cli.options import DEFAULT_STORE, DebugOption, JsonOption, StoreOption, stated
from ser_store_cli.output import print_blocks, print_json


def register(app: typer.Typer) -> None:
    app.command(name="push-store")(push_store)


@stated
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
    without_pooled: Annotated[
        bool, typer.Option("--without-pooled", help="Leave out the representations. Evaluating and voting need none.")
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option("--licence", help="The licence by the hub's name, as cc-by-nc-sa-4.0.", show_default="not stated"),
    ] = None,
    citation: Annotated[
        Path | None,
        typer.Option("--citation", help="A file with what is to be cited, in Markdown or BibTeX (.bib)."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Publish a store on the Hugging Face hub: tables, the packed store, and a card with protocol and figures.

    It is then read by --store hub:OWNER/NAME. No recordings go there, and no folders of this machine.
    """
    from ser_store.hub.push_store import push_store as push

    cited = None if citation is None else _read_citation(citation)
    done = push(
        store,
        repository,
        private=not public,
        with_pooled=not without_pooled,
        licence=licence,
        citation=cited,
        progress=True,
    )
    if json:
        print_json(done.to_json())
    else:
        print_blocks(done.describe())


def _read_citation(path: Path) -> str:
    text = path.read_text(encoding="utf-8").strip()
    return f"```bibtex\n{text}\n```" if path.suffix == ".bib" else text
