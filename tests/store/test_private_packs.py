"""A pack goes to others: no absolute path of the machine that it was made on is in its bytes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from store_samples import make_corpus, make_member

from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.pack.merging import merge
from ser_store_h5.pack.packing import pack, unpack
from ser_store_h5.pack.private import hide_paths
from ser_store_h5.runs import RunRecord, Selection
from ser_store_h5.store import Store

OWN = ("4711", "My Drive")
PLACES = (f"/home/{OWN[0]}/{OWN[1]}/ravdess", f"/data/{OWN[0]}/models", rf"D:\{OWN[0]}\models", rf"\\server\{OWN[0]}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that says in every place where it and what it was made of lie."""
    ids = make_corpus().ids
    corpus = replace(
        make_corpus(),
        audio_root=PLACES[0],
        paths=np.char.add("Actor_01/", ids),
        columns={
            "original": np.char.add(f"{PLACES[1]}/", ids),
            "spoken": np.array(["/k a t/", "/d o g/"] * 6),
        },
    )
    made = Store.create(tmp_path / OWN[0] / "my.store", corpus)
    details: dict[str, Any] = {
        "model": f"{PLACES[1]}/mine",
        "checkpoint": PLACES[2],
        "checkpoints": f"{made.path}/runs/tuned/checkpoints",
        "origin": {"folder": f"{PLACES[3]}\\mine", "hub_id": "facebook/hubert-base"},
        "left_out": {"u0001": f"{PLACES[0]}/Actor_01/a.wav is silent", f"{PLACES[1]}/b.wav": f"see {PLACES[1]}/b.wav"},
        "learning_rate": 1e-4,
        KEY: Fitted.on_rows(np.arange(12, dtype=np.int32), 12).to_json(),
    }
    selected = Selection(10, "step", "test", f"as {PLACES[1]}/notes.txt says")
    made.add_run(RunRecord("tuned", "finetune", f"{PLACES[1]}/mine", selected=selected, details=details))
    made.append_curve("tuned", step=10, note=f"logged to {PLACES[1]}/log", eval_loss=0.5)
    made.write_member(make_member(corpus, "tuned", 10, provenance={"source": f"{PLACES[1]}/mine", "seed": 1}))
    return made


def test_no_byte_of_a_pack_says_where_anything_lay(store: Store, tmp_path: Path) -> None:
    assert all(OWN[0].encode() in file.read_bytes() for file in store.path.rglob("*.*") if file.is_file())
    pack(store, tmp_path / "given.h5")
    content = (tmp_path / "given.h5").read_bytes()
    assert not any(own.encode() in content for own in (*OWN, str(tmp_path)))
    given = Store(tmp_path / "given.h5")
    assert (given.corpus.audio_root, list(given.corpus.columns)) == (None, ["spoken"])
    assert given.corpus.paths is not None
    assert given.corpus.paths[0] == "Actor_01/u0000"
    record = given.run("tuned")
    assert (record.backbone, record.selected and record.selected.reason) == ("mine", "as notes.txt says")
    assert record.details == {
        "model": "mine",
        "checkpoint": "models",
        "origin": {"folder": "mine", "hub_id": "facebook/hubert-base"},
        "left_out": {"u0001": "Actor_01/a.wav is silent", "b.wav": "see b.wav"},
        "learning_rate": 1e-4,
        KEY: store.run("tuned").details[KEY],
    }
    assert given.curves("tuned") == [{"step": 10, "note": "logged to log", "eval_loss": 0.5}]
    assert given.read_member("tuned@10").provenance == {"source": "mine", "seed": 1}
    assert verify_store(given.path).ok


def test_what_comes_back_from_a_pack_is_what_went_into_it(store: Store, tmp_path: Path) -> None:
    pack(store, tmp_path / "given.h5")
    again = unpack(tmp_path / "given.h5", tmp_path / "again.store")
    merged = merge(store, again)
    assert (merged.identical, merged.added, merged.columns) == (("tuned@10",), (), ())
    assert store.run("tuned").details["model"] == f"{PLACES[1]}/mine"
    assert merge(again, store).columns == ("original",)
    pack(again, tmp_path / "twice.h5", members=["tuned"])
    assert Store(tmp_path / "twice.h5").run("tuned") == Store(tmp_path / "given.h5").run("tuned")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/me/a b/c.wav", "c.wav"),
        ("'/home/me/x' is no folder, see /home/me/y", "'x' is no folder, see y"),
        ("file:///home/me/x", "x"),
        ("C:/Users/me/x", "x"),
        ("/data", "data"),
        *(
            (text, text)
            for text in ("/", "1/2 and/or 3", "facebook/hubert-base", "https://a.org/b/c", "~/x/y", "./x/y")
        ),
    ],
)
def test_of_an_absolute_path_the_last_part_is_left(text: str, left: str) -> None:
    assert hide_paths(text) == left
