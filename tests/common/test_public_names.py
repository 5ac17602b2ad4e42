"""What ``import ser_store`` offers."""

import inspect
import subprocess
import sys

import pytest

import ser_store as ss


def test_no_room_hides_a_public_name():
    """A package that is loaded becomes an attribute of the one above it."""
    program = (
        "import importlib, pkgutil, ser_store as ss\n"
        "for room in pkgutil.iter_modules(ss.__path__):\n"
        "    assert room.name not in ss.__all__, room.name\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_public_name_is_there_and_every_error_has_one_root():
    pytest.importorskip("torch")
    for name in ss.__all__:
        found = getattr(ss, name)
        assert found is not None
        if inspect.isclass(found) and issubclass(found, Exception):
            assert issubclass(found, ss.SerstoreError)


def test_every_public_name_has_an_example():
    """pytest runs them; pushing a model needs a server."""
    pytest.importorskip("torch")
    names = [name for name in ss.__all__ if not name.endswith("Error") and name not in ("__version__", "push_to_hub")]
    assert [name for name in names if ">>>" not in (getattr(ss, name).__doc__ or "")] == []
