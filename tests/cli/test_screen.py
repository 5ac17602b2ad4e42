"""What commands print fits the terminal; pipes and logs have whole lines without a terminal's codes."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from ser_store.common.layout import measure
from ser_store_cli.output import find_screen

THREE = "hubert-xlarge@600+unispeech-ml@600+xlsr53@1100"
COMMANDS = [
    ("ls",), ("info",), ("splits",), ("audit",), ("models",), ("corpora",), ("steps",), ("paper",), ("compare",),
    ("evaluate", "--by", "sex", "--hard"), ("evaluate", THREE, "--by", "speaker"), ("compare", THREE, "xlsr53"),
    ("vote", "--k", "3,5", "--all-combos", "--diversity"),
]  # fmt: skip


def run_in_terminal(words, columns, **environment):
    """What a command writes to a terminal so many columns wide."""
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")
    }
    inherited |= {"TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment}
    command = [sys.executable, "-m", "ser_store_cli", *map(str, words)]
    with subprocess.Popen(command, stdin=writing, stdout=writing, stderr=subprocess.DEVNULL, env=inherited) as process:
        os.close(writing)
        written = b""
        while block := _read(reading):
            written += block
    os.close(reading)
    assert process.returncode == 0
    return written.decode()


def _read(terminal):
    """What there is to read; nothing at the end, which Linux calls an error."""
    try:
        return os.read(terminal, 2**16)
    except OSError:
        return b""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(serstore, paper_store, monkeypatch, words):
    words = words if words[0] in ("models", "corpora") else (*words, "--store", paper_store)
    whole = serstore(*words).out
    for width in (60, 80, 120, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        out = serstore(*words).out
        assert max(map(measure, out.split("\n"))) <= width
        assert not list_pieces(whole) - list_pieces(out)
        assert "\x1b" not in whole + out


def list_pieces(text):
    """What a line is not broken in, but rules, and how long a search took."""
    return {piece for piece in re.split(r"[\s+/,-]+", re.sub("searched in .*", "", text)) if piece.strip("─")}


def test_a_terminal_shows_the_best_in_bold_in_its_own_width(paper_store):
    words = ("evaluate", "--store", paper_store)
    shown = run_in_terminal(words, 70)
    assert "\x1b[1m92.71%\x1b[0m" in shown
    assert max(measure(line) for line in shown.replace("\x1b[1m", "").replace("\x1b[0m", "").split("\r\n")) <= 70
    for quiet in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in run_in_terminal(words, 70, **quiet)


def test_pictures_of_letters_are_shown_where_they_can_be_seen(paper_store):
    words = ("vote", "--k", "3", "--all-combos", "--correct", "none", "--store", paper_store)
    assert "▂▆▄" in run_in_terminal(words, 80)
    assert "▂▆▄" not in run_in_terminal(words, 80, TERM="dumb")
    assert "▂▆▄" not in run_in_terminal(words, 80, PYTHONIOENCODING="ascii:replace")


@pytest.mark.parametrize(
    ("variables", "is_bold"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, False),
    ],
)
def test_a_pipe_has_bold_figures_only_where_they_are_forced(monkeypatch, variables, is_bold):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (find_screen().width, find_screen().is_bold) == (None, is_bold)
