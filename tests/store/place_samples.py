"""Stores of three runs in which something is not what its place says, or is no part of a store."""

import os
import shutil
from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from store_samples import make_corpus, make_member

from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

RUNS = ("aa", "bb", "cc")
MEMBERS = tuple(f"{run}@{step}" for run in RUNS for step in (10, 20))
BB_10, BB_20 = "runs/bb/step-000010.h5", "runs/bb/step-000020.h5"

Change = Callable[[Path], object]


def make_three_runs(path: Path, *, shift: int = 0) -> Store:
    """Runs ``aa``, ``bb`` and ``cc``, each with members at steps 10 and 20; another ``shift`` is another corpus."""
    corpus = make_corpus()
    store = Store.create(path, replace(corpus, labels=(corpus.labels + shift) % 3))
    for seed, run in enumerate(RUNS):
        store.add_run(RunRecord(run, "finetune", "tiny-hubert"))
        for step in (10, 20):
            store.write_member(make_member(store.corpus, run, step, seed=seed))
    return store


@dataclass(frozen=True)
class Case:
    """Something that happened to the run ``bb``, or near it, and the right answer of every command.

    Attributes:
        change: what happened.
        refused: what ``pack``, which needs all, and ``evaluate`` and ``vote`` of this run say on refusing; empty where
            they go on.
        problems: files that ``ls`` and ``verify`` name.
        unlisted: members that ``ls`` no longer lists.
        unnoticed: files that only ``verify`` names.
    """

    change: Change
    refused: str = ""
    problems: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    unnoticed: tuple[str, ...] = ()


def _copy(source: str, target: str) -> Change:
    def change(path: Path) -> None:
        if (path / source).is_dir():
            shutil.copytree(path / source, path / target)
        else:
            shutil.copy(path / source, path / target)

    return change


def _from_another_corpus(name: str) -> Change:
    def change(path: Path) -> None:
        other = make_three_runs(path.with_name("other"), shift=1)
        shutil.copy(other.path / name, path / name)

    return change


def _hard_link(path: Path) -> None:
    (path / BB_20).unlink()
    os.link(path / "runs/aa/step-000020.h5", path / BB_20)


def _folder_in_place(path: Path) -> None:
    (path / BB_20).unlink()
    (path / BB_20).mkdir()


def _lead_out(path: Path) -> None:
    (path / "runs/bb").rename(path.with_name("outside"))
    (path / "runs/bb").symlink_to(path.with_name("outside"), target_is_directory=True)


def _lead_inside(path: Path) -> None:
    (path / "runs/bb").rename(path / "kept")
    (path / "runs/bb").symlink_to("../kept", target_is_directory=True)


def _mark_byte_order(path: Path) -> None:
    for name in ("run.json", "curves.jsonl"):
        Store(path).append_curve("bb", step=10, eval_loss=0.5)
        file = path / "runs/bb" / name
        file.write_bytes(BOM_UTF8 + file.read_bytes())


def _put_text(name: str, text: str = "x") -> Change:
    return lambda path: (path / name).write_text(text)


RECORD = "runs/bb/run.json"
COPIED = ("runs/dd/run.json", "runs/dd/step-000010.h5", "runs/dd/step-000020.h5")
TWIN = tuple(name.replace("/dd/", "/BB/") for name in COPIED)
BOTH = ("bb@10", "bb@20")
CASES = {
    "another run's member": Case(
        _copy("runs/aa/step-000020.h5", BB_20), "bb@20 says it is aa@20: expected the name", (BB_20,), ("bb@20",)
    ),
    "another step's member": Case(_copy(BB_10, BB_20), "bb@20 says it is bb@10: expected", (BB_20,), ("bb@20",)),
    "another run's member, hard-linked": Case(_hard_link, "bb@20 says it is aa@20", (BB_20,), ("bb@20",)),
    "another corpus' member": Case(
        _from_another_corpus(BB_20), "step-000020.h5: belongs to another corpus (digest", (BB_20,), ("bb@20",)
    ),
    "a member cut off": Case(
        lambda path: os.truncate(path / BB_20, 600), "step-000020.h5: has 600 bytes: expected", (BB_20,), ("bb@20",)
    ),
    "an empty member": Case(_put_text(BB_20, ""), "expected the seal of FORMAT.md", (BB_20,), ("bb@20",)),
    "a folder in a member's place": Case(_folder_in_place, "step-000020.h5: expected a file", (BB_20,), ("bb@20",)),
    "a run renamed": Case(
        lambda path: (path / "runs/bb").rename(path / "runs/dd"), "of run dd, as its folder is called", COPIED, BOTH
    ),
    "a run copied": Case(_copy("runs/bb", "runs/dd"), "of run dd, as its folder is called, not", COPIED),
    "a run linked to by another name": Case(
        lambda path: (path / "runs/dd").symlink_to("bb", target_is_directory=True), "of run dd, as its", COPIED
    ),
    "a run copied to a name in another case": Case(
        _copy("runs/bb", "runs/BB"), "B", TWIN, unnoticed=("runs/bb",)
    ),
    "another run's record": Case(_copy("runs/aa/run.json", RECORD), "of run bb, as its folder is called", (RECORD,)),
    "a record that is no JSON": Case(_put_text(RECORD, "{"), "run.json: expected the JSON object", (RECORD,)),
    "no record": Case(lambda path: (path / RECORD).unlink(), "run.json is missing; restore it", (RECORD,)),
    "a run that leads out of the store": Case(_lead_out, "runs/bb: is a symbolic link to", ("runs/bb",), BOTH),
    "a run that a link inside leads to": Case(_lead_inside),
    "a byte-order mark": Case(_mark_byte_order),
    "an empty folder": Case(lambda path: (path / "runs/dd").mkdir()),
    "a member with too few zeros": Case(
        lambda path: (path / BB_20).rename(path / "runs/bb/step-20.h5"),
        problems=("runs/bb/step-20.h5",),
        unlisted=("bb@20",),
    ),
    "a copy of a member beside it": Case(
        _copy(BB_20, "runs/bb/step-000020 (1).h5"), problems=("runs/bb/step-000020 (1).h5",)
    ),
    "a member below no run": Case(_copy(BB_20, "runs/step-000020.h5"), unnoticed=("runs/step-000020.h5",)),
    "a note": Case(_put_text("runs/bb/notes.txt"), unnoticed=("runs/bb/notes.txt",)),
    "a folder that no run can be called": Case(
        _copy("runs/bb", "runs/bb copy"),
        unnoticed=("runs/bb copy/run.json", "runs/bb copy/step-000010.h5", "runs/bb copy/step-000020.h5"),
    ),
}  # fmt: skip
