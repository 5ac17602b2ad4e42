"""Files that lie, made with bare h5py and then sealed, so that nothing but their structure gives them away."""

import hashlib
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ser_store_h5.corpus import Corpus
from ser_store_h5.hdf5.seal import SEAL_BYTES
from ser_store_h5.hdf5.seal import seal as write_seal

Change = Callable[[h5py.File], object]
TEXT = h5py.string_dtype("utf-8", 64)


def put_text(node: Any, name: str, text: str | bytes) -> None:
    encoded = text if isinstance(text, bytes) else text.encode()
    node.attrs.create(name, np.array(encoded or b"\0"), dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))


def put(file: h5py.File, name: str, values: Any, **storage: Any) -> h5py.Dataset:
    """One dataset in the place of what is there, with a digest that fits."""
    if name in file:
        del file[name]
    array = np.asarray(values)
    storage = {"chunks": array.shape, "fletcher32": True} | storage if array.ndim else storage
    dataset = file.create_dataset(name, data=array, **storage)
    return put_digest(dataset, array)


def put_digest(dataset: h5py.Dataset, array: Any) -> h5py.Dataset:
    head = f"{array.dtype.str} {','.join(map(str, array.shape))}\n"
    put_text(dataset, "sha256", hashlib.sha256(head.encode() + array.tobytes()).hexdigest())
    return dataset


def seal(path: Path) -> None:
    """Make the seal fit whatever follows it."""
    content = BytesIO(path.read_bytes())
    path.write_bytes(write_seal(content))


def _write(path: Path, change: Change, fill: Change) -> None:
    path.unlink(missing_ok=True)
    with h5py.File(path, "w", libver=("v110", "v110"), userblock_size=SEAL_BYTES) as file:
        fill(file)
        change(file)
    seal(path)


def write_member(path: Path, corpus: Corpus, change: Change) -> None:
    """A member at step 30 of the run ``tiny`` that follows FORMAT.md, and then ``change``."""

    def fill(file: h5py.File) -> None:
        put_text(file, "format", "ser-store/member")
        file.attrs["format_version"] = np.int32(1)
        put_text(file, "written_by", "another program 1.0")
        put_text(file, "corpus", corpus.digest)
        put_text(file, "run", "tiny")
        file.attrs["step"] = np.int64(30)
        put_text(file, "provenance", json.dumps({"source": "elsewhere"}))
        n, c = len(corpus), len(corpus.classes)
        put(file, "rows", np.arange(n, dtype="<i4"))
        put(file, "logits", np.arange(n * c, dtype="<f4").reshape(n, c))
        put(file, "pooled", np.ones((n, 4), dtype="<f2"))
        put(file, "predicted", np.zeros(n, dtype="<i2"))

    _write(path, change, fill)


def write_corpus(path: Path, corpus: Corpus, change: Change) -> None:
    """``corpus`` without its optional parts but a column and a split, and then ``change``."""

    def fill(file: h5py.File) -> None:
        put_text(file, "format", "ser-store/corpus")
        file.attrs["format_version"] = np.int32(1)
        put_text(file, "written_by", "another program 1.0")
        put_text(file, "name", corpus.name)
        put_text(file, "digest", corpus.digest)
        put_text(file, "default_split", "usual")
        put_text(file, "audio_root", "")
        put(file, "ids", np.char.encode(corpus.ids, "utf-8"))
        put(file, "labels", corpus.labels.astype("<i2"))
        put(file, "classes", np.char.encode(np.array(corpus.classes), "utf-8"))
        put(file, "columns/take", np.arange(len(corpus), dtype="<i8"))
        put(file, "splits/usual", np.array([b"train"] * len(corpus)))

    _write(path, change, fill)
