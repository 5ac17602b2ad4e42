"""demo."""

from typing import Annotated

import typer

from ser_store_cli.options import DEFAULT_STORE, AudioOption, DebugOption, StoreOption, stated


def register(app: typer.Typer) -> None:
    @app.command()
    @stated
    def demo(
        audio: AudioOption = None,
        steps: Annotated[
            int | None,
            typer.Option(
                "--steps", min=1, help="Optimizer steps of each fine-tuning.", show_default="200; on RAVDESS, 300"
            ),
        ] = None,
        store: StoreOption = DEFAULT_STORE,
        debug: DebugOption = False,
    ) -> None:
        """Show the whole way from recordings to a vote: on synthetic speech, or with --audio on RAVDESS."""
        from ser_store.errors import require
        from ser_store_cli.walkthroughs.demonstration import demonstrate
        from ser_store_cli.walkthroughs.printed import make_runner

        require("torch")
        demonstrate(store, audio=audio, steps=steps, run=make_runner(app))
