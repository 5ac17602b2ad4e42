"""Whether a checkpoint still holds the bytes that were written: checksums for what has none of its own."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

# Archives with a CRC-32 of each tensor, as torch writes them; to compute another would take as long as to write them.
_ARCHIVES = {".pt", ".pth", ".bin"}
_BLOCK_BYTES = 1 << 22


def compute_checksums(folder: Path, names: list[str]) -> dict[str, int]:
    """CRC-32 of those of the files that are no archives with their own."""
    return {name: _compute_crc32(folder / name) for name in names if (folder / name).suffix not in _ARCHIVES}


def find_damage(folder: Path, names: list[str], *, checksums: Mapping[str, int]) -> str | None:
    """The first of the files whose bytes are not those that were written; None if all are."""
    for name in names:
        path = folder / name
        is_archive = path.suffix in _ARCHIVES
        if _is_damaged(path) if is_archive else checksums.get(name, 0) != _compute_crc32(path):
            return name
    return None


def _compute_crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _is_damaged(archive: Path) -> bool:
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.testzip() is not None
    except Exception:  # noqa: BLE001 - one flipped byte of the directory can make anything of it
        return True
