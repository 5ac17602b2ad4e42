"""The published tables, from the reconstructed predictions and from a store's own runs."""

import shutil

import pytest

from ser_store.reproduction.published import load_published


@pytest.fixture(scope="module")
def tables(serstore, paper_store):
    return serstore("paper", "--json", "--store", paper_store).json


def test_every_figure_of_all_eight_reports_is_the_published_one(tables):
    entries = [*tables["models"], *tables["ensembles"]]
    assert [entry["report"]["published"]["figure"] for entry in entries] == [
        f"Figure {number}" for number in (7, 10, 13, 16, 19, 22, 25, 27)
    ]
    assert [entry["report"]["published"]["deviations"] for entry in entries] == [[]] * 8


def test_tables_3_and_4_agree_and_the_corrected_accuracy_stands_beside_the_apparent(tables):
    for model in tables["models"]:
        assert round(model["accuracy"], 2) == model["published_accuracy"]
    assert [(entry["searched"], entry["unique"]) for entry in tables["ensembles"]] == [(6, True), (20, True)]
    for ensemble in tables["ensembles"]:
        assert round(ensemble["accuracy"], 4) == ensemble["published_accuracy"]
        selection = ensemble["selection"]
        assert selection["corrected"] < selection["apparent"] == ensemble["accuracy"]


def test_tables_5_and_6_say_what_the_catalogue_and_the_runs_know(tables):
    assert [f"{model['bytes'] / 1e9:.2f}" for model in tables["models"]] == [
        "1.27",
        "1.27",
        "0.38",
        "3.86",
        "1.27",
        "1.27",
    ]
    assert [model["published_size"] for model in tables["models"]][2:4] == ["380MB", "3.86GB"]
    # Predictions that were imported were not timed.
    assert tables["models"][0]["seconds"] == {"total": None, "per_100_steps": None, "to_selected_step": None}
    assert tables["models"][0]["published_seconds"]["total"] == 4025


def test_it_prints_the_reports_in_the_papers_form(serstore, paper_store):
    out = serstore("paper", "--store", paper_store).out
    assert "Figure 7: Wav2vec2.0-large, step 900" in out
    assert "       calm       1.00      0.82      0.90        39" in out
    assert "    accuracy                           0.90       288" in out
    assert out.count("every figure as published") == 8
    assert "96.88%" in out
    assert "96.53%" in out


def test_what_differs_from_the_paper_is_said(serstore, paper_predictions, tmp_path):
    lines = paper_predictions.read_text().splitlines()
    cells = lines[1].split(",")
    cells[2] = "surprised" if cells[2] != "surprised" else "calm"
    changed = tmp_path / "changed.csv"
    changed.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]))
    store = tmp_path / "changed.store"
    assert serstore("import", changed, "--label", "emotion", "--store", store).code == 0
    found = serstore("paper", "--json", "--store", store).json["models"][0]["report"]["published"]["deviations"]
    assert any(line.startswith("neutral recall 0.89 (published 0.95)") for line in found)
    assert "differs from the paper: " in serstore("paper", "--store", store).out


def test_the_times_of_a_run_come_from_its_record_and_curves(serstore, paper_predictions, tmp_path):
    from dataclasses import replace

    from ser_store_h5.store import Store

    path = tmp_path / "timed.store"
    assert serstore("import", paper_predictions, "--label", "emotion", "--store", path).code == 0
    store = Store(path)
    record = store.run("xlsr53")
    store.update_run(replace(record, details={**record.details, "seconds": 280.0, "steps_done": 1400}))
    store.append_curve("xlsr53", step=1100, eval_loss=0.3, seconds=210.0)
    model = serstore("paper", "--json", "--store", path).json["models"][1]
    assert model["seconds"] == {"total": 280.0, "per_100_steps": 20.0, "to_selected_step": 210.0}


def test_a_store_without_the_six_runs_is_told_which_are_missing(serstore, paper_store, tmp_path):
    few = tmp_path / "few.csv"
    assert serstore("export", few, "xlsr53", "hubert-base", "--store", paper_store).code == 0
    store = tmp_path / "few.store"
    assert serstore("import", few, "--label", "label", "--store", store).code == 0
    outcome = serstore("paper", "--store", store)
    assert outcome.code == 1
    assert "no run of w2v2-large, hubert-xlarge, unispeech-large, unispeech-ml" in outcome.err
    assert list(load_published().models) == [
        "w2v2-large",
        "xlsr53",
        "hubert-base",
        "hubert-xlarge",
        "unispeech-large",
        "unispeech-ml",
    ]


def test_a_damaged_run_of_no_published_model_is_left_out_and_said(serstore, paper_store, tmp_path):
    store = shutil.copytree(paper_store, tmp_path / "paper.store")
    (store / "runs" / "mine").mkdir()
    (store / "runs" / "mine" / "run.json").write_text("{")
    outcome = serstore("paper", "--json", "--store", store)
    assert (outcome.code, len(outcome.json["models"])) == (0, 6)
    assert "left out, since it cannot be read (`serstore ls` says why): mine" in outcome.json["cautions"]
    (store / "runs" / "xlsr53" / "run.json").write_text("{")
    assert "runs/xlsr53/run.json: expected the JSON object" in serstore("paper", "--store", store).err
