"""Files of any structure, sealed, with checksums that fit: read with the values libhdf5 finds, or refused in one line.

Each is read in a process of its own, which a crash, a hang or a flood of memory would end.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import hostile_samples
import numpy as np
import pytest
from fuzz_process import digest
from fuzzing import Prober
from hypothesis import given, settings
from hypothesis import strategies as st
from store_samples import make_corpus, make_store

EXAMPLES = int(os.environ.get("SERSTORE_FUZZ_EXAMPLES", "50"))
CORPUS = make_corpus()
Change = Callable[[h5py.File], None]

DTYPES = ["<f2", "<f4", "<f8", "<i2", "<i4", "<i8", "u1", "<u2", ">f4", ">i4", "S1", "S9", "<c8", "bool", "O", "ref"]
LENGTHS = st.sampled_from([1, 2, 3, 4, 11, 12, 13])
STORAGES: list[dict[str, Any]] = [
    {"chunks": True, "fletcher32": True},
    {"chunks": (1,), "fletcher32": True},
    {"chunks": (1,), "fletcher32": True, "maxshape": (None,)},
    {"chunks": True, "fletcher32": True, "compression": "gzip"},
    {"chunks": True, "fletcher32": True, "shuffle": True},
    {"chunks": True},
    {"compact": True},
    {},
]
TARGETS = ["/", "/rows", "/logits", "/ids", "/columns", "/nowhere", "rows", "../x", "/group/inner"]


def _make_values(dtype: str, shape: tuple[int, ...], kind: str, seed: int) -> Any:
    random = np.random.default_rng(seed)
    if dtype == "O":
        return np.full(shape, "text", dtype=object)
    if dtype == "ref":
        return np.full(shape, h5py.Reference(), dtype=h5py.ref_dtype)
    n = int(np.prod(shape))
    if kind == "bytes":
        with np.errstate(all="ignore"):
            return np.frombuffer(random.bytes(n * np.dtype(dtype).itemsize), "u1").view(dtype).reshape(shape)
    values = np.arange(n) % 12 if kind == "rising" else random.integers(0, 3, n)
    return values.astype(dtype).reshape(shape)


@st.composite
def put_dataset(draw: Any, name: str) -> Change:
    """Any dataset under this name: often what is expected there but for one thing."""
    usual = {"rows": ("<i4", 1), "logits": ("<f4", 2), "pooled": ("<f2", 2), "predicted": ("<i2", 1)}
    usual |= {f"layers/{number:02}": ("<f2", 2) for number in (0, 2)}
    usual |= {"labels": ("<i2", 1), "classes": ("S9", 1), "audio_digests": ("u1", 2)}
    dtype, axes = usual.get(name, ("S9", 1))
    dtype = draw(st.just(dtype) | st.sampled_from(DTYPES))
    axes = draw(st.just(axes) | st.integers(0, 3))
    shape = tuple(draw(st.lists(LENGTHS | st.just(12), min_size=axes, max_size=axes)))
    values = _make_values(dtype, shape, draw(st.sampled_from(["rising", "few", "bytes"])), draw(st.integers(0, 99)))
    storage = dict(draw(st.sampled_from(STORAGES)))
    has_digest = draw(st.integers(0, 9)) > 0

    def change(file: h5py.File) -> None:
        if storage.pop("compact", False):
            plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plan.set_layout(h5py.h5d.COMPACT)
            storage["dcpl"] = plan
        chunks, limits = storage.get("chunks"), storage.get("maxshape")
        if axes == 0 or dtype in ("O", "ref"):
            storage.clear()
        elif isinstance(chunks, tuple):
            storage["chunks"] = (*chunks, *shape[1:])
            storage.update({"maxshape": (*limits, *shape[1:])} if limits else {})
        elif chunks:
            storage["chunks"] = shape
        made = file.create_dataset(name, data=values, **storage)
        if has_digest and dtype not in ("O", "ref"):
            hostile_samples.put_digest(made, made[()] if dtype == "bool" else values)

    return change


@st.composite
def put_anything(draw: Any, name: str) -> Change:
    """Anything HDF5 can hold under a name: a dataset, a group, a link of any kind, a type, or nothing."""
    fill = draw(put_dataset(name))
    kind = draw(st.sampled_from(["dataset"] * 8 + ["nothing", "group", "type", "soft", "external", "hard"]))
    target = draw(st.sampled_from(TARGETS))

    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        if kind == "dataset":
            fill(file)
        elif kind == "group":
            file.create_group(name).create_group("inner")
        elif kind == "type":
            file[name] = np.dtype("<f4")
        elif kind == "soft":
            file[name] = h5py.SoftLink(target)
        elif kind == "external":
            file[name] = h5py.ExternalLink("step-000010.h5", target)
        elif kind == "hard":
            file[name] = file[target] if target in file else file["/"]

    return change


VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([np.int8(1), np.int32(1), np.uint64(2**64 - 1), np.zeros(3), np.float16(1), np.void(b"x")]),
    st.sampled_from([h5py.Empty("S4"), np.bytes_(b"\xff"), np.bytes_(b"{}"), np.bytes_(b"tiny"), np.bytes_(b"a\nb")]),
)


@st.composite
def put_attribute(draw: Any, names: list[str]) -> Change:
    name, value = draw(st.sampled_from(names)), draw(VALUES)

    def change(file: h5py.File) -> None:
        try:
            file.attrs[name] = value
        except (ValueError, OverflowError, TypeError):  # h5py cannot write it
            file.attrs[name] = 1

    return change


def changes(names: list[str], attributes: list[str]) -> st.SearchStrategy[list[Change]]:
    objects = st.lists(st.sampled_from(names).flatmap(put_anything), min_size=1, max_size=3)
    stated = st.lists(put_attribute(attributes), max_size=1) | st.just([])
    return st.tuples(objects, stated).map(lambda made: [*made[0], *made[1]])


def apply(given: list[Change]) -> Change:
    """Apply what can be: there is no ``columns/x`` where ``columns`` is no group, and no way along a cyclic link."""

    def change(file: h5py.File) -> None:
        for one in given:
            try:
                one(file)
            except (KeyError, ValueError, OSError, RuntimeError, TypeError):
                continue

    return change


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("structure") / "store").path


def read_bare(path: Path, name: str) -> str:
    """What libhdf5 finds; only asked where the package has read something."""
    with h5py.File(path, "r", locking=False) as file:
        array = file[name][()]
    return digest(np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array)


def check_answers(answers: dict[str, str], path: Path, prefix: str, names: list[str]) -> None:
    escaped = {name: said for name, said in answers.items() if said.startswith("escaped")}
    assert not escaped
    for name in names:
        said = answers.get(f"{prefix}{name}")
        if said is not None and said != "-":
            assert said == read_bare(path, name), name
    if f"{prefix}stated" not in answers:
        assert answers["verify"] == "refused: Verification"


MEMBER_ATTRIBUTES = ["format", "format_version", "written_by", "corpus", "run", "step", "provenance", "further"]


@settings(max_examples=EXAMPLES)
@given(given=changes(["rows", "logits", "pooled", "predicted", "further"], MEMBER_ATTRIBUTES))
def test_a_member_of_any_structure_is_read_right_or_refused(prober: Prober, folder: Path, given: list[Change]) -> None:
    path = folder / "runs" / "tiny" / "step-000030.h5"
    hostile_samples.write_member(path, CORPUS, apply(given))
    check_answers(prober.probe(folder), path, "tiny@30: ", ["rows", "logits", "pooled", "predicted"])
    path.unlink()


def fill_layers(file: h5py.File) -> None:
    """Version 2: three layers, of which the last is ``pooled``."""
    file.attrs["format_version"] = np.int32(2)
    hostile_samples.put_text(file, "layers", "0,2,3")
    for number in (0, 2):
        hostile_samples.put(file, f"layers/{number:02}", np.full((12, 4), number, dtype="<f2"))


@settings(max_examples=EXAMPLES)
@given(
    given=changes(
        ["layers/00", "layers/02", "layers/2", "layers", "pooled"], ["layers", "format_version", "provenance"]
    )
)
def test_layers_of_any_structure_are_read_right_or_refused(prober: Prober, folder: Path, given: list[Change]) -> None:
    path = folder / "runs" / "tiny" / "step-000030.h5"
    hostile_samples.write_member(path, CORPUS, apply([fill_layers, *given]))
    names = ["rows", "logits", "pooled", "predicted", "layers/00", "layers/02"]
    check_answers(prober.probe(folder), path, "tiny@30: ", names)
    path.unlink()


CORPUS_NAMES = ["ids", "labels", "classes", "speakers", "paths", "audio_digests"]
CORPUS_PLACES = [*CORPUS_NAMES, "columns", "splits", "columns/take", "columns/further", "splits/usual", "splits/x"]
CORPUS_ATTRIBUTES = ["format", "format_version", "written_by", "name", "digest", "default_split", "audio_root"]


@settings(max_examples=EXAMPLES)
@given(given=changes(CORPUS_PLACES, CORPUS_ATTRIBUTES))
def test_a_corpus_of_any_structure_is_read_right_or_refused(prober: Prober, folder: Path, given: list[Change]) -> None:
    path = folder / "corpus.h5"
    whole = path.read_bytes()
    try:
        hostile_samples.write_corpus(path, CORPUS, apply(given))
        check_answers(prober.probe(folder), path, "corpus: ", [name for name in CORPUS_NAMES if name != "classes"])
    finally:
        path.write_bytes(whole)


JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
EVIL = ["[" * 100_000, "9" * 100_000, '{"a": ' * 50_000, '{"a": 1, "a": 2}', '{"a": NaN}', "\ud800", "\0", "", "{}"]
EVIL += ['{"a": 1e999}', '{"a": -Infinity}', '"' + "\\u0000" * 9, "{" + '"x":1,' * 5, "\ufeff{}"]


@settings(max_examples=EXAMPLES)
@given(
    record=st.dictionaries(st.sampled_from(["run", "kind", "state", "selected", "format_version", "x"]), JSON_TEXTS),
    evil=st.none() | st.sampled_from(EVIL),
    lines=st.lists(JSON_TEXTS | st.sampled_from(EVIL), max_size=3),
)
def test_records_and_curves_of_any_json_are_read_or_refused(
    prober: Prober, folder: Path, record: dict[str, Any], evil: str | None, lines: list[Any]
) -> None:
    import json

    run = folder / "runs" / "tiny"
    whole = [(path, path.read_bytes()) for path in (run / "run.json", run / "curves.jsonl")]
    stated = {key: value for key, value in json.loads(whole[0][1]).items() if key != "sha256"}
    text = evil if evil is not None else json.dumps(stated | record)
    said = [line if isinstance(line, str) and line in EVIL else json.dumps(line) for line in lines]
    try:
        (run / "run.json").write_bytes(text.encode(errors="surrogatepass"))
        (run / "curves.jsonl").write_bytes("".join(f"{line}\n" for line in said).encode(errors="surrogatepass"))
        answers = prober.probe(folder)
        assert not {name: answer for name, answer in answers.items() if answer.startswith("escaped")}
    finally:
        for path, content in whole:
            path.write_bytes(content)
