"""A store as a folder of files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ser_store_h5 import corpus_file, runs
from ser_store_h5.corpus import Corpus, CorpusHeader
from ser_store_h5.disk.reading import check_inside, list_names
from ser_store_h5.errors import StoreError
from ser_store_h5.findings import stated_way_on
from ser_store_h5.member_file import MemberFile, OpenMember, open_member
from ser_store_h5.names import (
    is_misnamed_member,
    is_run_file,
    is_run_name,
    member_file,
    parse_member_file,
)
from ser_store_h5.runs import RunRecord


class FolderPlace:
    """Reads a folder. Names of runs are checked by the caller; steps are whole numbers."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def corpus_path(self) -> Path:
        return self.path / "corpus.h5"

    def run_folder(self, run: str) -> Path:
        folder = self.path / "runs" / run
        check_inside(folder, self.path)  # what is written there must not land elsewhere
        return folder

    def member_path(self, run: str, step: int) -> Path:
        return self.run_folder(run) / member_file(step)

    def read_corpus(self) -> Corpus:
        check_inside(self.corpus_path, self.path)
        return corpus_file.read_corpus(self.corpus_path)

    def read_header(self) -> CorpusHeader:
        check_inside(self.corpus_path, self.path)
        return corpus_file.read_header(self.corpus_path)

    def runs(self) -> list[str]:
        folder = self.path / "runs"
        check_inside(folder, self.path)
        return sorted(run for run in list_names(folder) if is_run_name(run) and self._is_run(run))

    def has_run(self, run: str) -> bool:
        # Listed, since a disk that knows no case has a folder of that name in any case.
        return run in list_names(self.path / "runs") and self._is_run(run)

    def _is_run(self, run: str) -> bool:
        """Whether a folder is a run: without its record it is a damaged one, and its name is not free."""
        folder = f"{self.path}/runs/{run}"
        if os.path.lexists(f"{folder}/run.json"):
            return True
        try:
            return os.path.isdir(folder) and any(map(is_run_file, os.listdir(folder)))  # noqa: PTH112, PTH208 - as below
        except PermissionError:
            return True
        except FileNotFoundError:
            return False

    def steps(self, run: str) -> list[int]:
        found = map(parse_member_file, list_names(self.run_folder(run)))
        return sorted(step for step in found if step is not None)

    def has_member(self, run: str, step: int) -> bool:
        return os.path.lexists(f"{self.path}/runs/{run}/{member_file(step)}")  # making paths takes as long as opening

    def locate(self, run: str, step: int) -> str:
        """Return where a member stands, relative to the store."""
        return f"runs/{run}/{member_file(step)}"

    def misnamed(self, run: str) -> list[str]:
        """Return what a user could take for members of a run by its name, though no reader does."""
        return sorted(f"runs/{run}/{name}" for name in list_names(self.run_folder(run)) if is_misnamed_member(name))

    def read_run(self, run: str) -> RunRecord:
        with stated_way_on("remove it with `rm()`"):
            return runs.read_run(self.run_folder(run))

    def read_curves(self, run: str) -> list[dict[str, Any]]:
        return runs.read_curves(self.run_folder(run))

    def read_texts(self, run: str) -> dict[str, bytes]:
        """Return the bytes of ``run.json``, and of ``curves.jsonl`` where there is one."""
        self.read_run(run)  # both refuse what is not what FORMAT.md says
        self.read_curves(run)
        paths = (self.run_folder(run) / name for name in ("run.json", "curves.jsonl"))
        return {path.name: path.read_bytes() for path in paths if path.exists()}

    @contextmanager
    def opened(self, corpus: Corpus | CorpusHeader) -> Iterator[OpenMember]:
        """Within the block: a function that opens one member after another."""

        @contextmanager
        def open_inside(run: str, step: int) -> Iterator[MemberFile]:
            path = self.path / "runs" / run / member_file(step)
            with stated_way_on("remove it with `rm()`"):
                check_inside(path, self.path)
                with open_member(path, corpus) as member:
                    yield member

        yield open_inside

    def measure_corpus(self) -> int:
        return self.corpus_path.stat().st_size

    def measure_run(self, run: str) -> int:
        """Return the size of a run in bytes, without checkpoints."""
        try:
            folder = self.run_folder(run)
            return sum((folder / name).stat().st_size for name in list_names(folder) if (folder / name).is_file())
        except StoreError:  # nobody may look into it, which is not for the one who measures to say
            return 0

    def measure_checkpoints(self, run: str) -> int:
        folder = self.run_folder(run) / "checkpoints"
        found = () if folder.is_symlink() else folder.rglob("*")
        return sum(file.stat().st_size for file in found if file.is_file() and not file.is_symlink())
