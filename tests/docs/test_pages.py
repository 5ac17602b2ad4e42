"""README, the pages of docs/ and the examples of the commands show what happens.

A fenced block in the language

    console   has its `$ serstore …` run and the output compared; a line `…` stands for lines that are left out
    python    is run, and where it has prompts its output compared
    sh        is for a shell, a GPU, hours or a reader's own files: commands and options have to exist

and a `{code-block}` with a caption is a file, which is written. Times may differ, and a little what is computed from
recordings; figures of the stores that come with the package may not. All pages are read in their order
and in one folder, so that a page may go on with the store of another.

    REWRITE=1 pytest tests/docs         writes into the pages what the commands print today
"""

import csv
import doctest
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ser_store_cli.app import app
from ser_store_cli.help import EXAMPLES, PANELS
from ser_store_cli.option import EXAMPLE

ROOT = Path(__file__).parents[2]
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(?:\{code-block\} )?(\w+)\n(?::caption: ([^\n]+)\n\n)?(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(serstore [^`\n]+)`")
# Times, speeds, and core seconds, which end a line with one decimal.
# Times, and the size of a page, in which its scripts and styles are.
VARYING = re.compile(r"\b\d[\d.,e-]* (?:s|ms|min|[kMG]?B/s)\b|  \d+\.\d$|(?<=\.html \()[\d.]+ kB", re.MULTILINE)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
COMMANDS = typer.main.get_command(app).commands

listed = "\n".join(TOCTREE.findall((ROOT / "docs" / "index.md").read_text("utf-8"))).split()
written = [Path(f"docs/{name}.md") for name in listed if not name.startswith(("commands/", "api/"))]
PAGES = [Path("README.md"), Path("docs/index.md"), *(page for page in written if (ROOT / page).is_file())]


def run(words: str) -> tuple[int, str]:
    """The exit code of a command in this process, and all that it prints."""
    result = CliRunner().invoke(app, shlex.split(words, comments=True)[1:])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    output = re.sub(r"[^\n]*\r *|.+ passed, \S+ left.*\n", "", result.output)  # without progress
    return result.exit_code, re.sub(r"[ \t]+$", "", output.replace(f"{Path.cwd()}/", ""), flags=re.MULTILINE)


def check_words(words: str) -> None:
    """A command and all of its options exist."""
    name, *others = re.split(r"\s+", words.removeprefix("serstore "))
    if name.startswith("-") or name.isupper():
        return
    assert name in COMMANDS, words
    if COMMANDS[name].context_settings.get("ignore_unknown_options"):
        return
    known = {option for parameter in COMMANDS[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
    said = {option.partition("=")[0] for option in others if re.match(r"--?[a-z]", option)}
    assert said <= known | {"--help"}, f"{words}: {sorted(said - known)}"


def check_shell(body: str) -> None:
    """All commands in lines for a shell exist, behind launchers too."""
    told = re.sub(r"  #.*", "", body.replace("\\\n", " "))
    for words in re.findall(r"(?<![\w/-])serstore [^|&;#>\n]+", told):
        check_words(" ".join(words.split()))


def run_console(body: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The transcript as it is today, with as many lines left out."""
    parts = []
    for command, shown in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE):
        if command.startswith("export "):
            monkeypatch.setenv(*command.removeprefix("export ").split("="))
            parts.append(f"$ {command}\n")
            continue
        code, output = run(command)
        assert code == 0, f"{command}: {output}"
        before, cut, after = shown.partition("…\n")
        lines = output.strip("\n").splitlines(keepends=True)
        lines[-1:] = [f"{line}\n" for line in lines[-1:]]
        if cut:
            lines = [*lines[: before.count("\n")], cut, *lines[len(lines) - after.count("\n") :]]
        ending = "\n" if shown.endswith("\n\n") and not cut else ""
        found = "".join(lines) + ending
        is_exact = EXAMPLE in command or os.environ.get("SERSTORE", "").startswith(EXAMPLE)
        parts.append(f"$ {command}\n{shown if agree(found, shown, is_exact=is_exact) else found}")
    return "".join(parts)


def agree(found: str, shown: str, *, is_exact: bool) -> bool:
    """Two outputs say the same but for times and, if computed from recordings, for what machines round otherwise.

    One float16 in a thousand rounded up gives logistic regression another handful of utterances, and the standard
    deviation over folds of them a twentieth more.
    """
    found, shown = VARYING.sub("", found), VARYING.sub("", shown)
    if is_exact or found == shown:
        return found == shown
    words = [NUMBER.sub("0", text).split() for text in (found, shown)]
    pairs = zip(map(float, NUMBER.findall(found)), map(float, NUMBER.findall(shown)), strict=False)
    return words[0] == words[1] and all(abs(one - other) <= max(0.03, 0.06 * other) for one, other in pairs)


def run_python(body: str, names: dict[str, object], page: Path) -> None:
    if ">>> " not in body:
        exec(compile(body, str(page), "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(body, names, str(page), str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(test, clear_globs=False).failed == 0
    names.update(test.globs)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return tmp_path_factory.mktemp("desk")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_shows_what_happens(page, desk, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.chdir(desk)
    names: dict[str, object] = {}

    def take(block: re.Match[str]) -> str:
        language, caption, body = block.groups()
        if caption:
            Path(caption).write_text(body, encoding="utf-8")
        elif language == "python":
            run_python(body, names, page)
        elif language == "sh":
            check_shell(body)
        elif language == "console":
            shown = run_console(body, monkeypatch)
            return block.group().replace(body, shown) if body else block.group()
        return block.group()

    said = (ROOT / page).read_text("utf-8")
    for words in INLINE.findall(FENCE.sub("", said)):
        check_words(words)
    happened = FENCE.sub(take, said)
    if os.environ.get("REWRITE") == "1":
        (ROOT / page).write_text(happened, encoding="utf-8")
    else:
        assert happened == said


CLASSES = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
EMOTIONS = {f"{code:02}": name for code, name in enumerate(CLASSES, start=1)}
# What stands in for hours on a GPU and weights from the hub.
_SHORT = "--init random --max-steps 2 --save-steps 1 --logging-steps 1 --accumulation 1"
STAND_INS = {
    "--model xlsr53": f"--model tiny-wav2vec2 --run xlsr53 --eval-steps 1 {_SHORT}",
    "--model hubert-base": f"--model tiny-hubert --run hubert-base {_SHORT}",
    "--model whisper-base": "--model tiny-whisper --run whisper-base-frozen",
    "--cv speaker": "--cv speaker --folds 3",
    "--eval-steps 50": "--eval-steps 1",
}
# Tests of their own run these (tests/cli, tests/backbones); they take long.
ELSEWHERE = ("demo", "reproduce", "export-onnx")


@pytest.fixture
def example_desk(speech, paper_store, tmp_path, monkeypatch):
    """A folder with what the examples name."""
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for name, there in (("ravdess", speech), ("recordings", speech), ("paper.store", paper_store)):
        Path(name).symlink_to(there)
    found = sorted(path.relative_to(speech) for path in speech.rglob("*.wav"))
    ids = [path.stem for path in found]
    codes = [name.split("-")[2] for name in ids]
    labels = [EMOTIONS[code] for code in codes]
    shares = np.random.default_rng(0).dirichlet(np.ones(len(CLASSES)), len(ids)).round(6)
    write("corpus.csv", ("file", "label", "speaker"), zip(found, codes, (name[-2:] for name in ids), strict=True))
    write("predictions.csv", ("utterance", "emotion", "mine@0"), zip(ids, labels, labels, strict=True))
    rows = [(name, "mine", 0, *own) for name, own in zip(ids, shares.tolist(), strict=True)]
    write("probabilities.csv", ("utterance", "run", "step", *sorted(CLASSES)), rows)
    np.savez("features.npz", ids=np.array(ids), features=shares)
    Path("map.toml").write_text("".join(f'{EMOTIONS[code]} = "{code}"\n' for code in list(EMOTIONS)[:5]))


def write(name, header, rows):
    with Path(name).open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Stands in for the Hugging Face hub."""
    monkeypatch.syspath_prepend(ROOT / "tests" / "backbones")
    from hub_server import TOKEN, serve_hub

    with serve_hub(tmp_path, monkeypatch) as server:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def test_the_examples_run_one_after_the_other(example_desk, hub):
    for name, examples in EXAMPLES.items():
        for _, words in examples:
            check_words(f"serstore {words}")
            if name in ELSEWHERE:
                continue
            meant = words if words != "sweep" else "sweep --kind lda,centroid"
            for said, stand_in in STAND_INS.items():
                meant = meant.replace(said, stand_in)
            code, output = run(f"serstore {meant}")
            assert code == 0, f"{name}: serstore {words}: {output}"
            assert output


def test_every_command_has_its_place_in_the_overview_and_its_examples():
    assert sorted(COMMANDS) == sorted(EXAMPLES) == sorted(name for panel in PANELS.values() for name in panel)
    for name, command in COMMANDS.items():
        assert all(f"$ serstore {words}" in command.epilog for _, words in EXAMPLES[name])
    _, overview = run("serstore --help")
    assert all(f"│ {name} " in overview for name in COMMANDS)
