"""A store goes to the Hugging Face hub as a dataset: tables for everybody, the packed store for serstore, a card."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ser_store.common.display import Block, Result, format_bytes, format_count
from ser_store.errors import StoreError, require
from ser_store_h5.names import HUB
from ser_store_h5.pack.packing import pack
from ser_store_h5.places.published import PACK_NAME, RECORD_NAME
from ser_store_h5.progress import ProgressLike
from ser_store_h5.store import Store, StoreLike, open_store

if TYPE_CHECKING:
    from ser_store.hub.repository import Repository

_FORMAT_NAME, _FORMAT_VERSION = "ser-store/published", 1


@dataclass(frozen=True, repr=False)
class PublishedStore(Result):
    """A store on the hub.

    Attributes:
        repository: ``owner/name``.
        url: its address.
        commit: the commit that holds it.
        updated: whether a store was there already.
        members: the names of the members that are in it.
        bytes: of its files together.
    """

    repository: str
    url: str
    commit: str
    updated: bool
    members: tuple[str, ...]
    bytes: int

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore push-store`` prints."""
        done = "updated" if self.updated else "pushed"
        yield f"{done} {self.url}: {format_count(len(self.members), 'member')}, {format_bytes(self.bytes)}"
        yield f"read it with --store {HUB}{self.repository}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each member: where it is, and by which commit."""
        return [{"repository": self.repository, "commit": self.commit, "member": member} for member in self.members]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore push-store --json``."""
        return {**vars(self), "members": list(self.members)}


def push_store(
    store: StoreLike,
    repository: str,
    *,
    private: bool = True,
    with_pooled: bool = True,
    licence: str | None = None,
    citation: str | None = None,
    progress: ProgressLike = False,
) -> PublishedStore:
    """Publish a store on the Hugging Face hub as a dataset repository; ``hub:owner/name`` then reads it as a store.

    One commit holds the packed store, Parquet tables of the utterances and of what each member says, which the hub's
    viewer shows and the library ``datasets`` loads, and a card with protocol, figures and licence. There are no
    recordings in it, and no folders of this machine.

    Args:
        store: a store, or its path.
        repository: ``owner/name``; made now, still empty, or one with a store of the same corpus, which is replaced.
        private: whether others do not see a repository that is made now.
        with_pooled: whether representations are in the packed store; evaluating and voting need none.
        licence: what the hub calls it, such as ``cc-by-nc-sa-4.0``. Default: the card says that it is not stated.
        citation: how the corpus and its models are to be cited, as Markdown or BibTeX.
        progress: show a bar over the members as they are packed; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Raises:
        StoreError: if the repository holds anything else, or the hub refuses; says what to do.
        MissingExtraError: without the hub's client.

    >>> import ser_store as ss
    >>> ss.push_store("my.store", "me/ravdess-members", licence="cc-by-4.0").url  # doctest: +SKIP
    'https://huggingface.co/datasets/me/ravdess-members'
    """
    require("huggingface_hub")
    from ser_store.hub.repository import claim_repository
    from ser_store.hub.store_card import write_card

    store = open_store(store)
    claimed = claim_repository(repository, "dataset", private=private)  # before minutes of packing
    _refuse_others(store, claimed)
    with TemporaryDirectory(prefix="serstore-") as temporary:
        folder = Path(temporary)
        packed = pack(store, folder / PACK_NAME, with_pooled=with_pooled, progress=progress)
        _write_tables(store, folder)
        card = write_card(Store(folder / PACK_NAME), repository, size=packed.bytes, licence=licence, citation=citation)
        (folder / "README.md").write_text(card, encoding="utf-8")
        (folder / RECORD_NAME).write_text(_write_record(store), encoding="utf-8")
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        size = sum(path.stat().st_size for path in files.values())
        commit = _commit(claimed, files, f"{format_count(len(packed.members), 'member')} of ser-store")
    return PublishedStore(repository, claimed.url, commit, bool(claimed.files), packed.members, size)


def _write_tables(store: Store, folder: Path) -> None:
    from ser_store.hub.store_card import MEMBERS, UTTERANCES, iter_member_tables, make_utterance_table

    make_utterance_table(store).write_parquet(folder / f"{UTTERANCES}.parquet")
    (folder / MEMBERS).mkdir()
    for run, table in iter_member_tables(store):
        table.write_parquet(folder / MEMBERS / f"{run}.parquet")


def _write_record(store: Store) -> str:
    stated = {"format": _FORMAT_NAME, "format_version": _FORMAT_VERSION, "corpus": store.corpus.digest}
    return json.dumps({**stated, "pack": PACK_NAME}, indent=1) + "\n"


def _refuse_others(store: Store, claimed: "Repository") -> None:
    """Refuse a repository that holds anything but a store of this corpus.

    Raises:
        StoreError: saying what it holds.
    """
    from ser_store_h5.places.hub_files import HubFiles, RefusedError

    if RECORD_NAME not in claimed.files:
        claimed.refuse_content()
        return
    try:
        found = HubFiles(claimed.name, claimed.head, kind="dataset").fetch(RECORD_NAME)
        stated = {} if found is None else json.loads(found.read_text(encoding="utf-8"))
        digest = stated.get("corpus") if isinstance(stated, dict) else None
    except (RefusedError, ValueError) as problem:
        raise StoreError(
            f"{RECORD_NAME} of {claimed.name} cannot be read ({problem}): expected it to say which corpus is there; "
            "try again, or choose another name"
        ) from problem
    if digest != store.corpus.digest:
        raise StoreError(
            f"{claimed.name} holds a store of another corpus (digest {str(digest)[:12]}…): expected one of "
            f"{store.corpus.name} ({store.corpus.digest[:12]}…), to be replaced; choose another name"
        )


def _commit(claimed: "Repository", files: dict[str, Path], message: str) -> str:
    """Replace all that a store before had in the repository."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    from ser_store.hub.store_card import MEMBERS

    left = sorted(name for name in claimed.files - files.keys() if name.startswith(f"{MEMBERS}/"))
    operations = [CommitOperationAdd(name, path) for name, path in files.items()]
    return claimed.commit([*operations, *map(CommitOperationDelete, left)], message)
