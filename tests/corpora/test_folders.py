"""What lies below a folder: nothing is left out without a word."""

import os
from pathlib import Path

import pytest

from ser_store.corpora.folders import find_files


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_files_are_found_at_any_depth_in_ascending_order(tmp_path: Path) -> None:
    paths = [touch(tmp_path / name) for name in ("b/c/2.wav", "a.wav", "b/1.wav", ".hidden/3.wav")]
    assert find_files(tmp_path) == (sorted(paths), [])


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "disk" / "deep" / "2.wav")
    corpus = tmp_path / "corpus"
    touch(corpus / "1.wav")
    (corpus / "linked").symlink_to(tmp_path / "disk")
    (corpus / "3.wav").symlink_to(tmp_path / "disk" / "deep" / "2.wav")
    assert find_files(corpus) == ([corpus / "1.wav", corpus / "3.wav", corpus / "linked" / "deep" / "2.wav"], [])


def test_a_link_may_lead_out_to_a_folder_of_links(tmp_path: Path) -> None:
    touch(tmp_path / "disk" / "1.wav")
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "first").symlink_to(tmp_path / "disk")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "all").symlink_to(tmp_path / "shelf")
    assert find_files(tmp_path / "corpus") == ([tmp_path / "corpus" / "all" / "first" / "1.wav"], [])


def test_a_folder_is_read_once_and_under_its_own_name(tmp_path: Path) -> None:
    path = touch(tmp_path / "z" / "deep" / "1.wav")
    (tmp_path / "a").symlink_to(tmp_path / "z")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "again").symlink_to(tmp_path / "z" / "deep")
    assert find_files(tmp_path) == ([path], [])


def test_circles_of_links_end(tmp_path: Path) -> None:
    path = touch(tmp_path / "a" / "1.wav")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "here").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    files, problems = find_files(tmp_path)
    assert files == [path]
    assert problems == [
        f"{tmp_path / 'loop'} is a link to {tmp_path / 'loop'}, which cannot be followed (Too many levels of symbolic "
        f"links): expected a file or a folder; bring it back, or remove the link"
    ]


def test_a_broken_link_is_told_unless_an_editor_made_it(tmp_path: Path) -> None:
    (tmp_path / "Actor_03").symlink_to("not_mounted/Actor_03")
    (tmp_path / ".#notes.txt").symlink_to("somebody@somewhere.123")
    files, (problem,) = find_files(tmp_path)
    assert files == []
    assert f"{tmp_path / 'Actor_03'} is a link to not_mounted/Actor_03, which cannot be followed" in problem


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = touch(tmp_path / "a" / "1.wav")
    closed = touch(tmp_path / "b" / "2.wav").parent
    scandir = os.scandir

    def refuse(folder: Path) -> object:  # a test may run as root, to whom every folder is open
        if Path(folder) == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_files(tmp_path) == (
        [path],
        [f"{closed} cannot be listed (Permission denied): expected a folder of recordings; check its permissions"],
    )
