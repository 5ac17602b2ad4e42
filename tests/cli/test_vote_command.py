"""The vote command: each option beside its library twin, what is printed, and what is refused."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from ser_store import Correction, Limits, Search, Store, vote
from ser_store.ensembles import Distribution
from ser_store.ensembles.report_text import draw_histogram
from ser_store_cli.commands.vote import _Page
from ser_store_cli.commands.vote import vote as vote_command
from ser_store_cli.output import name_options
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord

N = 48


def make_store(path, *, n_steps, n=N):
    """Three runs with logits, on two thirds test and one third valid utterances of twelve speakers."""
    rng = np.random.default_rng(5)
    corpus = Corpus(
        name="sample",
        ids=np.array([f"u{row:03}" for row in range(n)]),
        labels=rng.integers(4, size=n).astype(np.int16),
        classes=("angry", "calm", "happy", "sad"),
        speakers=np.array([f"s{row // (n // 12)}" for row in range(n)]),
        columns={"room": np.array([f"r{row % 4}" for row in range(n)])},
        splits={"usual": np.where(np.arange(n) % 3 == 2, "valid", "test")},
        default_split="usual",
    )
    store = Store.create(path, corpus)
    for run in ("base", "large", "xl"):
        store.add_run(RunRecord(run, "finetune", "tiny-hubert"))
        for step in range(1, n_steps + 1):
            logits = rng.normal(size=(n, 4)).astype(np.float32)
            logits[np.arange(n), corpus.labels] += 1.4
            store.write_member(Member(run, step, np.arange(n, dtype=np.int32), logits=logits))
    return path


@pytest.fixture(scope="module")
def votes(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("votes") / "votes.store", n_steps=3)


def without_seconds(document):
    if isinstance(document, dict):
        return {key: without_seconds(value) for key, value in document.items() if key != "seconds"}
    return [without_seconds(entry) for entry in document] if isinstance(document, list) else document


ALL = {"all_combos": True, "steps": "all"}


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (("--k", 3, "--all-combos", "--steps", "all"), {"k": 3, **ALL}),
        (("base", "xl@2", "--k", 2), {"members": ["base", "xl@2"], "k": 2}),
        (("--k", "2,3", "--all-combos", "--steps", "all", "--top", 4), {"k": [2, 3], "top": 4, **ALL}),
        (
            ("--k", 2, "--all-combos", "--steps", "all", "--rule", "soft-log", "--weights", "balanced-accuracy"),
            {"k": 2, "rule": "soft-log", "weights": "balanced_accuracy", **ALL},
        ),
        (("--rule", "weighted", "--weights", "3,1,1"), {"rule": "weighted", "weights": [3, 1, 1]}),
        (("--k", 2, "--all-combos", "--tie", "abstain"), {"k": 2, "all_combos": True, "tie": "abstain"}),
        (
            ("--k", 3, "--all-combos", "--steps", "all", "--objective", "balanced-accuracy", "--correct-by", "room"),
            {"k": 3, "objective": "balanced_accuracy", "correction": Correction(by="room"), **ALL},
        ),
        (
            ("--k", 3, "--all-combos", "--steps", "all", "--one-step-per-run", "--include", "xl", "--exclude", "*@1"),
            {"k": 3, "limits": Limits(one_step_per_run=True, include=["xl"], exclude=["*@1"]), **ALL},
        ),
        (
            ("--k", 2, "--all-combos", "--steps", "all", "--min-accuracy", 0.5, "--repeats", 15, "--seed", 4),
            {"k": 2, "limits": Limits(min_accuracy=0.5), "correction": Correction(repeats=15, seed=4), **ALL},
        ),
        (
            ("--k", 2, "--all-combos", "--steps", "all", "--select-on", "valid", "--on", "test", "--split", "usual"),
            {"k": 2, "select_on": "valid", "on": "test", "split": "usual", **ALL},
        ),
        (("--k", 4, "--search", "greedy", "--correct", "none"), {"k": 4, "search": "greedy", "correction": "none"}),
        (
            ("--k", 4, "--steps", "all", "--search", "pruned", "--max-seconds", 50, "--correct", "none"),
            {"k": 4, "steps": "all", "search": Search("pruned", max_seconds=50), "correction": "none"},
        ),
        (
            ("--k", 2, "--all-combos", "--correct", "halves", "--backend", "threading", "--threads", 2),
            {"k": 2, "all_combos": True, "correction": "halves", "search": Search(backend="threading", threads=2)},
        ),
        (("--k", 2, "--all-combos", "--diversity"), {"k": 2, "all_combos": True, "diversity": True}),
    ],
    ids=lambda given: " ".join(map(str, given)) if isinstance(given, tuple) else "",
)
def test_the_command_says_what_the_library_says(serstore, votes, words, options):
    outcome = serstore("vote", *words, "--json", "--store", votes)
    assert outcome.code == 0, outcome.err
    report = vote(Store(votes), **options)
    # What the library says of its parameters the command says of its options.
    expected = replace(report, note=report.note.replace("`correction`", "--correct")).to_json()
    assert without_seconds(outcome.json) == without_seconds(json.loads(json.dumps(expected)))
    assert serstore("vote", *words, "--store", votes).code == 0


CONTRACT = ("on", "k", "rule", "tie", "candidates", "searched", "seconds", "results", "selection")


@pytest.mark.parametrize("sizes", ["3", "3,5"])
def test_the_fields_that_must_keep_their_names_are_there(serstore, paper_store, sizes):
    document = serstore("vote", "--k", sizes, "--all-combos", "--json", "--store", paper_store).json
    assert set(CONTRACT) <= set(document)
    assert document["k"] == (3 if sizes == "3" else [3, 5])
    assert (document["on"], document["rule"], document["tie"]) == ("test", "hard", "lowest")
    for result in document["results"]:
        assert {"members", "correct", "n", "accuracy", "balanced_accuracy", "ci95", "ties"} <= set(result)
    assert {"apparent", "corrected", "repeats", "method"} <= set(document["selection"])
    assert document["results"][0]["accuracy"] == document["selection"]["apparent"]


@pytest.mark.parametrize(
    ("k", "correct", "corrected_by_utterance", "corrected_by_speaker"),
    [(5, 279, 0.9627, 0.9631), (3, 278, 0.9540, 0.9503)],
)
def test_the_published_ensembles_with_what_can_be_expected_of_them(
    serstore, paper_store, k, correct, corrected_by_utterance, corrected_by_speaker
):
    words = ("vote", "--k", k, "--all-combos", "--json", "--store", paper_store)
    for by, corrected in (("utterance", corrected_by_utterance), ("speaker", corrected_by_speaker)):
        document = serstore(*words, "--correct-by", by).json
        assert document["results"][0]["correct"] == correct > document["results"][1]["correct"]
        assert document["selection"]["corrected"] == pytest.approx(corrected, abs=0.002)
    assert serstore(*words).json["selection"]["method"] == "bootstrap by speaker"


def test_several_sizes_are_searched_together(serstore, paper_store):
    document = serstore("vote", "--k", "5,3", "--all-combos", "--json", "--store", paper_store).json
    assert document["searched"] == 26
    assert [(one["k"], one["results"][0]["correct"]) for one in document["by_k"]] == [(3, 278), (5, 279)]
    assert document["results"][0]["k"] == 5
    text = serstore("vote", "--k", "5,3", "--all-combos", "--top", 2, "--store", paper_store).out
    assert text.startswith(
        "3 or 5 of 6 members on test of the split imported, 288 utterances: hard voting, ties to lowest\n"
    )
    best_of_each, of_all = text.split("of all sizes:")
    assert "278/288" in best_of_each
    assert "279/288" in of_all
    assert "of all 26 ensembles" in of_all


def test_the_report_shows_the_distribution_the_gain_and_two_figures(serstore, paper_store):
    lines = serstore("vote", "--k", 5, "--all-combos", "--store", paper_store).out.splitlines()
    place = lines.index("right of 288, of all 6 ensembles: lowest 268, quartiles 270, 273, 276, highest 279")
    assert lines[place + 1] == "  268 ▄ ▄  █  ▄  ▄ 279"
    assert "  gain       +4.17 points over the best member alone, xlsr53@1100 with 92.71%" in lines
    assert "95% intervals: bootstrap by speaker" in lines


def test_the_best_stands_first_as_found_and_corrected_before_ten_rows(serstore, paper_store):
    lines = serstore("vote", "--k", 3, "--all-combos", "--store", paper_store).out.splitlines()
    assert lines[2] == "best: hubert-xlarge@600+unispeech-ml@600+xlsr53@1100"
    assert lines[3] == "  apparent   96.53% [93.8, 98.1]  on the utterances that it was chosen on"
    assert lines[4].startswith("  corrected  95.")
    assert lines[4].endswith("  for that choice (bootstrap by speaker, 1000 repeats)")
    rows = [line for line in lines if "/288" in line]
    assert len(rows) == 10
    assert len(serstore("vote", "--k", 3, "--all-combos", "--store", paper_store, "--json").json["results"]) == 20


def test_the_best_is_printed_before_the_correction_and_no_line_twice(paper_store, capsys):
    page, seen = _Page(), []

    def begin(report):
        page.begin(report)
        seen.append((report.note, capsys.readouterr().out.splitlines()))

    report = vote(paper_store, k=3, all_combos=True, preview=begin)
    page.go_on(report)
    [(note, shown)] = seen
    assert note == "not corrected yet"
    assert shown[2:] == [
        "best: hubert-xlarge@600+unispeech-ml@600+xlsr53@1100",
        "  apparent   96.53% [93.8, 98.1]  on the utterances that it was chosen on",
    ]
    assert [*shown, *capsys.readouterr().out.splitlines()] == str(report).splitlines()


def test_of_a_single_ensemble_what_was_chosen_about_it_is_corrected_too(serstore, votes):
    plain = serstore("vote", "base", "large", "xl", "--store", votes).out
    assert "best:" not in plain
    assert "corrected" not in plain
    weighed = serstore("vote", "base", "large", "xl", "--rule", "weighted", "--store", votes).out
    assert "\n  apparent " in weighed
    assert "\n  corrected " in weighed


def test_a_histogram_puts_close_scores_together():
    wide = Distribution((0, 1, 99, 100), (1, 1, 8, 8))
    drawn = draw_histogram(wide)
    assert len(drawn) <= 48
    assert (drawn[0], drawn[-1], set(drawn[1:-1])) == ("▁", "█", {" "})


def test_what_was_chosen_elsewhere_needs_no_correction(serstore, votes):
    text = serstore("vote", "--k", 2, "--all-combos", "--select-on", "valid", "--store", votes).out
    assert text.startswith("2 of 3 members on test of the split usual, 32 utterances, chosen on valid: hard voting")
    assert "where it was chosen" in text.splitlines()[3]
    assert text.splitlines()[4].startswith("  on test")
    assert text.splitlines()[4].endswith("needs no correction")


@pytest.mark.parametrize("n_speakers", [2, 5])
def test_of_few_speakers_a_note_stands_in_place_of_the_corrected_figure(serstore, tmp_path, n_speakers):
    path = make_store(tmp_path / "few.store", n_steps=4, n=36)
    store = Store(path)
    # Of very unequal numbers of utterances.
    numbers = np.minimum(n_speakers - 1, np.sqrt(np.arange(36)).astype(int))
    speakers = np.array([f"s{number}" for number in numbers])
    store.update_corpus(replace(store.corpus, speakers=speakers))
    words = ("vote", "--k", 3, "--all-combos", "--steps", "all", "--on", "all", "--store", path)
    document = serstore(*words, "--json").json
    assert document["selection"] is None
    assert document["note"].startswith(
        f"not corrected: {n_speakers} speakers are too few to tell what the choice costs"
    )
    assert document["note"] in serstore(*words).out


def test_weights_and_abstentions_are_named(serstore, votes):
    text = serstore("vote", "--k", 2, "--all-combos", "--weights", "accuracy", "--tie", "abstain", "--store", votes).out
    assert "weighted by utterances predicted right" in text
    assert "abstained" in text
    assert "the weights follow from the same utterances: they are chosen, and corrected for, as well" in text


def test_searches_that_do_not_vote_all_say_what_they_prove(serstore, votes):
    words = ("vote", "--k", 4, "--steps", "all", "--correct", "none", "--store", votes)
    assert "nothing proves that there is no better ensemble" in serstore(*words, "--search", "greedy").out
    text = serstore(*words, "--search", "pruned").out
    assert "proved: no better ensemble of 4 exists among 126" in text
    assert "not corrected: --correct none" in text
    unfinished = serstore(*words, "--search", "pruned", "--max-seconds", 1e-9, "--json").json
    assert not unfinished["proved"]
    assert unfinished["bound"] >= unfinished["results"][0]["correct"]
    assert (
        "not proved: of 126 ensembles of 4 none has more than"
        in serstore(*words, "--search", "pruned", "--max-seconds", 1e-9).out
    )


def test_diversity_is_a_table_of_members_and_one_of_pairs(serstore, votes):
    text = serstore("vote", "--k", 2, "--all-combos", "--diversity", "--store", votes).out
    assert "what each member of the best ensemble brings" in text
    assert "base@3 large@3" in text
    assert "mean of the best ensemble" in text
    assert "any member of the best ensemble right (oracle):" in text
    alone = serstore("vote", "xl", "--diversity", "--json", "--store", votes).json["diversity"]
    assert (alone["contributions"], alone["pairs"], alone["ensemble"]["kappa"]) == ([], [], None)


def test_all_scores_are_written_once(serstore, votes, tmp_path):
    words = ("vote", "--k", 3, "--all-combos", "--steps", "all", "--store", votes, "--scores", tmp_path / "all.parquet")
    assert serstore(*words).code == 0
    assert pl.read_parquet(tmp_path / "all.parquet").shape == (84, 4)
    again = serstore(*words)
    assert again.code == 1
    assert "is there already: choose another name" in again.err


def test_weights_come_from_a_file(serstore, votes, tmp_path):
    (tmp_path / "weights.csv").write_text("member,weight\nbase,3\nlarge,1\nxl,1\n")
    words = ("vote", "--json", "--store", votes, "--weights")
    document = serstore(*words, tmp_path / "weights.csv").json
    assert document["weights"]["by_member"] == {"base@3": 3.0, "large@3": 1.0, "xl@3": 1.0}
    assert without_seconds(document) == without_seconds(serstore(*words, "3,1,1").json)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--k", 9, "--all-combos"), "k is 9 with 3 candidates"),
        (("--k", 2), "with --all-combos"),
        (("--k", 2, "--all-combos", "--rule", "soft", "--tie", "best"), "drop --tie"),
        (("--k", 2, "--all-combos", "--weights", "heavy"), "expected accuracy, balanced-accuracy, numbers"),
        (("--k", 2, "--all-combos", "--include", "xm"), "xl (nearest)"),
        (("--k", 2, "--search", "greedy", "--scores", "x.parquet"), "--scores with --search greedy"),
        (("--k", 2, "--all-combos", "--backend", "dask"), "`dask scheduler` starts one"),
        (("--k", 2, "--all-combos", "--select-on", "test"), "32 utterances in common"),
    ],
    ids=str,
)
def test_a_refusal_is_one_line_and_ends_with_one(serstore, votes, words, message):
    outcome = serstore("vote", *words, "--store", votes)
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert message in outcome.err


def test_parameters_of_the_library_are_named_as_options_and_other_words_in_backticks_stay():
    text = "`k` 3 with `min_accuracy` 0.9, `correction` none, `by` room: see `softmax` and `dask scheduler`"
    expected = "--k 3 with --min-accuracy 0.9, --correct none, --correct-by room: see `softmax` and `dask scheduler`"
    assert name_options(text, vote_command) == expected
    assert name_options("`splits()` with `add` makes one", vote_command) == "`serstore splits --add` makes one"


def test_without_compiled_code_the_command_says_so_in_one_line_and_finds_the_same(serstore, votes):
    words = ("vote", "--k", "4", "--steps", "all", "--search", "pruned", "--correct", "none", "--json")
    expected = serstore(*words, "--store", votes).json["results"]
    program = "from ser_store_cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words, "--store", str(votes)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )
    assert json.loads(done.stdout)["results"] == expected
    said = "serstore: voting in numpy, slower but with equal results: there is no compiled code here ("
    assert [line for line in done.stderr.splitlines() if line.startswith(said)]


def test_decimal_weights_are_counted_as_they_are_written(serstore, tmp_path):
    table = "utterance,label,a@1,b@1,c@1,d@1\nu1,y,x,x,y,z\nu2,y,y,y,x,z\nu3,x,z,z,z,x\nu4,z,z,z,z,z\n"
    (tmp_path / "answers.csv").write_text(table)
    store = tmp_path / "tenths.store"
    assert serstore("import", tmp_path / "answers.csv", "--label", "label", "--store", store).code == 0
    words = ("vote", "--correct", "none", "--json", "--store", store)
    (alone,) = serstore(*words, "a", "b", "c", "--weights", "0.1,0.1,0.2").json["results"]
    assert (alone["correct"], alone["n"], alone["ties"]) == (1, 4, 2)
    beside = serstore(*words, "--k", 3, "--all-combos", "--weights", "0.1,0.1,0.2,0.3").json["results"]
    (same,) = [one for one in beside if one["members"] == ["a@1", "b@1", "c@1"]]
    assert (same["correct"], same["ties"]) == (1, 2)
    tied = [serstore(*words, "--weights", weights).json["results"][0] for weights in ("1,1,1,3", "0.1,0.1,0.1,0.3")]
    assert tied[0] == tied[1]


def test_scores_that_are_no_probabilities_are_named_in_one_line(serstore, tmp_path):
    path = make_store(tmp_path / "mixed.store", n_steps=1)
    store = Store(path)
    store.add_run(RunRecord("base-svm", "head", "base", details={"head": "svm"}))
    rows = np.arange(N, dtype=np.int32)
    store.write_member(Member("base-svm", 1, rows, logits=store.logits(["base"], rows)[0]))
    words = ("vote", "base", "base-svm", "--correct", "none", "--store", path)
    said = serstore(*words, "--rule", "soft")
    assert said.code == 0
    (line,) = [line for line in said.err.splitlines() if "softmax" in line]
    assert line.startswith(
        "serstore: caution: soft voting adds up the softmax of what is not on one scale: base-svm@1 holds an SVM"
    )
    assert "base@1 holds probabilities or logits; `serstore calibrate` makes probabilities of them, --rule hard" in line
    assert line.removeprefix("serstore: caution: ") in serstore(*words, "--rule", "soft", "--json").json["cautions"]
    assert "softmax" not in serstore(*words, "--rule", "hard").err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("--k", 3, "--min-accuracy", 0.92),
            "--k is 3 with 2 candidates (unispeech-ml@600, xlsr53@1100): --min-accuracy 0.92 left 2 of 6: expected "
            "1 to 2; --min-accuracy 0.9166 leaves 3 or more, choose another --k",
        ),
        (("--k", 2, "--min-accuracy", 92), "--min-accuracy is 92: expected a share of 1, 0.92 for 92%"),
        (
            ("--k", 2, "--min-accuracy", 0.9271),
            "no candidate reaches --min-accuracy 0.9271: the best is xlsr53@1100 with 0.927083, 267 of 288 right",
        ),
    ],
)
def test_the_option_that_left_too_few_is_named(serstore, paper_store, words, line):
    outcome = serstore("vote", "--all-combos", *words, "--store", paper_store)
    assert (outcome.code, outcome.out, outcome.err) == (1, "", f"serstore: {line}\n")


def test_greedy_selection_finds_the_published_ensemble_of_three(serstore, paper_store):
    words = ("vote", "--k", 3, "--search", "greedy", "--correct", "none", "--json", "--store", paper_store)
    best = serstore(*words).json["results"][0]
    assert (best["correct"], best["members"]) == (278, ["hubert-xlarge@600", "unispeech-ml@600", "xlsr53@1100"])


@pytest.mark.parametrize("words", [("--k", "3,x"), ("--k", "three"), ("--top", 0), ("--repeats", 0)])
def test_what_is_no_number_is_wrong_usage(serstore, votes, words):
    assert serstore("vote", *words, "--store", votes).code == 2


def test_ctrl_c_while_correcting_prints_what_was_found(serstore, votes, monkeypatch):
    def interrupt(items, /, *, total, label):
        if label.startswith("correcting"):
            raise KeyboardInterrupt
        return items

    monkeypatch.setattr("ser_store_h5.progress.bar", interrupt)
    outcome = serstore("vote", "--k", 2, "--all-combos", "--weights", "accuracy", "--store", votes)
    assert outcome.code == 130
    assert "interrupted: all ensembles are searched, but nothing is corrected" in outcome.err
    assert "3 ensembles searched" in outcome.out
    assert "not corrected: interrupted" in outcome.out


def test_ctrl_c_prints_the_best_so_far(tmp_path):
    store = make_store(tmp_path / "long.store", n_steps=25, n=120)
    words = ["vote", "--steps", "all", "--k", "5", "--all-combos", "--tie", "best", "--json", "--store", str(store)]
    # 17,259,390 ensembles, which take minutes; the log says at once that the first of them are voted.
    program = "from ser_store_h5 import progress; from ser_store_cli.app import main\n"
    program += "progress.DELAY_SECONDS = progress._LOG_SECONDS = 0.01; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    shown = ""
    while "voting" not in shown:
        shown += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "interrupted: the best of the first" in err
    document = json.loads(out)
    assert (document["complete"], document["selection"]) == (False, None)
    assert 0 < document["searched"] < 17_259_390
    assert document["results"]
