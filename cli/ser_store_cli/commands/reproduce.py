"""reproduce."""

from pathlib import Path
from typing import Annotated

import typer

from ser_store_cli.options import DEFAULT_STORE, DebugOption, StoreOption, stated


def register(app: typer.Typer) -> None:
    @app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
    @stated
    def reproduce(
        context: typer.Context,
        audio: Annotated[Path, typer.Option("--audio", help="The folder with the RAVDESS recordings.")],
        models: Annotated[
            str | None,
            typer.Option("--models", help="Other models, separated by commas.", show_default="the paper's six"),
        ] = None,
        store: StoreOption = DEFAULT_STORE,
        debug: DebugOption = False,
    ) -> None:
        """Reproduce the paper from the recordings to its last table. Can be interrupted and run again.

        Options that are not listed here are passed to `serstore finetune`, for instance --precision bf16.
        """
        from ser_store.errors import require
        from ser_store.reproduction.reproduce import list_published_models, name_runs
        from ser_store_cli.walkthroughs.printed import make_runner
        from ser_store_cli.walkthroughs.reproduction import Reproduction

        require("torch")
        require("transformers")
        named = list_published_models() if models is None else [name.strip() for name in models.split(",")]
        Reproduction(store, audio, name_runs(named), context.args, make_runner(app)).reproduce()
