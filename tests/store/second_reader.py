"""A second reader of the format, written from FORMAT.md alone with bare h5py; it shares no line with the package."""

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_file(path: Path, form: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes and datasets of one file, sections 1 and 2 of the page."""
    check_seal(path)
    with h5py.File(path, "r") as file:
        return read_group(file, form)


def check_seal(path: Path) -> None:
    content = path.read_bytes()
    magic = b"serstore HDF5 file; the HDF5 data begin at byte 512; see FORMAT.md\n"
    seal = magic + b"size %020d\n" % len(content) + b"sha256 " + sha256(content[512:]).encode() + b"\n"
    assert content[:512] == seal.ljust(511, b"-") + b"\n"
    assert content[512:521] == b"\x89HDF\r\n\x1a\n\x03"


def read_group(group: Any, form: str) -> tuple[dict[str, Any], dict[str, Any]]:
    stated = {name: read_attribute(group, name) for name in group.attrs}
    assert (stated["format"], stated["format_version"]) == (form, 2 if "layers" in stated else 1)
    assert (group.attrs["format_version"].dtype, bool(stated["written_by"])) == (np.int32, True)
    names: list[str] = []
    if form != "ser-store/pack":
        group.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
    arrays = {name: read_dataset(group[name]) for name in names}
    if "layers" in stated:  # the last of them is pooled
        *lower, _ = stated["layers"].split(",")
        assert {name for name in names if name.startswith("layers/")} == {f"layers/{layer:>02}" for layer in lower}
    return stated, arrays


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
    corpus = read_file(path / "corpus.h5", "ser-store/corpus")
    assert corpus[0]["digest"] == compute_corpus_digest(corpus[1])
    runs, members = {}, {}
    for folder in (path / "runs").glob("*"):
        curves = folder / "curves.jsonl"
        lines = curves.read_text("utf-8").splitlines() if curves.exists() else []
        runs[folder.name] = json.loads((folder / "run.json").read_text("utf-8")), [json.loads(line) for line in lines]
        for file in folder.glob("step-*.h5"):
            stated, arrays = read_file(file, "ser-store/member")
            assert (stated["corpus"], file.name) == (corpus[0]["digest"], f"step-{stated['step']:06}.h5")
            assert stated["run"] == folder.name == runs[folder.name][0]["run"]
            members[f"{folder.name}@{stated['step']}"] = json.loads(stated["provenance"]), arrays
    return corpus, runs, members


def read_pack(path: Path) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Section 6 of the page: what :func:`read_store` finds in a folder."""
    check_seal(path)
    with h5py.File(path, "r") as file:
        read_group(file, "ser-store/pack")
        corpus, runs, members = read_group(file["corpus"], "ser-store/corpus"), {}, {}
        assert corpus[0]["digest"] == compute_corpus_digest(corpus[1])
        for run, group in file.get("runs", {}).items():
            texts = {name: read_dataset(group[name]).tobytes() for name in group if not name.startswith("step-")}
            lines = texts.get("curves.jsonl", b"").decode().splitlines()
            runs[run] = json.loads(texts["run.json"]), [json.loads(line) for line in lines]
            for name in set(group) - set(texts):
                stated, arrays = read_group(group[name], "ser-store/member")
                assert (stated["corpus"], name) == (corpus[0]["digest"], f"step-{stated['step']:06}")
                assert stated["run"] == run == runs[run][0]["run"]
                members[f"{run}@{stated['step']}"] = json.loads(stated["provenance"]), arrays
    return corpus, runs, members
