"""A second reader, written from FORMAT.md alone with bare h5py, reads the golden stores and agrees with the first."""

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"
RELEASES = sorted(found.parent.name for found in GOLDEN.glob("*/corpus.h5"))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_second(path: Path, form: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes and datasets of one file, sections 1 and 2 of the page."""
    content = path.read_bytes()
    magic = b"serstore HDF5 file; the HDF5 data begin at byte 512; see FORMAT.md\n"
    seal = magic + b"size %020d\n" % len(content) + b"sha256 " + sha256(content[512:]).encode() + b"\n"
    assert content[:512] == seal.ljust(511, b"-") + b"\n"
    assert content[512:521] == b"\x89HDF\r\n\x1a\n\x03"
    with h5py.File(path, "r") as file:
        stated = {name: read_attribute(file, name) for name in file.attrs}
        assert (stated["format"], stated["format_version"]) == (form, 1)
        assert (file.attrs["format_version"].dtype, bool(stated["written_by"])) == (np.int32, True)
        names: list[str] = []
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        return stated, {name: read_dataset(file[name]) for name in names}


def read_attribute(node: Any, name: str) -> Any:
    value = node.attrs[name]
    assert value.shape == ()
    return value.decode().strip("\0") if isinstance(value, bytes) else int(value)


def read_dataset(node: Any) -> Any:
    assert (node.fletcher32, node.compression, node.chunks[1:]) == (True, None, node.shape[1:])
    array = node[()]
    assert array.dtype.str[0] in "<|"
    head = f"{array.dtype.str} {','.join(map(str, array.shape))}\n"
    assert read_attribute(node, "sha256") == sha256(head.encode() + array.tobytes())
    return np.array([text.decode() for text in array]) if array.dtype.kind == "S" else array


def compute_corpus_digest(arrays: dict[str, Any]) -> str:
    identity = b""
    for text in [*arrays["classes"], "", *arrays["ids"]]:
        identity += len(text.encode()).to_bytes(4, "little") + text.encode()
    return sha256(identity + arrays["labels"].astype("<i2").tobytes())


def read_store(path: Path) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    corpus = read_second(path / "corpus.h5", "ser-store/corpus")
    assert corpus[0]["digest"] == compute_corpus_digest(corpus[1])
    runs, members = {}, {}
    for folder in (path / "runs").iterdir():
        curves = folder / "curves.jsonl"
        lines = curves.read_text("utf-8").splitlines() if curves.exists() else []
        runs[folder.name] = json.loads((folder / "run.json").read_text("utf-8")), [json.loads(line) for line in lines]
        for file in folder.glob("step-*.h5"):
            stated, arrays = read_second(file, "ser-store/member")
            assert (stated["corpus"], file.name) == (corpus[0]["digest"], f"step-{stated['step']:06}.h5")
            assert stated["run"] == folder.name == runs[folder.name][0]["run"]
            members[f"{folder.name}@{stated['step']}"] = json.loads(stated["provenance"]), arrays
    return corpus, runs, members


# Here the second reader ends. What follows compares it with the first.


@pytest.fixture(params=RELEASES)
def golden(request: pytest.FixtureRequest) -> Path:
    return GOLDEN / str(request.param)


def test_both_readers_find_the_same_corpus(golden: Path) -> None:
    from ser_store_h5.store import Store

    first, ((stated, arrays), _, _) = Store(golden).corpus, read_store(golden)
    assert [first.name, first.digest, first.default_split, first.audio_root] == [
        stated[name] for name in ("name", "digest", "default_split", "audio_root")
    ]
    flat = {f"columns/{name}": values for name, values in first.columns.items()}
    flat |= {f"splits/{name}": values for name, values in first.splits.items()}
    flat |= {name: getattr(first, name) for name in ("ids", "labels", "speakers", "paths", "audio_digests")}
    flat["classes"] = np.array(first.classes)
    assert flat.keys() == arrays.keys()
    for name, values in flat.items():
        np.testing.assert_array_equal(values, arrays[name])


def test_both_readers_find_the_same_members_and_runs(golden: Path) -> None:
    from ser_store_h5.store import Store

    store, (_, runs, members) = Store(golden), read_store(golden)
    assert sorted(members) == sorted(store.member_names())
    for name, (provenance, arrays) in members.items():
        first = store.read_member(name)
        assert first.provenance == provenance
        held = {array: getattr(first, array) for array in ("rows", "logits", "pooled", "predicted")}
        assert {array for array, values in held.items() if values is not None} == set(arrays)
        for array, values in arrays.items():
            assert held[array].dtype == values.dtype
            np.testing.assert_array_equal(held[array], values)
    assert sorted(runs) == store.runs()
    for run, (record, curves) in runs.items():
        assert store.run(run).to_json() == record
        assert store.curves(run) == curves


def test_the_second_reader_finds_a_flipped_byte(golden: Path, tmp_path: Path) -> None:
    content = bytearray((golden / "corpus.h5").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "corpus.h5").write_bytes(content)
    with pytest.raises(AssertionError):
        read_second(tmp_path / "corpus.h5", "ser-store/corpus")
