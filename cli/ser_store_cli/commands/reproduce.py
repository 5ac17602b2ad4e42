"""reproduce: what is left to do of the paper, each step a command that is printed before it runs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ser_store_cli import INTERRUPTED, option
from ser_store_cli.command import command
from ser_store_cli.output import print_styled, warn
from ser_store_cli.printed import print_title, run_printed

if TYPE_CHECKING:
    from ser_store_h5.store import Store

SPLIT = "paper"
ENSEMBLE_SIZES = (3, 5)


@command(json=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def reproduce(
    context: typer.Context,
    audio: Annotated[Path, typer.Option("--audio", help="The folder with the RAVDESS recordings.")],
    models: Annotated[
        str | None,
        typer.Option("--models", help="Other models, separated by commas.", show_default="the paper's six"),
    ] = None,
    store: option.Store = option.HERE,
) -> None:
    """Reproduce the paper from the recordings to its last table. Can be interrupted and run again.

    Options that are not listed here are passed to `serstore finetune`, for instance --precision bf16.
    """
    from ser_store.errors import require
    from ser_store.reproduction.reproduce import list_published_models, name_runs

    require("torch")
    require("transformers")
    named = list_published_models() if models is None else [name.strip() for name in models.split(",")]
    _Reproduction(store, audio, name_runs(named), context.args).reproduce()


@dataclass(frozen=True)
class _Reproduction:
    """What is to be reproduced.

    Attributes:
        path: of the store, which may be there from an earlier attempt.
        audio: the recordings.
        runs: model to the name of its run, in the order in which they are trained.
        options: further words for ``serstore finetune``.
    """

    path: Path
    audio: Path
    runs: Mapping[str, str]
    options: Sequence[str]

    def reproduce(self) -> None:
        """Do what is left to do. A model that fails stops no other one; it is named at the end, with exit code 1."""
        started = time.perf_counter()
        print_title("The corpus, split as in the paper")
        self._init()
        print_title("The models, fine-tuned by Table 2; each evaluation caches a member")
        failed = [model for model in self.runs if not self._finetune(model)]
        finished = [name for model, name in self.runs.items() if model not in failed]
        if finished:
            self._read(finished)
        print_styled(f"\nDone in {time.perf_counter() - started:.0f} s. The store is {self.path}", bold=True)
        if failed:
            warn(f"{', '.join(failed)} could not be trained, see above: the same command goes on from here")
            raise typer.Exit(1)

    def _init(self) -> None:
        if (self.path / "corpus.h5").is_file() and SPLIT in self._open().corpus.splits:
            typer.echo(f"there already: {self.path}")
        else:
            self._insist("init", "--corpus", "ravdess", "--audio", str(self.audio), "--split", SPLIT)

    def _finetune(self, model: str) -> bool:
        """Whether the model is trained now, or was before."""
        from ser_store.inference.out_of_memory import free_memory

        store, name = self._open(), self.runs[model]
        begun = store.run(name) if store.has_run(name) else None
        if begun and begun.state == "finished" and begun.details.get("split") == SPLIT:
            typer.echo(f"finished already: {name}")
            return True
        resume = ["--resume", "--run", name] if begun else []  # which refuses one of another split
        words = ["finetune", "--model", model, *resume, "--split", SPLIT, "--audio", str(self.audio), *self.options]
        code = self._try(*words)
        free_memory()
        return code == 0

    def _read(self, finished: list[str]) -> None:
        """All that is read off the finished runs."""
        from ser_store.reproduction.reproduce import list_published_models

        store = self._open()
        print_title("One step of each, where training and evaluation loss part")
        unselected = [name for name in finished if store.run(name).selected is None]
        if unselected:
            named = [word for name in unselected for word in ("--run", name)]
            self._insist("steps", *named, "--select", "divergence", "--split", SPLIT)
        else:
            typer.echo("selected already")
        print_title("The models on the test utterances")
        self._insist("evaluate", *finished, "--split", SPLIT)
        print_title("Every ensemble of them")
        for k in ENSEMBLE_SIZES:
            if k > len(finished):
                typer.echo(f"{len(finished)} models make no ensemble of {k}")
            else:
                self._insist("vote", *finished, "--k", str(k), "--all-combos", "--split", SPLIT)
        print_title("The paper's tables")
        code = self._try("paper", "--split", SPLIT)
        # Without one of the six, all it can do is say which are missing.
        if code and set(list_published_models()) <= set(finished):
            raise typer.Exit(code)

    def _open(self) -> "Store":
        from ser_store_h5.store import Store

        return Store(self.path)

    def _insist(self, *words: str) -> None:
        """A step without which nothing after it makes sense."""
        code = self._try(*words)
        if code:
            raise typer.Exit(code)

    def _try(self, *words: str) -> int:
        code = run_printed(*words, "--store", str(self.path))
        if code == INTERRUPTED:
            raise typer.Exit(code)
        return code
