"""In a container that runs as any user, nobody knows the user's name."""

import os
import subprocess
import sys

import pytest

NAMELESS = """
import pwd

def find(number):
    raise KeyError(number)

pwd.getpwuid = find
"""
SHOW = "import os; print(os.environ['TORCHINDUCTOR_CACHE_DIR'])"
NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME", "TORCHINDUCTOR_CACHE_DIR")


def run(text, **environment):
    known = {name: value for name, value in os.environ.items() if name not in NAMES}
    return subprocess.run(
        [sys.executable, "-c", NAMELESS + text], env=known | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("then", ["training", "inference", "backbones, torch._dynamo"])
def test_torch_s_compiler_has_a_folder_for_a_user_without_a_name(then):
    loaded = run(f"import ser_store.{then}; {SHOW}")
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip().endswith(f"torchinductor_{os.getuid()}")


def test_it_would_not_be_otherwise():
    assert "KeyError" in run("import torch._dynamo").stderr


def test_a_folder_that_was_named_is_kept():
    kept = run(
        "import ser_store.backbones, os; print(os.environ['TORCHINDUCTOR_CACHE_DIR'])", TORCHINDUCTOR_CACHE_DIR="x"
    )
    assert kept.stdout == "x\n"
