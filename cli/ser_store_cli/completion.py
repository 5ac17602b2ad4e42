"""What a shell completes: the members, runs, splits and parts of the store that the line names."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ser_store_h5.store import Store


def _complete(list_names: "Callable[[Store, typer.Context], Iterable[str]]") -> Callable[..., list[str]]:
    """A completion by names of the store; none where there is no store that can be read."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        from ser_store_h5.errors import SerstoreError
        from ser_store_h5.names import is_on_hub
        from ser_store_h5.store import Store

        path = context.params.get("store") or os.environ.get("SERSTORE") or "ser.store"
        if is_on_hub(path):  # it may have to be fetched first
            return []
        try:
            names = list_names(Store(Path(path)), context)
            return sorted(name for name in names if name.startswith(incomplete))
        except (SerstoreError, OSError):
            return []

    return complete


def _list_members(store: "Store", context: typer.Context) -> Iterable[str]:
    return (*store.runs(), *store.member_names())


def _list_parts(store: "Store", context: typer.Context) -> Iterable[str]:
    split = context.params.get("split")
    return ("all", *(store.header.part_names(split) if store.header.splits else ()))


def complete_corpora(context: typer.Context, incomplete: str) -> list[str]:
    """The published corpora by name; of what is no name the files and folders that begin so."""
    from ser_store.corpora.published.page import list_pages

    named = [name for name in list_pages() if name.startswith(incomplete)]
    typed = Path(incomplete)
    return named or sorted(str(path) for path in typed.parent.glob("*") if path.name.startswith(typed.name))


complete_members = _complete(_list_members)
complete_runs = _complete(lambda store, context: store.runs())
complete_splits = _complete(lambda store, context: store.header.splits)
complete_parts = _complete(_list_parts)
