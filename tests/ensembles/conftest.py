"""Lets the tests in this folder import the sample beside them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    from ensemble_samples import make_sample

    return make_sample(tmp_path_factory.mktemp("votes") / "votes.store")
