"""A bar shows by the clock: also while the first item takes its time, and never for what is quickly done."""

import re
import sys
import time

import pytest
from tqdm import tqdm

from ser_store_h5 import progress


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.01)


def wait_for_bar():
    """The items, the first of them once a bar is open."""
    is_open = False
    while not is_open:
        time.sleep(0.01)
        with tqdm.get_lock():
            is_open = any(hasattr(shown, "start_t") for shown in tqdm._instances)  # set when it has been shown
    yield from "abc"


def test_a_bar_shows_before_a_slow_first_item_is_done(impatient, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    items = iter(progress.bar(wait_for_bar(), total=3, label="compiling"))
    assert next(items) == "a"
    assert "compiling:   0%" in capsys.readouterr().err
    assert list(items) == ["b", "c"]


def test_a_log_has_whole_lines_now_and_then(impatient, monkeypatch, capsys):
    assert list(progress.bar(wait_for_bar(), total=3, label="brief")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.01)
    for _ in progress.bar(wait_for_bar(), total=3, label="extracting"):
        time.sleep(0.02)
    logged = capsys.readouterr().err
    assert re.match(r"extracting: 1/3, \d\d:\d\d passed, ", logged)
    assert logged.endswith(" left\n")
    assert "\r" not in logged


def test_quick_work_shows_nothing_and_its_items_pass_unchanged(capsys, monkeypatch):
    monkeypatch.setattr(progress, "DELAY_SECONDS", 3600)
    assert list(progress.bar("abc", total=3, label="quick")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_a_bar_that_is_given_up_is_closed(impatient):
    items = iter(progress.bar(wait_for_bar(), total=3, label="left"))
    next(items)
    assert [shown.desc.rstrip(": ") for shown in tqdm._instances] == ["left"]
    items.close()
    assert not tqdm._instances


def test_an_error_of_the_items_comes_through(impatient):
    def fail():
        yield 1
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        list(progress.bar(fail(), total=2, label="failing"))


def test_public_functions_take_true_false_or_a_function():
    def own(items, /, *, total, label):
        return items

    chosen = [progress.to_progress(one) for one in (True, False, own)]
    assert chosen == [progress.bar, progress.silent, own]
