"""``serstore bench vote``, on few members."""

FEW = ["--runs", "2", "--steps", "4", "--k", "3", "--utterances", "30", "--classes", "4", "--repeats", "1"]


def test_the_table_has_a_line_for_each_search_and_its_ratio_to_numpy(serstore):
    done = serstore("bench", "vote", *FEW)
    assert "3 of 8 members, 30 utterances, 4 classes: 56 ensembles" in done.out
    lines = done.out.splitlines()
    for name in ("one-hot numpy", "serstore, bitsliced", "float32 numpy", "serstore, summed", "scipy.stats.mode"):
        assert any(line.startswith(name) for line in lines), name
    (baseline,) = [line for line in lines if line.startswith("one-hot numpy")]
    assert baseline.split()[-3] == "1"


def test_json_is_one_document(serstore):
    document = serstore("bench", "vote", "--json", *FEW).json
    assert document["electorate"]["ensembles"] == 56
    assert {rate["rule"] for rate in document["rates"]} == {"hard", "soft"}


def test_more_members_than_there_are_is_refused_in_one_line(serstore):
    done = serstore("bench", "vote", "--runs", 1, "--steps", 3, "--k", 4)
    assert done.code == 1
    assert done.err == "serstore: 4 of 3 members, 5 times: expected 2 to 3 members, at least once\n"
    assert done.out == ""
