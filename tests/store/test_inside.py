"""Links that lead out of a store are refused by readers, writers and verification; links that stay inside are read."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store_samples import assert_one_line, assert_same_member, get_bytes, make_member, make_store

from ser_store_h5.disk.reading import check_inside, open_regular
from ser_store_h5.errors import FormatError, SerstoreError, StoreError
from ser_store_h5.integrity.sweeping import gc
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

READS: dict[str, Callable[[Store], Any]] = {
    "corpus.h5": lambda store: store.corpus,
    "runs": lambda store: store.run("tiny"),
    "runs/tiny": lambda store: store.curves("tiny"),
    "runs/tiny/run.json": lambda store: store.run("tiny"),
    "runs/tiny/curves.jsonl": lambda store: store.curves("tiny"),
    "runs/tiny/step-000010.h5": lambda store: store.logits(["tiny@10"], on="all"),
}
WRITES: dict[str, Callable[[Store], Any]] = {
    "member": lambda store: store.write_member(make_member(store.corpus, "tiny", 30)),
    "replaced member": lambda store: store.write_member(make_member(store.corpus, "tiny", 10, seed=1), replace=True),
    "curve": lambda store: store.append_curve("tiny", step=30),
    "record": lambda store: store.update_run(RunRecord("tiny", "finetune", "other")),
    "run": lambda store: store.add_run(RunRecord("new", "finetune", "other")),
    "removed member": lambda store: store.remove("tiny@10"),
    "removed run": lambda store: store.remove("tiny"),
    "sweep": lambda store: gc(store.path),
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Another store, from which a stranger's links take what they show."""
    return make_store(tmp_path / "outside").path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "store")


def lead_out(store: Store, outside: Path, place: str) -> None:
    path = store.path / place
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(outside / place, target_is_directory=(outside / place).is_dir())


@pytest.mark.parametrize("place", READS)
def test_what_leads_out_of_the_store_is_refused_in_one_line(store: Store, outside: Path, place: str) -> None:
    lead_out(store, outside, place)
    with pytest.raises(FormatError) as caught:
        READS[place](Store(store.path))
    assert_one_line(caught.value)
    assert f"{place}: is a symbolic link to" in str(caught.value)
    assert "outside the store: expected a file of the store; copy it in, or add the members" in str(caught.value)
    problems = [problem for problem in verify_store(store.path).problems if problem.file == place]
    assert len(problems) == 1
    assert "link" in problems[0].problem


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("place", [place for place in READS if place != "corpus.h5"])
def test_nothing_is_written_or_removed_where_a_link_leads(store: Store, outside: Path, place: str, write: str) -> None:
    lead_out(store, outside, place)
    before = get_bytes(outside)
    try:
        WRITES[write](Store(store.path))
    except SerstoreError as problem:
        assert_one_line(problem)
    assert get_bytes(outside) == before


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/tty", "/proc/self/mem", "/", "nowhere", "step-000010.h5"])
def test_links_to_devices_folders_nothing_and_themselves_are_refused_and_keep_nobody_waiting(
    store: Store, target: str
) -> None:
    path = store.member_path("tiny", 10)
    path.unlink()
    path.symlink_to(target)
    for read in (store.read_member, store.describe_member):
        with pytest.raises(SerstoreError) as caught:
            read("tiny@10")
        assert_one_line(caught.value)
    assert [problem.file for problem in verify_store(store.path).problems] == ["runs/tiny/step-000010.h5"]


def test_a_link_that_stays_inside_is_read(store: Store) -> None:
    expected, path = store.read_member("tiny@10"), store.member_path("tiny", 10)
    path.rename(store.path / "kept.h5")
    path.symlink_to("../../kept.h5")
    assert_same_member(store.read_member("tiny@10"), expected)
    assert verify_store(store.path).ok


def test_the_store_itself_may_be_a_link(store: Store, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(store.path, target_is_directory=True)
    linked = Store(tmp_path / "linked")
    assert_same_member(linked.read_member("tiny@10"), store.read_member("tiny@10"))
    linked.append_curve("tiny", step=30)
    assert len(store.curves("tiny")) == 3
    assert verify_store(linked.path).ok


@pytest.mark.parametrize("root", ["", ".", "store", "store/../store"])
def test_stores_are_named_in_any_way(store: Store, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.chdir(store.path if root in ("", ".") else store.path.parent)
    assert Store(root).member_names() == ["tiny@10", "tiny@20"]
    assert Store(root).logits(["tiny"], on="all").shape == (1, 12, 3)
    assert len(Store(root).curves("tiny")) == 2


def test_a_relative_link_out_and_in_again_is_inside(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file").write_bytes(b"")
    (tmp_path / "root" / "link").symlink_to("../root/file")
    check_inside(tmp_path / "root" / "link", tmp_path / "root")
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root" / "other").symlink_to("../root-2")
    with pytest.raises(FormatError, match=r"other: is a symbolic link to '.*root-2', outside the store"):
        check_inside(tmp_path / "root" / "other" / "file", tmp_path / "root")


def test_a_file_that_may_not_be_opened_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=r"file: cannot be opened \(Permission denied\): expected a file that may be"):
        open_regular(tmp_path / "file")
