"""What a shell completes, asked the way a shell asks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def complete(words, store, **environment):
    """What bash is given for the last of the words."""
    line = " ".join(words)
    return subprocess.run(
        [Path(sys.executable).with_name("serstore")],
        env={
            **os.environ,
            "_SERSTORE_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "SERSTORE": str(store),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["serstore", "ev"], ["evaluate"]),
        (["serstore", "evaluate", "xl"], ["xlsr53", "xlsr53@1100"]),
        (["serstore", "evaluate", "--split", "im"], ["imported"]),
        (["serstore", "vote", "--on", "te"], ["test"]),
        (["serstore", "init", "--corpus", "em"], ["emodb", "emovo"]),
        (["serstore", "init", "--corpus", "pyproj"], ["pyproject.toml"]),
        (["serstore", "steps", "--run", "hubert-b"], ["hubert-base"]),
        (["serstore", "compare", "nothing-like-it"], []),
    ],
)
def test_names_of_the_store_are_completed(words, expected, paper_store):
    assert complete(words, paper_store) == expected


def test_without_a_store_nothing_is_completed_and_nothing_is_said(tmp_path):
    assert complete(["serstore", "evaluate", "x"], tmp_path / "none.store") == []
