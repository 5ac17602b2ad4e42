"""A store: one corpus and what its runs said about it, in a folder or packed into one file."""

from pathlib import Path
from typing import Any

from ser_store_h5 import corpus_file, runs
from ser_store_h5.atomic import remove_folder, stated_disk_problems
from ser_store_h5.corpus import Corpus
from ser_store_h5.errors import ExistsError, StoreError
from ser_store_h5.folder import FolderSource
from ser_store_h5.member import Member
from ser_store_h5.member_file import write_member
from ser_store_h5.names import check_run_name, format_member, is_litter, parse_member
from ser_store_h5.opening import find_place
from ser_store_h5.readable import ReadableStore
from ser_store_h5.runs import RunRecord


class Store(ReadableStore):
    """Reads and writes one store; every write is whole or not at all.

    A packed store is read by the same methods; those that write raise :class:`.errors.StoreError`.
    """

    @classmethod
    def create(cls, path: Path | str, corpus: Corpus) -> "Store":
        """Make a store for ``corpus`` in a new or empty folder.

        Raises:
            ExistsError: if a store is there already.
            StoreError: if the folder holds anything else, or cannot be written.
        """
        path = find_place(path)
        if (path / "corpus.h5").exists():
            raise ExistsError(f"{path} is a store already: choose another --store, or remove it first")
        if path.exists() and (not path.is_dir() or not all(is_litter(found.name) for found in path.iterdir())):
            raise StoreError(f"{path} is there and not empty: expected a new folder, or an empty one, for the store")
        corpus_file.write_corpus(path / "corpus.h5", corpus)
        return cls(path)

    @property
    def _folder(self) -> FolderSource:
        """Where writing methods write."""
        if isinstance(self.source, FolderSource):
            return self.source
        raise StoreError(
            f"{self.path} is a packed store, which is never changed: expected a folder; make one with "
            f"`serstore unpack {self.path} --store FOLDER`"
        )

    def update_corpus(self, corpus: Corpus) -> None:
        """Replace splits, columns and audio paths. Ids, labels and classes must stay, since members rest on them.

        Raises:
            StoreError: if it is another corpus.
        """
        self.refuse_other_corpus(corpus)
        corpus_file.write_corpus(self._folder.corpus_path, corpus, replace=True)
        self.__dict__["corpus"] = corpus
        self.__dict__.pop("header", None)

    def refuse_other_corpus(self, corpus: Corpus) -> None:
        """Compare ids, labels and classes with those of the store.

        Raises:
            StoreError: if they differ: in what, with the first example of each.
        """
        if corpus.digest != self.corpus.digest:
            raise StoreError(
                f"{self.path} holds another corpus ({self.corpus.name}, {len(self.corpus)} utterances) than the one "
                f"given ({corpus.name}, {len(corpus)} utterances): {self.corpus.describe_difference(corpus)}; its "
                "members rest on these, so choose another --store for what is given, or give what was there"
            )

    def run_folder(self, run: str) -> Path:
        return self._folder.run_folder(check_run_name(run))

    def add_run(self, record: RunRecord) -> None:
        """Begin a run.

        Raises:
            ExistsError: if a run of this name is there.
        """
        self.refuse_run(record.run)
        runs.write_run(self.run_folder(record.run), record, replace=False)

    def refuse_run(self, run: str) -> None:
        """Say that a run of this name is there, before anything is spent on another.

        Raises:
            ExistsError: if it is, or one whose name differs in case alone, which not every file system tells apart.
        """
        check_run_name(run)
        alike = [other for other in self.runs() if other.lower() == run.lower()]
        if alike:
            there = run if run in alike else alike[0]
            said = "" if there == run else f" and differs from {run} in case alone, which not every disk tells apart"
            raise ExistsError(
                f"run {there} is in {self.path} already{said}: name this one with --run NAME, or remove the old one "
                f"with `serstore rm {there}`"
            )

    def update_run(self, record: RunRecord) -> None:
        runs.write_run(self.run_folder(record.run), record)

    def append_curve(self, run: str, /, **point: Any) -> None:
        """Add one line to the run's curves; any text can be a key of it."""
        runs.append_curve(self.run_folder(run), point)

    def member_path(self, run: str, step: int) -> Path:
        return self._folder.member_path(check_run_name(run), step)

    def write_member(self, member: Member, *, replace: bool = False) -> None:
        """Add a member to its run.

        Raises:
            ExistsError: if it is there and ``replace`` is not set.
            StoreError: if it contradicts itself or the corpus.
        """
        path = self.member_path(member.run, member.step)
        self.run(member.run)
        write_member(path, member, self.header, replace=replace)

    def remove(self, name: str) -> list[str]:
        """Remove a member (``run@step``), or a run with all it has; returns the names of the removed members."""
        run, step = parse_member(name)
        if step is not None:
            path = self.member_path(*self.resolve(name))
            if path.is_dir() and not path.is_symlink():
                remove_folder(path)
            else:
                with stated_disk_problems(path):
                    path.unlink()
            return [format_member(run, step)]
        names = self.member_names(run)
        remove_folder(self.run_folder(run))
        return names
