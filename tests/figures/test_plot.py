"""``serstore plot`` and ``plot()``: every kind from a store, what it says, and what it refuses."""

import json
import sys
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest

import ser_store as ss
from ser_store.figures.plot import _KINDS, Kind
from ser_store_cli.commands.figures import KINDS, _complete_kinds

SWEPT = {
    "source": "mfcc@0", "normalise": "train", "protocol": "paper", "train": "all", "n": 288,
    "ci95": [0.5, 0.7], "std": None, "layer": None, "n_train": 100,
}  # fmt: skip
CROSS = {"member": "a@1", "n": 20, "accuracy": 0.5, "ci95": [0.2, 0.6], "cautions": ["predicts one class only"]}


@pytest.fixture(scope="module")
def paper():
    return ss.open_example()


@pytest.fixture(scope="module")
def whisper():
    return ss.open_example("whisper-base")


def list_notes(plot):
    return plot.figure.get_supxlabel()


def test_a_confusion_figure_has_the_counts_of_evaluate(paper):
    drawn = ss.plot(paper, "confusion", "xlsr53")
    [one] = ss.evaluate(paper, "xlsr53").members
    texts = [text.get_text() for text in drawn.figure.axes[0].texts]
    assert texts == [str(count) for count in one.metrics.confusion.ravel()]
    assert drawn.title.startswith("Confusion of xlsr53@1100 on test of imported (n = 288): accuracy 92.71% [")
    assert list_notes(drawn) == "95% intervals: bootstrap by speaker (24)"


def test_a_figure_of_an_ensemble_says_that_it_may_have_been_chosen_on_these_utterances(paper):
    drawn = ss.plot(paper, "confusion", "hubert-xlarge+unispeech-ml+xlsr53")
    assert "an ensemble that was chosen on these utterances looks better than it is" in list_notes(drawn)


def test_all_ensembles_are_drawn_with_the_apparent_and_the_corrected_figure(paper):
    drawn = ss.plot(paper, "ensembles", k=3)
    report = ss.vote(paper, k=3, all_combos=True)
    [axes] = drawn.figure.axes
    heights = [bar.get_height() for bar in axes.patches if bar.get_height()]
    assert np.array(heights) * 20 == pytest.approx(report.distribution.ensembles)
    chosen, corrected, alone = (line for line in axes.lines if not line.get_label().startswith("_"))
    assert chosen.get_xdata()[0] == 278 / 288
    assert corrected.get_xdata()[0] == report.selection.corrected
    assert alone.get_label() == "best member alone, xlsr53@1100, 92.71%"
    assert "chosen on these utterances: hubert-xlarge@600+" in list_notes(drawn).replace("\n", "")


def test_an_interrupted_search_gives_no_figure(paper, tmp_path):
    def interrupt(items, **_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ss.plot(paper, "ensembles", k=3, file=tmp_path / "f.svg", progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_steps_have_the_accuracies_and_intervals_of_the_store(whisper):
    drawn = ss.plot(whisper, "steps", "whisper-base-ft")
    [run] = ss.steps(whisper, "whisper-base-ft").runs
    [axes] = drawn.figure.axes
    assert axes.lines[0].get_ydata().tolist() == [score.accuracy for score in run.steps]
    assert len(axes.collections[0].get_segments()) == len(run.steps)
    assert "best of 8: whisper-base-ft@525, apparent 77.64%, corrected 77.14% [" in list_notes(drawn)


def test_curves_say_where_no_training_loss_is_known(whisper):
    drawn = ss.plot(whisper, "curves", "whisper-base-ft", width="column")
    assert "no training loss is known of whisper-base-ft" in list_notes(drawn).replace("\n", " ")
    assert len(drawn.figure.axes) == 2


def test_accuracy_by_speaker_has_a_row_for_each_speaker(whisper):
    members = ["whisper-base-ft", "whisper-base-tuned"]
    [axes] = ss.plot(whisper, "accuracy", members, by="speaker").figure.axes
    found = ss.evaluate(whisper, members, by="speaker").members
    drawn = dict(zip((text.get_text() for text in axes.get_yticklabels()), axes.lines[0].get_xdata(), strict=True))
    assert drawn == {f"{one.group} (n = 60)": one.metrics.accuracy for one in found[0].sliced.slices}


def test_layers_are_those_of_the_heads_in_the_store(whisper):
    drawn = ss.plot(whisper, "layers", split="paper")
    assert "best of 21: whisper-base-l1-lda-speeds-by-speaker-paper@0, apparent 90.62%, corrected 8" in list_notes(
        drawn
    )
    axes = drawn.figure.axes[0]
    alone, together = ["lda", "logreg", "svm"], "speaker, 3 versions"
    rows = [text.get_text() for text in axes.get_yticklabels()]
    assert sorted(rows) == sorted([*(f"{kind}, train" for kind in alone), *(f"{kind}, {together}" for kind in alone)])
    assert [text.get_text() for text in axes.get_xticklabels()] == list("123456")
    [best] = ss.evaluate(whisper, "whisper-base-l3-svm-paper", split="paper").members
    assert f"{best.metrics.accuracy * 100:.1f}" in [text.get_text() for text in axes.texts]


def test_disagreement_and_difficulty_are_of_all_members(paper):
    texts = [text.get_text() for text in ss.plot(paper, "disagreement").figure.axes[0].texts]
    right = np.stack([own == paper.corpus.labels for own in paper.predictions(paper.member_names())])
    shares = (right[:, None] != right[None]).mean(axis=2)
    assert texts == [f"{share * 100:.0f}" for share in shares.ravel()]
    assert "right for all members: 219; for none: 0" in list_notes(ss.plot(paper, "difficulty"))


def test_calibration_is_of_members_with_scores(whisper, paper):
    drawn = ss.plot(whisper, "calibration", "whisper-base-tuned")
    [one] = ss.evaluate(whisper, "whisper-base-tuned").members
    assert (
        f"whisper-base-tuned@0, error {one.probabilities.ece:.3f}"
        in drawn.figure.axes[0].get_legend_handles_labels()[1]
    )
    with pytest.raises(ss.StoreError, match="xlsr53@1100 holds no scores of the classes: expected members with logits"):
        ss.plot(paper, "calibration", "xlsr53")


def test_a_map_shows_who_lies_apart(tmp_path):
    draw, ids = np.random.default_rng(0), [f"u{n}" for n in range(40)]
    store = ss.Store.create(tmp_path / "s", ids=ids, labels=["sad", "happy"] * 20, speakers=list("abcd") * 10)
    store.add("mine", ids=ids, pooled=draw.normal(size=(40, 5)) + [[0], [9]] * 20, trained_on="nothing")
    [axes] = ss.plot(store, "map").figure.axes
    happy, sad = (line.get_xdata() for line in axes.lines)
    assert happy.max() < sad.min() or sad.max() < happy.min()
    assert len(ss.plot(store, "map", by="speaker", method="tsne").figure.axes[0].lines) == 4
    for kind, message in (("learning-curve", "`rows` is not given"), ("confusion", "has no member that predicts")):
        with pytest.raises(ss.StoreError, match=message):
            ss.plot(store, kind)


def test_a_map_by_umap_is_made_with_a_seed_and_names_its_extra_where_it_is_missing(tmp_path, monkeypatch):
    ids = [f"u{n}" for n in range(10)]
    store = ss.Store.create(tmp_path / "s", ids=ids, labels=["sad", "happy"] * 5)
    store.add("mine", ids=ids, pooled=np.random.default_rng(0).normal(size=(10, 5)), trained_on="nothing")
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ss.MissingExtraError, match=r"or tsne does not; pip install 'ser-store\[umap\]'"):
        ss.plot(store, "map", method="umap")
    asked = []

    class Mapper:
        def __init__(self, **options):
            asked.append(options)

        def fit_transform(self, points):
            return points[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Mapper))
    [axes] = ss.plot(store, "map", method="umap").figure.axes
    assert axes.get_xlabel() == "UMAP 1"
    assert asked == [{"n_neighbors": 9, "init": "pca", "random_state": 0, "n_jobs": 1}]


@pytest.mark.parametrize("saved", [False, True])
def test_of_many_runs_the_saved_ensembles_are_drawn_or_the_most_accurate_and_the_others_are_told(tmp_path, saved):
    draw, ids = np.random.default_rng(0), [f"u{n}" for n in range(40)]
    labels = np.array(["happy", "sad"] * 20)
    store = ss.Store.create(tmp_path / "s", ids=ids, labels=labels, speakers=list("abcd") * 10)
    for place in range(10):
        wrong = draw.random(40) < (0.1 if place == 3 else 0.4)
        said = np.where(wrong, np.where(labels == "sad", "happy", "sad"), labels)
        store.add(f"m{place}", ids=ids, predicted=said, trained_on="nothing")
    if saved:
        ss.vote(store, k=3, all_combos=True, save="three", correction="none")
    drawn = ss.plot(store, "confusion")
    assert drawn.title.startswith(f"Confusion of {'three@0' if saved else 'm3@0'} ")
    assert drawn.cautions[-1].startswith(f"{'10 of 11' if saved else '9 of 10'} members are left out: ")
    assert len(ss.plot(store, "confusion", [f"m{place}" for place in range(10)]).figure.axes) > 10


def test_every_kind_has_a_line_in_the_help_and_is_completed_by_a_shell():
    assert tuple(KINDS) == get_args(Kind)
    assert [kind for kind, _ in _complete_kinds("c")] == ["confusion", "curves", "calibration", "cross"]


def test_learning_curves_are_drawn_from_the_json_of_a_sweep(serstore, paper_store, tmp_path):
    heads = [{**SWEPT, "kind": "lda", "n_train": n, "accuracy": n / 1000, "train": f"{n}"} for n in (500, 100)]
    heads[0]["std"] = 0.1
    rows = tmp_path / "sweep.json"
    chosen = {"apparent": 0.5, "corrected": 0.4, "interval": None}
    best = [{"head": heads[0], "n_candidates": 2, "selection": chosen, "note": ""}]
    rows.write_text(json.dumps({"heads": heads, "best": best}))
    [axes] = ss.plot(paper_store, "learning-curve", rows=rows).figure.axes
    assert axes.lines[0].get_xydata().tolist() == [[100, 0.1], [500, 0.5]]
    assert axes.collections[0].get_segments()[1][:, 1].tolist() == [0.4, 0.6]
    notes = list_notes(ss.plot(paper_store, "learning-curve", rows=rows)).replace("\n", " ")
    assert "best of 2: lda on mfcc@0 by paper, apparent 50.00%, corrected 40.00% for having been chosen" in notes
    words = ("plot", "learning-curve", "--rows", rows, "-o", tmp_path / "f.svg", "--store", paper_store)
    assert (
        serstore(*words).out
        == f"wrote {tmp_path}/f.svg: Accuracy by training utterances, of mfcc@0 by paper (n = 288)\n"
    )


def test_corpora_are_crossed_with_what_must_be_said_of_them(paper):
    rows = [{**CROSS, "train": a, "test": b, "balanced_accuracy": 0.25} for a in ("x", "y") for b in ("x", "z")]
    rows[0]["cautions"] = []
    drawn = ss.plot(paper, "cross", rows={"classes": ["calm", "sad"], "rows": rows})
    assert [text.get_text() for text in drawn.figure.axes[0].get_yticklabels()] == ["x", "y"]
    assert [text.get_text() for text in drawn.figure.axes[0].get_xticklabels()] == ["x (n = 20)", "z (n = 20)"]
    assert drawn.cautions == ("x on z, y on x, y on z: predicts one class only",)
    assert "classes that all have: calm, sad" in list_notes(drawn)
    axes = ss.plot(paper, "cross", rows=[*rows, {**rows[0], "member": "b@1"}]).figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["x: a@1", "y: a@1", "x: b@1"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"heads": []}, "`rows` has no 'rows': expected a list of figures"),
        ({"rows": [1]}, "`rows` has no 'rows'"),
        ({"rows": [{"train": "a", "test": "b"}]}, "row 1 of 'rows' lacks member, n, balanced_accuracy: expected train"),
    ],
)
def test_rows_of_another_kind_are_refused(rows, message, paper):
    with pytest.raises(ss.StoreError) as problem:
        ss.plot(paper, "cross", rows=rows)
    assert message in str(problem.value)


def test_a_place_that_cannot_be_written_to_is_one_line(serstore, paper_store, tmp_path):
    done = serstore("plot", "accuracy", "-o", tmp_path / "none" / "f.svg", "--store", paper_store)
    assert done.code == 1
    assert "could not be written" in done.err
    assert len(done.err.splitlines()) == 1


def test_the_command_writes_all_three_types_and_replaces_its_own_file(serstore, paper_store, tmp_path):
    for suffix in ("svg", "pdf", "png", "svg"):
        file = tmp_path / f"figure.{suffix}"
        done = serstore("plot", "accuracy", "-o", file, "--width", "column", "--store", paper_store, "--json")
        assert done.code == 0
        assert done.json == {
            "kind": "accuracy",
            "file": str(file),
            "title": "Accuracy of 6 members on test of imported (n = 288)",
            "cautions": [],
        }
        assert file.stat().st_size > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figure.pdf", "figure.png", "figure.svg"]


def test_a_notebook_shows_the_figure(paper):
    assert ss.plot(paper, "accuracy")._repr_html_().startswith("<svg")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("confusionn",), "unknown kind of figure 'confusionn': expected one of confusion (nearest)"),
        (("confusion", "nobody"), "unknown member 'nobody'"),
        (("confusion", "--by", "speaker"), "--by is given for a figure of confusion: expected it with accuracy, map"),
        (("steps", "--rule", "soft"), "--rule is given for a figure of steps: expected it with confusion"),
        (("accuracy", "--by", "colour"), "unknown column 'colour'"),
        (("accuracy", "--width", "wide"), "unknown --width 'wide': expected one of"),
        (("ensembles",), "--k is not given: expected the number of members of an ensemble, such as 3"),
        (("disagreement", "xlsr53"), "there is only xlsr53@1100: expected two members or more"),
        (("layers",), "no head is of a layer by its number"),
        (("map",), "has no representations: expected a member that `serstore extract` or"),
        (("map", "--method", "umep"), "unknown --method 'umep': expected one of umap (nearest), pca, tsne"),
        (("cross",), "--rows is not given"),
        (("cross", "--rows", "missing.json"), "missing.json: No such file"),
        (("cross", "--rows", __file__), "is no JSON"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
def test_what_cannot_be_drawn_is_one_line(words, message, serstore, paper_store, tmp_path):
    done = serstore("plot", *words, "-o", tmp_path / "f.svg", "--store", paper_store)
    assert done.code == 1
    [line] = done.err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


def test_the_help_names_every_kind(serstore):
    text = " ".join(serstore("plot", "--help").out.replace("│", " ").split())
    assert [kind for kind in _KINDS if kind not in text] == []
