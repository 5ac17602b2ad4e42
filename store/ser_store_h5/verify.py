"""Verification: every byte of a store is hashed, every structure read, and what is wrong is listed by file."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ser_store_h5.atomic import LEFTOVER_SUFFIX, is_leftover
from ser_store_h5.corpus import Corpus
from ser_store_h5.corpus_file import read_corpus
from ser_store_h5.errors import FormatError, SerstoreError
from ser_store_h5.member import open_member
from ser_store_h5.names import check_run_name, parse_member_file
from ser_store_h5.runs import read_curves, read_run
from ser_store_h5.seal import check_seal
from ser_store_h5.store import Store

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one file, relative to the store."""

    file: str
    problem: str


@dataclass(frozen=True)
class Verification:
    """What verification found.

    Attributes:
        files: number of files looked at.
        bytes: their sizes together.
        problems: what is wrong, by file.
        leftovers: files and folders of writers that were killed; no reader looks at them, they may be deleted.
    """

    files: int
    bytes: int
    problems: tuple[Problem, ...]
    leftovers: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def verify_store(path: Path | str, *, watch: Callable[[list[Path]], Iterable[Path]] = iter) -> Verification:
    """Hash and read every file of a store.

    Args:
        watch: wraps the folders of the runs, to show how far the verification is.

    Raises:
        StoreError: if there is no store at ``path``; damage is returned, not raised.
    """
    store = Store(path)
    root = store.path
    problems: list[Problem] = []
    corpus = _verify_corpus(root / "corpus.h5", root, problems)
    files = [root / "corpus.h5"]
    leftovers = [str(found.relative_to(root)) for found in root.glob(f".*{LEFTOVER_SUFFIX}")]
    for folder in watch(sorted((root / "runs").glob("*"))):
        if is_leftover(folder) or _holds_nothing(folder):
            leftovers.append(str(folder.relative_to(root)))
            continue
        if not folder.is_dir() or folder.is_symlink():
            problems.append(Problem(str(folder.relative_to(root)), "expected the folder of a run"))
            continue
        leftovers += [str(found.relative_to(root)) for found in folder.glob(f".*{LEFTOVER_SUFFIX}")]
        files += _verify_run(folder, root, corpus, problems)
    total = sum(file.stat().st_size for file in files if file.is_file())
    return Verification(len(files), total, tuple(problems), tuple(leftovers))


def _holds_nothing(folder: Path) -> bool:
    """Whether a run was killed while its record was being written, before anything could be added to it."""
    return folder.is_dir() and not folder.is_symlink() and all(is_leftover(found) for found in folder.iterdir())


def _record(problem: SerstoreError, file: Path, root: Path, problems: list[Problem]) -> None:
    relative = str(file.relative_to(root))
    problems.append(Problem(relative, str(problem).removeprefix(f"{file}: ")))


def _verify_corpus(file: Path, root: Path, problems: list[Problem]) -> Corpus | None:
    try:
        corpus = read_corpus(file)
        check_seal(file)
    except SerstoreError as problem:
        _record(problem, file, root, problems)
        return None
    return corpus


def _verify_run(folder: Path, root: Path, corpus: Corpus | None, problems: list[Problem]) -> list[Path]:
    files = [folder / "run.json"]
    try:
        check_run_name(folder.name)
        read_run(folder)
    except SerstoreError as problem:
        _record(problem, folder / "run.json", root, problems)
    try:
        read_curves(folder)
    except SerstoreError as problem:
        _record(problem, folder / "curves.jsonl", root, problems)
    for file in sorted(folder.iterdir()):
        if file.name == "curves.jsonl":
            files.append(file)
        elif parse_member_file(file.name) is not None:
            files.append(file)
            _verify_member(file, root, corpus, problems)
        elif file.name not in ("run.json", CHECKPOINTS) and not is_leftover(file):
            problems.append(Problem(str(file.relative_to(root)), "expected no such file in a run's folder"))
    return files


def _verify_member(file: Path, root: Path, corpus: Corpus | None, problems: list[Problem]) -> None:
    """Arrays first, so that damage is put down to a dataset where it can be; then the seal, for every other byte."""
    try:
        if corpus is not None:
            with open_member(file, corpus) as opened:
                member = opened.read()
                if (member.run, member.step) != (file.parent.name, parse_member_file(file.name)):
                    raise FormatError(
                        f"{file}: says it is {member.name}: expected the name its folder and file give it"
                    )
        check_seal(file)
    except SerstoreError as problem:
        _record(problem, file, root, problems)
