"""What several tests of training begin with."""

import pytest


@pytest.fixture(scope="module")
def empty(serstore, speech, tmp_path_factory):
    """A store without runs. Read only: its copies are trained in."""
    path = tmp_path_factory.mktemp("empty") / "speech.store"
    assert serstore("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker", "--store", path).code == 0
    return path
