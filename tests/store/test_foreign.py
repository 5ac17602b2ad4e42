"""What is no part of a store harms none: other programs' files, other working directories, folders nobody may read."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from place_samples import make_three_runs
from store_samples import assert_same_member, find_problem_files, get_bytes, get_problem, make_corpus, make_member

from ser_store_h5.errors import StoreError
from ser_store_h5.integrity.sweeping import gc
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.names import is_litter, member_file
from ser_store_h5.pack.packing import pack
from ser_store_h5.store import Store

FILES = [
    ".DS_Store", "._bb", "._run.json", "._step-000010.h5", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini",
    "Icon\r", ".directory", ".nfs00000000048000a300000003", ".fuse_hidden0000000100000001", ".step-000010.h5.swp",
    "run.json~", "step-000010.h5~", "step-000010.h5.bak", "#run.json#", ".#run.json", "~$notes", ".localized",
]  # fmt: skip
FOLDERS = [
    "lost+found", "@eaDir", "#recycle", ".Trash-1000", ".Trashes", ".snapshot", ".Spotlight-V100", "$RECYCLE.BIN",
    "System Volume Information", ".ipynb_checkpoints", ".git", "bb.bak",
]  # fmt: skip


def leave_litter(folder: Path) -> None:
    for name in FILES:
        (folder / name).write_bytes(b"x")
    for name in FOLDERS:
        (folder / name).mkdir()
        (folder / name / "run-checkpoint.json").write_text("x")


@pytest.mark.parametrize("place", ["", "runs", "runs/bb"])
def test_what_desktops_drives_and_editors_leave_changes_no_answer(tmp_path: Path, serstore: Any, place: str) -> None:
    path = make_three_runs(tmp_path / "store").path
    words = (("ls",), ("evaluate",), ("vote", "--k", 2, "--all-combos", "--correct", "none"), ("gc",))
    before = [serstore(*each, "--store", path) for each in words if each[0] != "vote"]
    pack(Store(path), tmp_path / "before.h5")
    leave_litter(path / place)
    assert [serstore(*each, "--store", path) for each in words if each[0] != "vote"] == before
    assert serstore(*words[2], "--store", path).code == 0
    verified = verify_store(path)
    assert (verified.problems, verified.leftovers, verified.files) == ((), (), 10)
    pack(Store(path), tmp_path / "after.h5")
    assert (tmp_path / "after.h5").read_bytes() == (tmp_path / "before.h5").read_bytes()


@pytest.mark.parametrize("name", [*FOLDERS[:-1], "-odd"])
def test_an_empty_folder_of_another_program_is_not_swept(tmp_path: Path, name: str) -> None:
    path = make_three_runs(tmp_path / "store").path
    (path / "runs" / name).mkdir()
    (path / "runs" / "killed").mkdir()
    assert gc(path).removed == ("runs/killed",)
    assert (path / "runs" / name).is_dir()


def test_litter_is_not_what_a_store_calls_its_own() -> None:
    for name in ("run.json", "curves.jsonl", "checkpoints", "corpus.h5", "xlsr53", "a.b-c_d", member_file(0)):
        assert not is_litter(name)
    assert all(map(is_litter, FILES + FOLDERS))


def test_a_store_is_made_in_a_folder_that_only_looks_empty(tmp_path: Path) -> None:
    leave_litter(tmp_path)
    store = Store.create(tmp_path, make_corpus())
    assert verify_store(store.path).ok
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    assert "is there and not empty" in str(get_problem(lambda: Store.create(tmp_path / "other", make_corpus())))


def test_a_store_stays_where_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store, packed = make_three_runs(Path("a.store")), Path("a.h5")
    pack(store, packed)
    opened, member = Store(packed), make_member(store.corpus, "aa", 30)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    make_three_runs(Path("a.store"), shift=1)  # another store under the same name
    before = get_bytes(tmp_path / "elsewhere")
    store.write_member(member)
    store.append_curve("aa", step=30, eval_loss=0.5)
    store.remove("bb")
    assert_same_member(store.read_member("aa@30"), member)
    assert np.array_equal(opened.logits(["bb"], on="all")[0], make_member(opened.corpus, "bb", 20, seed=1).logits)
    assert store.runs() == ["aa", "cc"]
    assert get_bytes(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("written", ["{}/", "./{}", "x/../{}", "~/{}"])
@pytest.mark.parametrize("name", ["a.store", "ein Käfig.store", "mu\u0308ller~1", "日本語 store", "~x"])
def test_a_store_is_found_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serstore: Any, name: str, written: str
) -> None:
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    store = make_three_runs(tmp_path / name)
    path = written.format(name)
    monkeypatch.setenv("SERSTORE", path)
    for words in (("verify",), ("evaluate", "aa@20"), ("verify", "--store", path)):
        assert serstore(*words).code == 0
    assert Store(path).path == store.path
    assert Store(path).member_names() == store.member_names()


def test_a_place_without_a_store_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"no store at {tmp_path / 'a.store'}: there is no such folder" in str(get_problem(lambda: Store("a.store")))


def shut(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Nobody may look into these folders; the permissions themselves do not hold an administrator."""
    list_all, look = os.listdir, os.path.lexists

    def list_some(folder: Any) -> list[str]:
        if Path(folder) in folders:
            raise PermissionError(13, "Permission denied")
        return list_all(folder)

    monkeypatch.setattr(os, "listdir", list_some)
    monkeypatch.setattr(os.path, "lexists", lambda place: Path(place).parent not in folders and look(place))


def test_a_run_that_nobody_may_look_into_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serstore: Any
) -> None:
    path = make_three_runs(tmp_path / "store").path
    shut(monkeypatch, path / "runs/bb")
    listed = serstore("ls", "--store", path, "--json")
    assert listed.code == 0
    assert [problem["file"] for problem in listed.json["problems"]] == ["runs/bb"]
    assert "cannot be listed (Permission denied): expected a folder that may be read" in listed.err
    assert {member["run"] for member in listed.json["members"]} == {"aa", "cc"}
    assert serstore("evaluate", "aa", "--store", path).code == 0
    assert serstore("vote", "--k", 2, "--exclude", "bb", "--correct", "none", "--store", path).code == 0
    evaluated = serstore("evaluate", "--store", path)
    assert "caution: left out, since it cannot be read (`serstore ls` says why): bb" in evaluated.err
    assert (
        "runs/bb: cannot be listed (Permission denied)" in serstore("pack", tmp_path / "pack.h5", "--store", path).err
    )
    assert find_problem_files(path) == ["runs/bb"]


def test_what_nobody_may_look_into_and_is_no_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_three_runs(tmp_path / "store").path
    (path / "runs/lost+found").mkdir()
    shut(monkeypatch, path / "runs/lost+found")
    assert verify_store(path).ok
    assert Store(path).survey().problems == ()


def test_runs_that_are_no_folder_are_told(tmp_path: Path) -> None:
    path = make_three_runs(tmp_path / "store").path
    shutil.rmtree(path / "runs")
    (path / "runs").write_text("x")
    for read in (Store(path).runs, Store(path).survey, lambda: Store(path).logits(["aa"], on="all")):
        assert isinstance(problem := get_problem(read), StoreError)
        assert "store/runs: cannot be listed (Not a directory)" in str(problem)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="an administrator writes anywhere")
def test_a_store_that_nobody_may_write_to_is_read(tmp_path: Path, serstore: Any) -> None:
    path = make_three_runs(tmp_path / "store").path
    folders = [path, path / "runs", *(path / "runs").iterdir()]
    try:
        for folder in folders:
            folder.chmod(0o500)
        for words in (("ls",), ("evaluate",), ("verify",), ("gc",), ("pack", tmp_path / "pack.h5")):
            assert serstore(*words, "--store", path).code == 0
        assert serstore("rm", "aa@10", "--store", path).code == 1
    finally:
        for folder in folders:
            folder.chmod(0o700)
