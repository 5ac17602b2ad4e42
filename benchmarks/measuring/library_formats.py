"""Formats of the comparison that come with a library: AnnData, zarr, and lhotse's feature writers.

For what the methods return see :class:`measuring.formats.Format`.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from measuring.workload import Workload

Array = NDArray[Any]


class AnnDataFile:
    """One h5ad file: ``obsm`` holds pooled representations and logits of every member, each read by itself."""

    name = "AnnData"
    libraries: tuple[str, ...] = ("anndata",)
    is_exact = True
    is_slow = False

    def write(self, folder: Path, workload: Workload) -> None:
        frame = import_module("pandas").DataFrame(index=workload.ids)
        pooled = {f"{name}.pooled": array for name, array in zip(workload.names, workload.pooled, strict=True)}
        logits = {f"{name}.logits": array for name, array in zip(workload.names, workload.logits, strict=True)}
        annotated = import_module("anndata").AnnData(obs=frame, obsm={**pooled, **logits})
        annotated.write_h5ad(folder / "all.h5ad")

    def _names(self, file: Any) -> list[str]:
        return sorted(key.removesuffix(".logits") for key in file["obsm"] if key.endswith(".logits"))

    def list_members(self, folder: Path) -> list[tuple[str, tuple[int, ...]]]:
        with h5py.File(folder / "all.h5ad", "r") as file:
            return [(name, file[f"obsm/{name}.logits"].shape) for name in self._names(file)]

    def read_logits(self, folder: Path, rows: NDArray[np.int32]) -> Array:
        read = import_module("anndata.io").read_elem
        with h5py.File(folder / "all.h5ad", "r") as file:
            return np.array([read(file[f"obsm/{name}.logits"])[rows] for name in self._names(file)])

    def read_pooled(self, folder: Path, member: str) -> Array:
        with h5py.File(folder / "all.h5ad", "r") as file:
            return np.asarray(import_module("anndata.io").read_elem(file[f"obsm/{member}.pooled"]))

    def read_utterance(self, folder: Path, row: int) -> Array:
        with h5py.File(folder / "all.h5ad", "r") as file:
            return np.array([file[f"obsm/{name}.pooled"][row] for name in self._names(file)])


class Zarr:
    """A group for each member with two arrays, chunks and compression as zarr chooses them."""

    name = "zarr"
    libraries: tuple[str, ...] = ("zarr",)
    is_exact = True
    is_slow = False

    def _open(self, folder: Path, mode: str) -> Any:
        return import_module("zarr").open_group(str(folder / "all.zarr"), mode=mode)

    def write(self, folder: Path, workload: Workload) -> None:
        root = self._open(folder, "w")
        for name, pooled, logits in zip(workload.names, workload.pooled, workload.logits, strict=True):
            group = root.create_group(name)
            group.create_array("pooled", data=pooled)
            group.create_array("logits", data=logits)

    def list_members(self, folder: Path) -> list[tuple[str, tuple[int, ...]]]:
        root = self._open(folder, "r")
        return sorted((name, root[f"{name}/logits"].shape) for name in root.group_keys())

    def read_logits(self, folder: Path, rows: NDArray[np.int32]) -> Array:
        root = self._open(folder, "r")
        return np.array([root[f"{name}/logits"][:][rows] for name in sorted(root.group_keys())])

    def read_pooled(self, folder: Path, member: str) -> Array:
        return np.asarray(self._open(folder, "r")[f"{member}/pooled"][:])

    def read_utterance(self, folder: Path, row: int) -> Array:
        root = self._open(folder, "r")
        return np.array([root[f"{name}/pooled"][row] for name in sorted(root.group_keys())])


class LhotseHdf5:
    """lhotse's ``NumpyHdf5Writer``: an HDF5 file for each member, a dataset for each utterance and content."""

    name = "lhotse, HDF5"
    libraries: tuple[str, ...] = ("lhotse",)
    is_exact = True
    is_slow = True
    kind = "NumpyHdf5"

    def write(self, folder: Path, workload: Workload) -> None:
        writer_class = getattr(import_module("lhotse.features.io"), f"{self.kind}Writer")
        ids = workload.ids
        for place, name in enumerate(workload.names):
            with writer_class(folder / f"{name}.h5") as writer:
                for row, utterance in enumerate(ids):
                    writer.write(f"pooled-{utterance}", self._prepare(workload.pooled[place, row]))
                    writer.write(f"logits-{utterance}", self._prepare(workload.logits[place, row]))

    def _prepare(self, array: Array) -> Array:
        """Features have frames: here there is one."""
        return array[None]

    def _open(self, path: Path) -> Any:
        module = import_module("lhotse.features.io")
        module.close_cached_file_handles()  # it would keep the files open from one reading to the next
        return getattr(module, f"{self.kind}Reader")(str(path))

    def _keys(self, reader: Any, content: str) -> list[str]:
        return [key for key in reader.hdf if key.startswith(content)]

    def list_members(self, folder: Path) -> list[tuple[str, tuple[int, ...]]]:
        found: list[tuple[str, tuple[int, ...]]] = []
        for path in sorted(folder.glob("*.h5")):
            reader = self._open(path)
            keys = self._keys(reader, "logits")
            found.append((path.stem, (len(keys), reader.read(keys[0]).shape[1])))
        return found

    def read_logits(self, folder: Path, rows: NDArray[np.int32]) -> Array:
        found = []
        for path in sorted(folder.glob("*.h5")):
            reader = self._open(path)
            keys = self._keys(reader, "logits")
            found.append([reader.read(keys[row])[0] for row in rows.tolist()])
        return np.array(found)

    def read_pooled(self, folder: Path, member: str) -> Array:
        reader = self._open(folder / f"{member}.h5")
        return np.array([reader.read(key)[0] for key in self._keys(reader, "pooled")])

    def read_utterance(self, folder: Path, row: int) -> Array:
        found = []
        for path in sorted(folder.glob("*.h5")):
            reader = self._open(path)
            found.append(reader.read(self._keys(reader, "pooled")[row])[0])
        return np.array(found)


class LhotseLilcom(LhotseHdf5):
    """lhotse's ``LilcomHdf5Writer``: the same, compressed with loss to multiples of 1/32."""

    name = "lhotse, lilcom"
    libraries: tuple[str, ...] = ("lhotse", "lilcom")
    is_exact = False
    kind = "LilcomHdf5"

    def _prepare(self, array: Array) -> Array:
        return array[None].astype(np.float32)  # it knows no float16
