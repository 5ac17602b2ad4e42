"""Formats of the comparison that are written in a few lines of numpy, pickle or h5py.

For what the methods return see :class:`measuring.formats.Format`.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from measuring.workload import Workload

Array = NDArray[Any]


class GroupPerUtterance:
    """One HDF5 file with a group for each member, in it a group for each utterance, in it two datasets."""

    name = "h5py, a group per utterance"
    libraries: tuple[str, ...] = ("h5py",)
    is_exact = True
    is_slow = True

    def write(self, folder: Path, workload: Workload) -> None:
        ids = workload.ids
        with h5py.File(folder / "all.h5", "w") as file:
            for place, name in enumerate(workload.names):
                for row, utterance in enumerate(ids):
                    group = file.create_group(f"{name}/{utterance}")
                    group.create_dataset("pooled", data=workload.pooled[place, row])
                    group.create_dataset("logits", data=workload.logits[place, row])

    def list_members(self, folder: Path) -> list[tuple[str, tuple[int, ...]]]:
        with h5py.File(folder / "all.h5", "r") as file:
            return [(name, (len(file[name]), *next(iter(file[name].values()))["logits"].shape)) for name in file]

    def read_logits(self, folder: Path, rows: NDArray[np.int32]) -> Array:
        with h5py.File(folder / "all.h5", "r") as file:
            names = list(file)
            ids = list(file[names[0]])
            return np.array([[file[f"{name}/{ids[row]}/logits"][()] for row in rows.tolist()] for name in names])

    def read_pooled(self, folder: Path, member: str) -> Array:
        with h5py.File(folder / "all.h5", "r") as file:
            return np.array([group["pooled"][()] for group in file[member].values()])

    def read_utterance(self, folder: Path, row: int) -> Array:
        with h5py.File(folder / "all.h5", "r") as file:
            names = list(file)
            utterance = list(file[names[0]])[row]
            return np.array([file[f"{name}/{utterance}/pooled"][()] for name in names])


class _FilePerMember:
    """A file for each member, in the order of names."""

    libraries: tuple[str, ...] = ("numpy",)
    is_exact = True
    is_slow = False
    suffix = ""

    def iter_files(self, folder: Path) -> Iterator[Path]:
        return iter(sorted(folder.glob(f"*{self.suffix}")))

    def load(self, path: Path, content: str) -> Array:
        raise NotImplementedError

    def list_members(self, folder: Path) -> list[tuple[str, tuple[int, ...]]]:
        return [(path.stem, self.load(path, "logits").shape) for path in self.iter_files(folder)]

    def read_logits(self, folder: Path, rows: NDArray[np.int32]) -> Array:
        return np.array([self.load(path, "logits")[rows] for path in self.iter_files(folder)])

    def read_pooled(self, folder: Path, member: str) -> Array:
        return self.load(folder / f"{member}{self.suffix}", "pooled")

    def read_utterance(self, folder: Path, row: int) -> Array:
        return np.array([self.load(path, "pooled")[row] for path in self.iter_files(folder)])


class Savez(_FilePerMember):
    """``numpy.savez``: an uncompressed zip archive for each member."""

    name = "numpy.savez"
    suffix = ".npz"

    def write(self, folder: Path, workload: Workload) -> None:
        ids = np.array(workload.ids)
        for name, pooled, logits in zip(workload.names, workload.pooled, workload.logits, strict=True):
            np.savez(folder / f"{name}.npz", ids=ids, pooled=pooled, logits=logits)

    def load(self, path: Path, content: str) -> Array:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[content])


class Pickle(_FilePerMember):
    """A pickled dictionary for each member. Whatever is read, all of it is loaded; and loading runs what is in it."""

    name = "pickle"
    suffix = ".pickle"

    def write(self, folder: Path, workload: Workload) -> None:
        ids = np.array(workload.ids)
        for name, pooled, logits in zip(workload.names, workload.pooled, workload.logits, strict=True):
            with (folder / f"{name}.pickle").open("wb") as file:
                pickle.dump({"ids": ids, "pooled": pooled, "logits": logits}, file, protocol=5)

    def load(self, path: Path, content: str) -> Array:
        with path.open("rb") as file:
            return np.asarray(pickle.load(file)[content])
