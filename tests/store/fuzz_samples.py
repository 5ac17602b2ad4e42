"""Stores of which one file is damaged, and where its checksums lie."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import hostile_samples
import numpy as np
from hdf5_blocks import Block, find_blocks
from mutations import damage
from store_samples import get_bytes, make_member, make_store

from ser_store_h5.corpus import Corpus
from ser_store_h5.pack.packing import pack
from ser_store_h5.store import Store


@dataclass(frozen=True)
class Sample:
    """A store, given by its files.

    Attributes:
        name: which of the samples it is.
        files: content of every file of the folder; of a packed store none.
        victim: the file that is damaged; empty for a packed store.
        content: the file's bytes as they were written.
    """

    name: str
    files: dict[str, bytes]
    victim: str
    content: bytes

    @cached_property
    def blocks(self) -> list[Block]:
        return find_blocks(self.content)

    def damage(self, kind: str, seed: int) -> bytes:
        return damage(
            self.content, self.blocks, kind, np.random.default_rng([seed, *self.name.encode(), *kind.encode()])
        )

    def write(self, folder: Path, content: bytes) -> Path:
        """Put the store into ``folder`` with this content of the damaged file; returns the path of the store."""
        if not self.victim:
            path = folder / f"{self.name}.serstore"
            path.write_bytes(content)
            return path
        path = folder / self.name
        if not path.exists():
            for name, whole in self.files.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(whole)
        (path / self.victim).write_bytes(content)
        return path


def _fill_other(file: Any) -> None:
    """Members as another program may write them: several chunks for each array, and many names."""
    put = hostile_samples.put
    put(file, "pooled", np.arange(48, dtype="<f2").reshape(12, 4), chunks=(2, 4))
    put(file, "logits", np.arange(36, dtype="<f4").reshape(12, 3), chunks=(5, 3))
    put(file, "predicted", np.arange(12, dtype="<i2") % 3, chunks=(1,))
    for i in range(60):
        file[f"further {i}"] = file["rows"]


def _widen(corpus: Corpus) -> Corpus:
    n = len(corpus)
    further = {f"column {i}": np.linspace(0, i, n) for i in range(20)}
    return replace(
        corpus,
        columns={**corpus.columns, **further},
        paths=np.array([f"{i}.wav" for i in range(n)]),
        audio_root="/audio",
        audio_digests=np.arange(n * 32, dtype=np.uint8).reshape(n, 32),
    )


def _change(name: str) -> Callable[[Store], str]:
    """How the file to be damaged comes about: changes the store and returns the file's name."""

    def write_own(store: Store) -> str:
        store.write_member(make_member(store.corpus, "tiny", 30, predicted=np.zeros(12, dtype=np.int16)))
        return "runs/tiny/step-000030.h5"

    def write_layers(store: Store) -> str:
        plain = make_member(store.corpus, "tiny", 30)
        assert plain.pooled is not None
        store.write_member(replace(plain, pooled=None, layers={0: plain.pooled, 3: -plain.pooled}))
        return "runs/tiny/step-000030.h5"

    def write_other(store: Store) -> str:
        hostile_samples.write_member(store.member_path("tiny", 30), store.corpus, _fill_other)
        return "runs/tiny/step-000030.h5"

    def write_corpus(store: Store) -> str:
        store.update_corpus(_widen(store.corpus))
        return "corpus.h5"

    changes: dict[str, Callable[[Store], str]] = {"member": write_own, "layers": write_layers, "other": write_other}
    return {**changes, "corpus": write_corpus, "pack": lambda _: ""}[name]


SAMPLES = ("member", "layers", "other", "corpus", "pack")


def make_sample(name: str) -> Sample:
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder) / "store")
        victim = _change(name)(store)
        if not victim:
            packed = Path(folder) / "packed"
            pack(store, packed)
            return Sample(name, {}, "", packed.read_bytes())
        files = get_bytes(store.path)
        return Sample(name, files, victim, files[victim])
