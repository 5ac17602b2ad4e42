"""The scripts, on little: each prints its table and writes its document."""

import json
import sys
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    ("script", "options", "said"),
    [
        (
            "bench_size",
            ["--utterances", "100", "--steps", "2", "--without-checkpoints"],
            "12 members (2 steps each) on 100 utterances: checkpoints 18.60 GB",
        ),
        (
            "bench_io",
            ["--members", "2", "--utterances", "5", "--hidden", "4", "--repeats", "1"],
            "2 members × 5 utterances × 4 dimensions, pooled float16 and logits float32: 400 B",
        ),
        (
            "bench_sweep",
            ["--kinds", "lda,centroid", "--each", "16", "--width", "8", "--repeats", "1", "--workers", "1"],
            "2 kinds on 6 sources over one fold: ",
        ),
        ("bench_extract", ["--repeats", "1"], "tiny, 60 utterances; equal to "),
    ],
)
def test_a_script_prints_a_table_and_writes_a_document(script, options, said, monkeypatch, tmp_path, capsys):
    folder, result = tmp_path / "folder", tmp_path / "result.json"
    folder.mkdir()
    monkeypatch.setattr("measuring.training_corpus.SYNTHETIC_SPEAKERS", 1)
    monkeypatch.setattr(sys, "argv", [script, *options, "--folder", str(folder), "--result", str(result)])
    import_module(script).main()
    assert said in capsys.readouterr().out
    assert json.loads(result.read_text())["versions"]
    assert list(folder.iterdir()) == []


def test_the_correction_is_timed_where_both_ways_choose_as_well(monkeypatch, tmp_path, capsys):
    sizes = ["--runs", "6", "--steps", "2", "--utterances", "48", "--repeats", "20", "--plain", "4"]
    monkeypatch.setattr(sys, "argv", ["bench_correction", *sizes, "--result", str(tmp_path / "result.json")])
    import_module("bench_correction").main()
    said, document = capsys.readouterr().out, json.loads((tmp_path / "result.json").read_text())
    assert "soft, one step of each run: " in said
    assert document["voting_problem"]["ensembles"] == 792
    assert [row["found"]["repeats"] for row in document["rows"]] == [20] * 6
    assert all(row["found"]["apparent"] >= row["found"]["corrected"] for row in document["rows"])


def test_full_size_without_a_gpu_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench_finetune", "--full"])
    with pytest.raises(SystemExit):
        import_module("bench_finetune").main()
    assert "--full, and torch sees no GPU" in capsys.readouterr().err
