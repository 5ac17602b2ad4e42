"""The demo runs every command it prints, on recordings that are there, and harms no store that is."""


def test_the_demo_goes_from_audio_to_votes(serstore, speech, tmp_path):
    store = tmp_path / "demo.store"
    store.mkdir()
    (store / "precious.txt").write_text("kept")
    outcome = serstore("demo", "--audio", speech, "--steps", 4, "--store", store)
    assert outcome.code == 0, outcome.err
    made = tmp_path / "demo-2.store"
    assert f"The store is {made}" in outcome.out
    assert (store / "precious.txt").read_text() == "kept"
    for said in (
        "1136/1440    78.89%",  # of real models, before anything is trained
        "274/288    95.14%",
        "speakers on more than one side",
        "points over the best member alone",
        "corrected",
        "tiny-unispeech@",
        "eval loss",
    ):
        assert said in outcome.out
    members = {entry["run"] for entry in serstore("ls", "--json", "--store", made).json["members"]}
    assert members == {"mfcc", "mfcc-logreg", "mfcc-svm", "mfcc-mlp", "tiny-wav2vec2", "tiny-hubert", "tiny-unispeech"}
    assert serstore("verify", "--store", made).code == 0
