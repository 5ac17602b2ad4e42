"""Where the tests find the real recordings and the published tables.

Both lie beside the repository, in ``../shared`` (or where ``SERSTORE_SHARED`` says). On a developer's machine their
tests are skipped where they are absent; under continuous integration their absence is a failure.
"""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("SERSTORE_SHARED", Path(__file__).parents[1].parent / "shared"))


def _shared(*parts: str) -> Path:
    folder = SHARED.joinpath(*parts)
    if not folder.is_dir():
        message = f"{folder} is not there; SERSTORE_SHARED names the folder that holds ravdess/ and paper/"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def ravdess_16k() -> Path:
    """The 1,440 speech recordings of RAVDESS, 16 kHz FLAC."""
    return _shared("ravdess", "16k")


@pytest.fixture(scope="session")
def ravdess_48k() -> Path:
    """Sixty-three RAVDESS originals, 48 kHz WAV, five of them stereo."""
    return _shared("ravdess", "48k")


@pytest.fixture(scope="session")
def paper_dir() -> Path:
    """The published tables (tables.json) and the reconstructed predictions (predictions.csv)."""
    return _shared("paper")
