"""How tests and examples in docstrings are run; the tests have a conftest of their own."""

import gc
import os
from importlib.util import find_spec

import pytest

# Models and matrices are so small here that threads take longer, above all beside the other processes of the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What is printed is not fitted to the terminal that the tests run in.
for _name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
    os.environ.pop(_name, None)

# What is flushed outlives a power failure, which no test of this process has, and a disk takes milliseconds each time:
# tens of thousands of times that is minutes. Other processes that the tests start flush as ever.
os.fsync = os.fstat  # type: ignore[assignment]  # refuses as well what is no open file

collect_ignore: list[str] = []
if find_spec("torch") is None:
    rooms = ("backbones", "extraction", "hub", "inference", "prediction", "training")
    collect_ignore += [f"ser_store/{room}" for room in rooms]
if find_spec("huggingface_hub") is None:
    collect_ignore += ["store/ser_store_h5/places/hub_files.py"]
if find_spec("matplotlib") is None:
    collect_ignore += ["ser_store/figures"]


@pytest.fixture(autouse=True)
def _folder_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an example writes goes to a folder of its own."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("tmp_path"))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: it is not searched for garbage each time, which trainings do often."""
    gc.collect()
    gc.freeze()
