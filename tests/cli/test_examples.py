"""Every command's help ends with examples, and they do what they say."""

import csv
import shlex
from pathlib import Path

import numpy as np
import pytest

from ser_store_cli.app import app
from ser_store_cli.help import EXAMPLES, PANELS
from ser_store_h5.store import Store

# What stands in for hours on a GPU and weights from the hub.
_SHORT = "--init random --max-steps 2 --save-steps 1 --logging-steps 1 --accumulation 1"
STAND_INS = {
    "--model xlsr53": f"--model tiny-wav2vec2 --run xlsr53 --eval-steps 1 {_SHORT}",
    "--model hubert-base": f"--model tiny-hubert --run hubert-base {_SHORT}",
    "--model whisper-base": "--model tiny-whisper --run whisper-base-frozen",
    "--cv speaker": "--cv speaker --folds 3",
    "--eval-steps 50": "--eval-steps 1",
    "reproduce --audio ravdess": "reproduce --audio ravdess --models tiny-wav2vec2,tiny-hubert,tiny-unispeech "
    f"--eval-steps 1 {_SHORT}".replace("--init random ", ""),
    "demo --store demo.store": "demo --store demo.store --audio ravdess --steps 5",
}


def shorten(words: str) -> str:
    for said, meant in STAND_INS.items():
        words = words.replace(said, meant)
    return words


def test_every_command_has_its_place_in_the_overview_and_its_examples(serstore):
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert sorted(names) == sorted(EXAMPLES) == sorted(name for panel in PANELS.values() for name in panel)
    overview = serstore("--help").out
    for name in names:
        assert all(
            f"$ serstore {words}" in " ".join(serstore(name, "--help").out.split()) for _, words in EXAMPLES[name]
        )
        assert f"│ {name} " in overview


@pytest.fixture(scope="module")
def desk(speech, paper_store, tmp_path_factory):
    """A folder with what the examples name: recordings, a table of them, a store of the paper's members."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("desk")
    for name, there in (("ravdess", speech), ("recordings", speech), ("paper.store", paper_store)):
        (folder / name).symlink_to(there)
    found = sorted(path.relative_to(speech) for path in speech.rglob("*.wav"))
    rows = [(path, path.stem.split("-")[2], path.stem.split("-")[-1]) for path in found]
    write(folder / "corpus.csv", [("file", "label", "speaker"), *rows])
    (folder / "map.toml").write_text('neutral = "01"\ncalm = "02"\nhappy = "03"\nsad = "04"\nangry = "05"\n')
    return folder


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def write_tables(folder):
    corpus = Store(folder / "ser.store").corpus
    labels = [corpus.classes[label] for label in corpus.labels]
    rows = list(zip(corpus.ids.tolist(), labels, labels, strict=True))
    write(folder / "predictions.csv", [("utterance", "emotion", "mine@0"), *rows])
    shares = np.random.default_rng(0).dirichlet(np.ones(len(corpus.classes)), len(corpus)).round(6)
    rows = [(name, "mine", 0, *own) for name, own in zip(corpus.ids.tolist(), shares.tolist(), strict=True)]
    write(folder / "probabilities.csv", [("utterance", "run", "step", *corpus.classes), *rows])
    np.savez(folder / "features.npz", ids=corpus.ids, features=shares)


@pytest.fixture
def hub(desk, tmp_path, monkeypatch):
    """Stands in for the Hugging Face hub."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "backbones")
    from hub_server import TOKEN, serve_hub

    with serve_hub(tmp_path, monkeypatch) as server:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_the_examples_run_one_after_the_other(serstore, desk, hub, monkeypatch):
    monkeypatch.chdir(desk)
    done = 0
    for name, examples in EXAMPLES.items():
        for _, words in examples:
            if words.startswith("import predictions"):
                write_tables(desk)
            if "--resume" in words:
                store = Store("ser.store")
                store.update_run(store.run("xlsr53").updated(state="interrupted"))
            outcome = serstore(*shlex.split(shorten(words)))
            assert outcome.code == 0, f"{name}: serstore {words}: {outcome.err}"
            assert outcome.out
            done += 1
    assert done == sum(map(len, EXAMPLES.values()))
