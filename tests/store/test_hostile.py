"""Stores from strangers: nothing outside is read, nothing large is allocated, and one line says what is wrong."""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import hostile_samples
import numpy as np
import pytest
from hostile_samples import put, put_digest, put_text
from store_samples import assert_same_corpus, find_problem_files, get_problem, make_corpus, make_store

from ser_store_h5.errors import StoreError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

CORPUS = make_corpus()
ROWS = np.arange(12, dtype=np.int32)
LOGITS = np.zeros((12, 3), dtype="<f4")
SECRET = np.full((12, 3), 42, dtype="<f4")
Change = Callable[[h5py.File], object]


def link(name: str, target: Any) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = target

    return change


def attribute(name: str, value: Any, **kinds: Any) -> Change:
    return lambda file: file.attrs.create(name, value, **kinds)


def text(name: str, value: str | bytes) -> Change:
    return lambda file: put_text(file, name, value)


def dataset(name: str, values: Any, **storage: Any) -> Change:
    return lambda file: put(file, name, values, **storage)


def claim(name: str, shape: tuple[int, ...], dtype: str, **storage: Any) -> Change:
    """A dataset without a single byte in the file."""

    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        made = file.create_dataset(name, shape, dtype=dtype, **({"chunks": True, "fletcher32": True} | storage))
        put_text(made, "sha256", "0" * 64)

    return change


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(12, 3), dtype="<f4")
    layout[:] = h5py.VirtualSource("secret.h5", "secret", shape=(12, 3))
    del file["logits"]
    file.create_virtual_dataset("logits", layout)
    put_digest(file["logits"], SECRET)


def external(file: h5py.File) -> None:
    del file["logits"]
    made = file.create_dataset("logits", (12, 3), "<f4", external=[("secret.bin", 0, SECRET.nbytes)])
    put_digest(made, SECRET)


def references(file: h5py.File) -> None:
    del file["logits"]
    file.create_dataset("logits", (12, 3), dtype=h5py.ref_dtype)


def committed(file: h5py.File) -> None:
    del file["logits"]
    file["logits"] = np.dtype("<f4")


def null(file: h5py.File) -> None:
    del file["logits"]
    file.create_dataset("logits", data=h5py.Empty("<f4"))


def group_in_place(file: h5py.File) -> None:
    del file["logits"]
    node = file.create_group("logits")
    for _ in range(2_000):
        node = node.create_group("x")


def made(name: str, kind: Any, *, filters: tuple[int, ...] = (3,), early: int = 0) -> Change:
    """A dataset with a type, filters or an allocation that h5py's own calls do not offer."""

    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        shape = (12,) if name == "rows" else (12, 3)
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((4, *shape[1:]))
        for number in filters:
            plan.set_filter(number, h5py.h5z.FLAG_OPTIONAL)
        if early:
            plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), plan)
        put_text(h5py.Dataset(dataset), "sha256", "0" * 64)

    return change


def share_type(file: h5py.File) -> None:
    """A type that is an object of its own, and a dataset that only refers to it."""
    file["kind"] = np.dtype("<f4")
    made("logits", file["kind"].id)(file)


def name_badly(file: h5py.File) -> None:
    """Names that are no paths and no UTF-8 do no harm where nothing is looked for under them."""
    for name in (b"\xff\xfe", b"..", b"a\\b", b"C:", "e\u0301".encode()):
        h5py.h5g.create(file.id, name)


def crowd(file: h5py.File) -> None:
    for i in range(9):
        file.attrs[f"further {i}"] = i


def bloat(file: h5py.File) -> None:
    file.attrs["further"] = np.zeros(70_000, "u1")


def without_digest(file: h5py.File) -> None:
    del file["logits"].attrs["sha256"]


def without(name: str) -> Change:
    def change(file: h5py.File) -> None:
        del file.attrs[name]

    return change


def nothing(file: h5py.File) -> None:
    for name in ("logits", "pooled", "predicted"):
        del file[name]


GROWS = "an array that can grow: expected one of fixed shape"
NAN = np.full((12, 3), np.nan, "<f4")
FLOAT, ENUM = h5py.h5t.IEEE_F32LE, h5py.h5t.enum_create(h5py.h5t.STD_I32LE)
ENUM.enum_insert(b"one", 1)
ODD, PADDED = FLOAT.copy(), h5py.h5t.STD_I32LE.copy()
ODD.set_ebias(100)
PADDED.set_precision(20)
OPAQUE, VARIABLE = h5py.h5t.create(h5py.h5t.OPAQUE, 4), h5py.h5t.vlen_create(FLOAT)
CHUNKS = "logits: expected chunks inside the file"
COMPOUND = np.zeros((12, 3), dtype=[("re", "<f4"), ("im", "<f4")])
MEMBERS: dict[str, tuple[Change, str]] = {
    "external link": (link("logits", h5py.ExternalLink("secret.h5", "secret")), "logits: is a link: expected a"),
    "soft link": (link("logits", h5py.SoftLink("/pooled")), "logits: is a link: expected a"),
    "dangling link": (link("logits", h5py.SoftLink("/nowhere")), "logits: is a link: expected a"),
    "cyclic link": (link("logits", h5py.SoftLink("/logits")), "logits: is a link: expected a"),
    "linked rows": (link("rows", h5py.ExternalLink("secret.h5", "rows")), "rows: is a link: expected a"),
    "virtual dataset": (virtual, "logits: expected chunks inside the file"),
    "external storage": (external, "logits: expected chunks inside the file"),
    "object references": (references, "logits: has dtype reference"),
    "committed type": (committed, "logits: expected a dataset"),
    "null dataspace": (null, "logits: has shape None: expected (12, 3)"),
    "deep groups": (group_in_place, "logits: expected a dataset"),
    "scalar": (dataset("logits", np.float32(1)), "logits: has shape (): expected (12, 3)"),
    "contiguous": (dataset("logits", LOGITS, chunks=None, fletcher32=False), "logits: expected chunks inside"),
    "no checksum": (dataset("logits", LOGITS, fletcher32=False), "logits: expected chunks inside the file"),
    "compressed": (dataset("logits", LOGITS, compression="gzip"), "logits: expected chunks inside the file"),
    "shuffled": (dataset("logits", LOGITS, shuffle=True), "logits: expected chunks inside the file"),
    "gzip bomb": (claim("rows", (1 << 28,), "<i4", compression="gzip"), "rows: claims (268435456,) of int32"),
    "absurd rows": (claim("rows", (1 << 40,), "<i4"), "rows: claims (1099511627776,) of int32, more than its file"),
    "absurd pooled": (claim("pooled", (12, 1 << 50), "<f2"), "pooled: claims"),
    "absurd chunk": (claim("rows", (12,), "<i4", maxshape=(None,), chunks=(1 << 28,)), GROWS),
    "grows along one axis": (dataset("logits", LOGITS, maxshape=(None, 3), chunks=(2, 3)), GROWS),
    "grows along both": (dataset("logits", LOGITS, maxshape=(None, None), chunks=(2, 3)), GROWS),
    "parts of rows": (dataset("logits", LOGITS, chunks=(12, 2)), "logits: expected chunks inside the file, of"),
    "unwritten chunks": (claim("logits", (12, 3), "<f4"), "logits: claims (12, 3) of float32, more than its file"),
    "compound": (dataset("logits", COMPOUND), "logits: has dtype"),
    "big-endian": (dataset("logits", LOGITS.astype(">f4")), "logits: has dtype >f4: expected little-endian f4"),
    "float64": (dataset("logits", LOGITS.astype("<f8")), "logits: has dtype float64: expected little-endian f4"),
    "complex": (dataset("pooled", np.zeros((12, 3), "<c8")), "pooled: has dtype compound: expected little-endian"),
    "text": (dataset("pooled", np.full((12, 3), b"ab")), "pooled: has dtype |S2: expected little-endian f2 or f4"),
    "variable length": (dataset("predicted", np.array(["a"] * 12, object), dtype=h5py.string_dtype(), fletcher32=False,
                                chunks=None), "predicted: has dtype variable-length: expected"),
    "enum": (made("logits", ENUM), "logits: has dtype enum: expected little-endian f4"),
    "opaque": (made("logits", OPAQUE), "logits: has dtype opaque: expected little-endian f4"),
    "lists": (made("logits", VARIABLE, filters=()), "logits: has dtype variable-length: expected little-endian f4"),
    "arrays": (made("logits", h5py.h5t.array_create(FLOAT, (2,))), "logits: has dtype array: expected little-endian"),
    "regions": (made("logits", h5py.h5t.STD_REF_DSETREG, filters=()), "logits: has dtype reference: expected little"),
    "bits": (made("logits", h5py.h5t.STD_B32LE), "logits: has dtype bits: expected little-endian f4"),
    "odd floats": (made("logits", ODD), "logits: has dtype float: expected little-endian f4"),
    "padded integers": (made("rows", PADDED), "rows: has dtype integer: expected little-endian i4"),
    "shared type": (share_type, "a message of kind 3, which this format does not use"),
    "unknown filter": (made("logits", FLOAT, filters=(32_001,)), CHUNKS),
    "one filter more": (made("logits", FLOAT, filters=(3, 32_001)), CHUNKS),
    "filtered twice": (made("logits", FLOAT, filters=(3, 3)), CHUNKS),
    "not filtered, written early": (made("logits", FLOAT, filters=(), early=1), CHUNKS),
    "filled only": (made("logits", FLOAT, early=1), "logits: its bytes are not those that were written"),
    "never written": (made("logits", FLOAT), "logits: claims (12, 3) of float32, more than its file"),
    "many attributes": (crowd, "attributes outside the object header: expected all in it"),
    "huge attribute": (bloat, "attributes outside the object header: expected all in it"),
    "other classes": (dataset("logits", np.zeros((12, 4), "<f4")), "logits: has shape (12, 4): expected (12, 3)"),
    "other rows": (dataset("pooled", np.zeros((11, 4), "<f2")), "pooled: has shape (11, 4): expected (12, any)"),
    "three axes": (dataset("pooled", np.zeros((12, 4, 1), "<f2")), "pooled: has shape (12, 4, 1): expected (12, any)"),
    "NaN logits": (dataset("logits", NAN), "logits: holds NaN or infinity: expected finite numbers"),
    "infinite pooled": (dataset("pooled", np.full((12, 3), np.inf, "<f2")), "pooled: holds NaN or infinity"),
    "rows beyond": (dataset("rows", ROWS + 1), "rows: expected ascending unique indices below 12"),
    "negative rows": (dataset("rows", ROWS - 1), "rows: expected ascending unique indices below 12"),
    "unsorted rows": (dataset("rows", ROWS[::-1]), "rows: expected ascending unique indices below 12"),
    "repeated rows": (dataset("rows", ROWS * 0), "rows: expected ascending unique indices below 12"),
    "wrapped rows": (dataset("rows", np.array([2, -(2**31) + 1] + [5] * 10, "<i4")), "rows: expected ascending unique"),
    "no rows": (dataset("rows", ROWS[:0], chunks=(1,), maxshape=(None,)), GROWS),
    "predicted beyond": (dataset("predicted", np.full(12, 3, "<i2")), "predicted: expected class indices below 3"),
    "holds nothing": (nothing, "holds neither logits, pooled nor predicted"),
    "no digest": (without_digest, "attribute sha256 is missing"),
    "wrong digest": (lambda file: put_text(file["logits"], "sha256", "0" * 64), "logits: its bytes are not those that"),
    "reference attribute": (lambda file: file.attrs.create("run", file["rows"].ref, dtype=h5py.ref_dtype),
                            "attribute run: expected text of fixed length or an integer"),
    "region attribute": (lambda file: file.attrs.create("run", file["rows"].regionref[:2], dtype=h5py.regionref_dtype),
                         "attribute run: expected text of fixed length or an integer"),
    "variable attribute": (attribute("run", "tiny"), "attribute run: expected text of fixed length or an integer"),
    "array attribute": (attribute("step", np.arange(9)), "attribute step: expected one value of at most 60000 bytes"),
    "null attribute": (attribute("run", h5py.Empty("S4")), "attribute run: expected one value"),
    "float attribute": (attribute("step", 30.0), "attribute step: expected text of fixed length or an integer"),
    "number for a text": (attribute("run", 1), "attribute run: expected text"),
    "text for a number": (text("step", "30"), "attribute step: expected an integer"),
    "other run": (text("run", "other"), "says it is other@30: expected the name its folder and file give it"),
    "other step": (attribute("step", np.int64(31)), "says it is tiny@31: expected the name its folder"),
    "no provenance": (without("provenance"), "attribute provenance is missing"),
    "provenance no JSON": (text("provenance", "{"), "attribute provenance: expected a JSON object"),
    "provenance a list": (text("provenance", "[]"), "attribute provenance: expected a JSON object"),
    "provenance nested": (text("provenance", "[" * 60_000), "attribute provenance: expected a JSON object"),
    "provenance a number": (text("provenance", "9" * 10_000), "attribute provenance: expected a JSON object"),
    "provenance no UTF-8": (text("provenance", b'{"a": "\xff"}'), "attribute provenance: expected UTF-8 text"),
    "corpus too": (text("format", "ser-store/corpus"), "is of format 'ser-store/corpus': expected 'ser-store/member'"),
    "line feeds": (text("format", "a\nb\n"), "is of format"),
    "no format": (without("format"), "attribute format is missing"),
    "newer": (attribute("format_version", np.int32(3)),
              "has format version 3, written by another program 1.0: this release reads up to 2; upgrade with pip"),
    "key said twice": (text("provenance", '{"a": 1, "a": 2}'), "attribute provenance: expected a JSON object"),
    "version zero": (attribute("format_version", np.int32(0)), "has format version 0: expected 1 to 2"),
    "other corpus": (text("corpus", "ab" * 32), "belongs to another corpus (digest abababababab…)"),
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a secret beside it that no member may show."""
    made = make_store(tmp_path / "store")
    with h5py.File(made.run_folder("tiny") / "secret.h5", "w") as file:
        file["secret"], file["rows"] = SECRET, ROWS
    (made.run_folder("tiny") / "secret.bin").write_bytes(SECRET.tobytes())
    return made


def test_a_file_made_by_bare_h5py_after_the_page_is_read(store: Store) -> None:
    hostile_samples.write_member(store.member_path("tiny", 30), CORPUS, lambda _: None)
    assert store.logits(["tiny@30"], ROWS)[0].tolist() == np.arange(36).reshape(12, 3).tolist()
    assert store.describe_member("tiny@30").provenance == {"source": "elsewhere"}
    assert "runs/tiny/step-000030.h5" not in find_problem_files(store.path)


@pytest.mark.parametrize("lie", MEMBERS)
def test_a_member_that_lies_is_refused_with_one_line(store: Store, monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    change, message = MEMBERS[lie]
    path = store.member_path("tiny", 30)
    hostile_samples.write_member(path, CORPUS, change)
    monkeypatch.chdir(path.parent)
    found = {problem.file: problem.problem for problem in verify_store(store.path).problems}
    assert message in found["runs/tiny/step-000030.h5"]
    tracemalloc.start()
    problem = get_problem(lambda: store.read_member("tiny@30"))
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert allocated < 8 << 20
    if "says it is" not in message:  # only verification compares names
        assert isinstance(problem, StoreError)
        assert str(path) in str(problem)
        assert message in str(problem)
    for call in (store.describe_member, lambda name: store.predictions([name], ROWS)):
        get_problem(lambda call=call: call("tiny@30"))  # type: ignore[misc]
    for rows in (ROWS, ROWS[:1]):
        get_problem(lambda rows=rows: store.pooled("tiny@30", rows))  # type: ignore[misc]
    get_problem(store.members)


@pytest.mark.parametrize("lie", ["external link", "virtual dataset", "external storage"])
def test_what_lies_outside_is_not_read(store: Store, monkeypatch: pytest.MonkeyPatch, lie: str) -> None:
    hostile_samples.write_member(store.member_path("tiny", 30), CORPUS, MEMBERS[lie][0])
    monkeypatch.chdir(store.run_folder("tiny"))
    with h5py.File(store.member_path("tiny", 30), "r") as file:  # the lie works on those who believe it
        assert (file["logits"][()] == SECRET).all()
    with pytest.raises(StoreError):
        store.logits(["tiny@30"], ROWS)


def add_deep_groups(file: h5py.File) -> None:
    node = file.create_group("unknown")
    for _ in range(2_000):
        node = node.create_group("x")
    file["unknown/cycle"] = file["/"]
    file["elsewhere"] = h5py.ExternalLink("secret.h5", "secret")
    file.attrs["unknown"] = np.zeros(100)


UNKNOWN = {"deep groups": add_deep_groups, "odd names": name_badly, "odd filter": made("x", FLOAT, filters=(32_001,))}


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_unknown_datasets_groups_links_and_attributes_are_ignored(store: Store, unknown: str) -> None:
    hostile_samples.write_member(store.member_path("tiny", 30), CORPUS, UNKNOWN[unknown])
    assert store.read_member("tiny@30").provenance == {"source": "elsewhere"}
    assert "runs/tiny/step-000030.h5" not in find_problem_files(store.path)


def add_aliases(file: h5py.File) -> None:
    """A thousand columns that are one: small in the file, a thousand times as large in memory."""
    put(file, "columns/c", np.zeros(12, "<i8"))
    for i in range(1_000):
        file[f"columns/c{i}"] = file["columns/c"]


def columns_cycle(file: h5py.File) -> None:
    del file["columns"]
    file["columns"] = file["/"]
    put(file, "audio_digests", np.zeros((12, 32), "u1"))


ONE = np.zeros(12, "<i8")
CORPORA: dict[str, tuple[Change, str]] = {
    "linked ids": (link("ids", h5py.SoftLink("/classes")), "ids: is a link: expected a dataset inside the file"),
    "absurd ids": (claim("ids", (1 << 40,), "S8"), "ids: claims"),
    "ids no UTF-8": (dataset("ids", np.array([b"\xff%02d" % i for i in range(12)])), "ids: expected UTF-8 text"),
    "ids unsorted": (dataset("ids", np.array([b"%02d" % i for i in range(12)][::-1])), "must be unique and ascending"),
    "ids repeated": (dataset("ids", np.array([b"u"] * 12)), "must be unique and ascending"),
    "no ids": (claim("ids", (0,), "S8", chunks=(1,), maxshape=(None,)), "ids: an array that can grow: expected"),
    "other ids": (dataset("ids", np.array([b"v%02d" % i for i in range(12)])), "do not match the digest"),
    "labels beyond": (dataset("labels", np.full(12, 3, "<i2")), "labels must lie in 0..2"),
    "labels negative": (dataset("labels", np.full(12, -1, "<i2")), "labels must lie in 0..2"),
    "labels too few": (dataset("labels", np.zeros(11, "<i2")), "labels: has shape (11,): expected (12)"),
    "one class": (dataset("classes", np.array([b"a"])), "has 1 classes (a): expected 2 to 1024"),
    "equal classes": (dataset("classes", np.array([b"a", b"a", b"b"])), "expected different names"),
    "many classes": (dataset("classes", np.array([b"%d" % i for i in range(2000)])), "has 2000 classes"),
    "column elsewhere": (link("columns/take", h5py.ExternalLink("x.h5", "x")), "columns/take: is a link: expected a"),
    "columns elsewhere": (link("columns", h5py.ExternalLink("x.h5", "x")), "columns: is a link: expected a group"),
    "column a group": (lambda file: file.create_group("columns/x"), "columns/x: expected a dataset"),
    "column of a dtype": (dataset("columns/x", ONE.astype("<f4")), "columns/x: has dtype float32"),
    "column too short": (dataset("columns/x", ONE[:3]), "columns/x: has shape (3,): expected (12)"),
    "column name": (dataset(f"columns/{'x' * 200}", ONE), "expected 1 to 100 characters"),
    "columns alias": (add_aliases, "columns claim 96192 bytes, more than their file"),
    "columns cycle": (columns_cycle, "columns/audio_digests: has dtype"),
    "columns a dataset": (link("columns", ONE), "columns: expected a group"),
    "digests short": (dataset("audio_digests", np.zeros((12, 20), "u1")), "audio_digests: has shape (12, 20)"),
    "digest of another": (text("digest", "ab" * 32), "ids, labels or classes do not match the digest"),
    "variable name": (attribute("name", "x"), "attribute name: expected text of fixed length or an integer"),
    "name no UTF-8": (text("name", b"\xff"), "attribute name: expected UTF-8 text"),
    "newer": (attribute("format_version", np.int32(9)), "has format version 9, written by another program 1.0"),
}


def test_a_corpus_made_by_bare_h5py_after_the_page_is_read(store: Store) -> None:
    hostile_samples.write_corpus(store.path / "corpus.h5", CORPUS, lambda _: None)
    found = Store(store.path).corpus
    assert (found.digest, found.speakers) == (CORPUS.digest, None)
    assert "corpus.h5" not in find_problem_files(store.path)


@pytest.mark.parametrize("lie", CORPORA)
def test_a_corpus_that_lies_is_refused_with_one_line(store: Store, lie: str) -> None:
    change, message = CORPORA[lie]
    path = store.path / "corpus.h5"
    hostile_samples.write_corpus(path, CORPUS, change)
    problem = get_problem(lambda: Store(store.path).corpus)
    assert isinstance(problem, StoreError)
    assert str(path) in str(problem)
    assert message in str(problem)
    found = {found.file: found.problem for found in verify_store(store.path).problems}
    assert message in found["corpus.h5"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["step-000030.h5", "run.json", "curves.jsonl"])
def test_a_pipe_in_a_files_place_is_refused_and_keeps_nobody_waiting(store: Store, name: str) -> None:
    path = store.run_folder("tiny") / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert f"runs/tiny/{name}" in find_problem_files(store.path)
    for call in (lambda: store.run("tiny"), lambda: store.curves("tiny"), store.members):
        get_problem(call)


@pytest.mark.parametrize("name", ["step-000030.h5", "run.json", "curves.jsonl"])
def test_a_folder_in_a_files_place_is_named(store: Store, name: str) -> None:
    path = store.run_folder("tiny") / name
    path.unlink(missing_ok=True)
    path.mkdir()
    assert f"runs/tiny/{name}" in find_problem_files(store.path)
    for call in (lambda: store.run("tiny"), lambda: store.curves("tiny"), store.members):
        get_problem(call)


def test_a_damaged_corpus_does_not_keep_the_members_from_being_verified(store: Store) -> None:
    (store.path / "corpus.h5").write_bytes(b"")
    (store.member_path("tiny", 10)).write_bytes(b"x" * 600)
    store.member_path("tiny", 20).unlink()
    store.member_path("tiny", 20).mkdir()
    for name in ("secret.h5", "secret.bin"):
        (store.run_folder("tiny") / name).unlink()
    assert find_problem_files(store.path) == [
        "corpus.h5",
        "runs/tiny/step-000010.h5",
        "runs/tiny/step-000020.h5",
    ]


def test_a_run_that_is_a_link_to_elsewhere_is_named(store: Store, tmp_path: Path) -> None:
    (store.path / "runs" / "linked").symlink_to(tmp_path, target_is_directory=True)
    assert "runs/linked" in find_problem_files(store.path)


def test_verification_can_be_put_into_json(store: Store) -> None:
    hostile_samples.write_member(store.member_path("tiny", 30), CORPUS, MEMBERS["line feeds"][0])
    assert json.dumps([vars(problem) for problem in verify_store(store.path).problems])


def test_the_samples_corpus_is_the_stores(store: Store) -> None:
    assert_same_corpus(store.corpus, CORPUS)
