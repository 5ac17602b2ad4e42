"""The store as a format of the comparison: a folder of files, and packed into one.

For what the methods return see :class:`measuring.formats.Format`.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from measuring.workload import Workload
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.names import parse_member
from ser_store_h5.pack.packing import pack
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

Array = NDArray[Any]


class SerstoreFolder:
    """The store as runs write it: one HDF5 file for each member."""

    name = "serstore"
    libraries: tuple[str, ...] = ("h5py",)
    is_exact = True
    is_slow = False

    def write(self, folder: Path, workload: Workload) -> None:
        n = workload.n
        parts = np.full(n, "train", dtype="<U5")
        parts[workload.test] = "test"
        labels = (np.arange(n) % workload.n_classes).astype(np.int16)
        classes = tuple(f"class-{place:03d}" for place in range(workload.n_classes))
        corpus = Corpus(name="measured", ids=np.array(workload.ids), labels=labels, classes=classes)
        store = Store.create(folder / "store", corpus.with_split("measured", parts))
        rows = np.arange(n, dtype=np.int32)
        for name, pooled, logits in zip(workload.names, workload.pooled, workload.logits, strict=True):
            run, step = parse_member(name)
            if not store.has_run(run):
                store.add_run(RunRecord(run, "finetune", run))
            store.write_member(Member(run, step or 0, rows, logits=logits, pooled=pooled))

    def open(self, folder: Path) -> Store:
        return Store(folder / "store")

    def list_members(self, folder: Path) -> list[tuple[str, tuple[int, ...]]]:
        return [(member.name, member.logits or ()) for member in self.open(folder).members()]

    def read_logits(self, folder: Path, rows: NDArray[np.int32]) -> Array:
        store = self.open(folder)
        return store.logits(store.member_names(), rows)

    def read_pooled(self, folder: Path, member: str) -> Array:
        return self.open(folder).pooled(member, on="all")

    def read_utterance(self, folder: Path, row: int) -> Array:
        store = self.open(folder)
        return store.pooled(store.member_names(), np.array([row], dtype=np.int32))[:, 0]


class SerstorePacked(SerstoreFolder):
    """The store in one file; its writing includes that of the folder it is packed from."""

    name = "serstore, packed"

    def write(self, folder: Path, workload: Workload) -> None:
        super().write(folder, workload)
        pack(Store(folder / "store"), folder / "store.h5")
        shutil.rmtree(folder / "store")

    def open(self, folder: Path) -> Store:
        return Store(folder / "store.h5")
