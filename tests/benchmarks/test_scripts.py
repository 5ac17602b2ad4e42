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
            ["--kinds", "centroid", "--each", "16", "--width", "8", "--repeats", "1", "--workers", "1"],
            "1 kinds on 6 sources over one fold: ",
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


def test_what_a_gpu_is_to_measure_is_measured_in_small_and_gone_on_with(monkeypatch, tmp_path, capsys):
    recipe, result = tmp_path / "tiny.toml", tmp_path / "result.json"
    recipe.write_text("eval_steps = 2\nsave_steps = 2\nlogging_steps = 2\n")
    options = dict.fromkeys(("models", "whole", "tuned"), "tiny-hubert") | {"recipe": recipe, "result": result}
    options |= {"store": tmp_path / "kept.store", "folder": tmp_path, "folds": "speaker-folds"}
    options |= {"steps": 3, "repeats": 1, "seeds": 1, "max-steps": 2, "batch-size": 8}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    for module in ("measuring.training_corpus", "bench_gpu"):
        monkeypatch.setattr(f"{module}.SYNTHETIC_SPEAKERS", 2)
    main = import_module("bench_gpu").main
    monkeypatch.setattr(sys, "argv", ["bench_gpu", *words, "--minutes", "0"])
    main()
    assert "left: models tiny-hubert, whole tiny-hubert, tuned 1; call again" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["bench_gpu", *words])
    main()
    document = json.loads(result.read_text())
    main()
    said = capsys.readouterr().out
    assert said.count("models tiny-hubert …") == 1
    assert "tiny-hubert, 2 steps, 1 evaluations" in said
    assert "all folds, seed 1" in said
    assert document == json.loads(result.read_text())
    (runtime,) = document["models"]["tiny-hubert"]["training"]["runtimes"]
    assert min(runtime["ratio"], runtime["floor_share"]) > 0
    ways = {way["way"] for way in document["models"]["tiny-hubert"]["extraction"]}
    assert ways >= {"one at a time", "padded, 8 at a time (other numbers)", "pipeline", "serstore"}
    assert document["whole"]["tiny-hubert"]["resolved"]["train_batch_size"] == 8


def test_full_size_without_a_gpu_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench_finetune", "--full"])
    with pytest.raises(SystemExit):
        import_module("bench_finetune").main()
    assert "--full, and torch sees no GPU" in capsys.readouterr().err
