"""A page of one's own: what it may say, and how it is refused."""

from pathlib import Path

import numpy as np
import pytest

from ser_store.corpora.published.listing import list_corpora, load_page_text
from ser_store.corpora.published.page import list_pages, read_page
from ser_store.corpora.sources import load_corpus
from ser_store.errors import CorpusError, SerstoreError, UnknownNameError

PAGE = """
title = "My corpus"
names = '(?P<who>[a-z]+)_(?P<mood>[A-Z])_(?P<take>[0-9]+)'
label = "mood"
speaker = "{who}"
columns = ["room", "take"]
numbers = ["take"]
values.mood = {A = "angry", S = "sad"}
folds.lab = [["bob"], ["ann"]]
derived.room = {of = "who", small = ["ann"], large = ["bob"]}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_page_of_ones_own_is_read_as_the_others(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    for name in ("ann_A_1", "bob_S_12", "ann_S_2"):
        soundfile.write(tmp_path / f"{name}.wav", np.random.default_rng(1).uniform(-0.5, 0.5, 4_800), 16_000)
    corpus = load_corpus(str(write(tmp_path, PAGE)), tmp_path).corpus
    assert (corpus.name, corpus.classes) == ("mine", ("angry", "sad"))
    assert corpus.ids.tolist() == ["ann_A_1", "ann_S_2", "bob_S_12"]
    assert corpus.speakers is not None
    assert corpus.speakers.tolist() == ["ann", "ann", "bob"]
    assert corpus.columns["room"].tolist() == ["small", "small", "large"]
    assert corpus.columns["take"].tolist() == [1, 2, 12]
    assert corpus.parts("lab").tolist() == ["fold-2", "fold-2", "fold-1"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "My corpus"', "", r"title is missing: expected title, names, label"),
        ('label = "mood"', 'labels = "mood"', r"unknown key 'labels': expected one of label \(nearest\)"),
        ('label = "mood"', 'label = "mode"', r"unknown field 'mode': expected one of mood \(nearest\)"),
        ('label = "mood"', 'label = "take"', r"values\.take is missing: expected the class that each code"),
        ('"{who}"', '"{whom}"', r"unknown field 'whom': expected one of who \(nearest\)"),
        ('"{who}"', '"{who"', r"'\{who' \(.*\): expected fields in braces"),
        (
            "[a-z]+)_",
            "[a-z]+_",
            r"names is .* \(missing \), unterminated.*\): expected a regular",
        ),
        ('{A = "angry", S = "sad"}', '{A = "angry"}', r"values\.mood names 1 classes: expected two at least"),
        ('{A = "angry", S = "sad"}', '"angry"', r"values\.mood is 'angry': expected what each code means"),
        ('"room", "take"]', '"rom"]', r"unknown field 'rom': expected one of room \(nearest\)"),
        ('"room", "take"]', '"who", "label"]', r"unknown field 'label'"),
        ('columns = ["room", "take"]', "columns = 3", r"columns is 3: expected a list"),
        ('of = "who", ', "", r"derived\.room is .*: expected of, a field"),
        ('small = ["ann"]', 'small = "ann"', r"derived\.room\.small is 'ann': expected a list"),
        ('title = "My corpus"', 'title = ["My corpus"]', r"title is \['My corpus'\]: expected text"),
        ("numbers", 'leave_out = ["bored"]\nnumbers', r"leave_out names 'bored', which is no class"),
        ("numbers", 'split = "who"\nnumbers', r"split 'who' is none of the columns"),
        ("numbers", 'utterance = "{room}"\nnumbers', r"'room' in only or utterance: expected fields of names"),
        ("numbers", 'only.room = "small"\nnumbers', r"'room' in only or utterance: expected fields of names"),
        ("numbers", "speakers = true\nnumbers", r"speakers is True: expected a number"),
        ("numbers", "tables = [{files = 'x', key = ['who']}]\nnumbers", r"expected one of line, .* and columns"),
        ("numbers", "tables = [{line = 'x', key = ['who']}]\nnumbers", r"tables\.files is missing"),
        ("numbers", "only = 3\nnumbers", r"only is 3: expected a table"),
        ("numbers", "numbers = [\nnumbers", r"is no TOML"),
    ],
)
def test_a_page_that_contradicts_itself_is_refused_in_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in PAGE
    path = write(tmp_path, PAGE.replace(old, new, 1))
    with pytest.raises(SerstoreError, match=said) as caught:
        read_page(path)
    assert str(caught.value).startswith(str(path))


def test_a_corpus_that_is_not_known_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown corpus 'iemocup': expected one of iemocap \(nearest\)"):
        load_corpus("iemocup")
    with pytest.raises(UnknownNameError, match="corpus emodb without its recordings: expected their folder as `audio`"):
        load_corpus("EMO-DB")
    with pytest.raises(CorpusError, match="corpus emodb is read from its recordings: expected a table of utterances"):
        load_corpus("emodb", no_audio=True)


def test_all_pages_are_listed_and_one_is_described_in_full() -> None:
    listed = list_corpora()
    assert tuple(page.key for page in listed.corpora) == list_pages()
    assert {row["corpus"] for row in listed.to_frame().to_dicts()} == set(list_pages())
    told = str(list_corpora("Msp_Podcast"))
    for line in (
        "doi: 10.1109/TAFFC.2017.2736999",
        "read with them: Labels/labels_consensus.csv",
        "left out by usual practice, unless a label map lists them: other (O), no agreement (X)",
        "published split: partition",
    ):
        assert line in told
    assert 'label = "emotion"' in load_page_text("emodb")
