"""Verification of a packed store: every byte is hashed, every structure read, problems listed by their place."""

from pathlib import Path

from ser_store_h5 import runs
from ser_store_h5.corpus import Corpus
from ser_store_h5.corpus_file import read_corpus_group
from ser_store_h5.errors import FormatError
from ser_store_h5.findings import TWINS, Findings, Verification
from ser_store_h5.hdf5.groups import Group
from ser_store_h5.hdf5.seal import check_seal
from ser_store_h5.integrity.sweeping import name_leftovers
from ser_store_h5.names import RUN_TEXTS, check_run_name, find_twins, member_group, parse_member_group
from ser_store_h5.places.packed import PackedPlace, find_corpus, find_run, find_texts, open_packed_member
from ser_store_h5.progress import Progress, silent


def verify_pack(path: Path, *, progress: Progress = silent) -> Verification:
    """Hash and read everything in a packed store.

    Args:
        progress: wraps the names of the runs.

    Returns:
        One file; a problem's ``file`` is the place in it, such as ``runs/xlsr53/step-001100``, or the file's own name.
    """
    found = Findings(path)
    with found.noting(path.name):
        place = PackedPlace(path)
        with place.open() as root:
            _verify_root(root, found, progress)
    if not found.problems:
        with found.noting(path.name):
            check_seal(path)
    return Verification(1, path.stat().st_size, tuple(found.problems), tuple(name_leftovers(path)))


def _verify_root(root: Group, found: Findings, progress: Progress) -> None:
    corpus = None
    with found.noting("corpus"):
        corpus = read_corpus_group(find_corpus(root))
    inside = root.group("runs")
    names = [] if inside is None else inside.names()
    for one, other in find_twins(names):
        found.add(f"runs/{other}", TWINS.format(one))
    left = root.file_bytes
    for run in progress(names, total=len(names), label="verifying"):
        with found.noting(f"runs/{run}"):
            left = _verify_run(root, check_run_name(run), corpus, found, left)


def _verify_run(root: Group, run: str, corpus: Corpus | None, found: Findings, left: int) -> int:
    """Verify one run; of the bytes that the file holds, returns those that no member has claimed yet."""
    group = find_run(root, run)
    with found.noting(f"runs/{run}"):
        for name, stored in find_texts(group).items():
            content = stored.read().tobytes()
            if name == "run.json":
                runs.parse_run(content, run=run, where=stored.where)
            else:
                runs.parse_curves(content, where=stored.where)
    for name in group.names():
        step = parse_member_group(name)
        if step is not None and corpus is not None:
            with (
                found.noting(f"runs/{run}/{member_group(step)}"),
                open_packed_member(root, corpus, run, step) as member,
            ):
                left -= sum(member.describe().dataset_bytes.values())
                if left < 0:
                    raise FormatError("claims, with the members before it, more bytes than their file holds")
                member.verify()
        elif step is None and name not in RUN_TEXTS:
            found.add(f"runs/{run}/{name}", "expected no such name in the group of a run")
    return left
