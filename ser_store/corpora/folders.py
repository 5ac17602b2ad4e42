"""Every file below a folder, and what of it could not be looked into."""

import os
from pathlib import Path


def find_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the files below a folder, ascending, and a line for each folder that cannot be listed and broken link.

    Links to folders are followed, each folder once: under its own name where it lies below ``folder`` anyway, and a
    link back to where it lies is no circle.
    """
    files: list[Path] = []
    problems: list[str] = []
    visited: set[tuple[int, int]] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:
        top = waiting.pop() if waiting else links.pop(0)
        try:
            status, entries = top.stat(), sorted(os.scandir(top), key=lambda entry: entry.name)
        except OSError as problem:
            problems.append(
                f"{top} cannot be listed ({problem.strerror}): expected a folder of recordings; check its permissions"
            )
            continue
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        for entry in entries:
            path = top / entry.name
            if not entry.is_symlink():
                (waiting if entry.is_dir() else files).append(path)
                continue
            try:
                path.stat()
            except OSError as problem:
                if not entry.name.startswith("."):  # editors lock their files by such links
                    problems.append(
                        f"{path} is a link to {path.readlink()}, which cannot be followed ({problem.strerror}): "
                        f"expected a file or a folder; bring it back, or remove the link"
                    )
            else:
                (links if path.is_dir() else files).append(path)
    return sorted(files), sorted(problems)
