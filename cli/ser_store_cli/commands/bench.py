"""bench: what this machine needs, beside what others need for the same."""

import typer

from ser_store_cli.commands import bench_store as bench_store_commands
from ser_store_cli.commands import bench_train as bench_train_commands
from ser_store_cli.commands import bench_vote as bench_vote_command


def register(app: typer.Typer) -> None:
    bench = typer.Typer(help="Measure on this machine, beside what others do.", no_args_is_help=True)
    bench_store_commands.register(bench)
    bench_vote_command.register(bench)
    bench_train_commands.register(bench)
    app.add_typer(bench, name="bench")
