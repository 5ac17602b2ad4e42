"""init, corpora, audit and splits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ser_store.common.display import Result
from ser_store_cli import option
from ser_store_cli.command import command
from ser_store_cli.completion import complete_corpora, complete_splits
from ser_store_cli.output import print_result, warn, warn_cautions

Repeats = Annotated[
    int | None,
    typer.Option("--repeats", help="Draw so many of the split, by the seeds that follow: speaker, speaker-1, …"),
]
# Lines of one kind; the rest are counted.
_TOLD = 5


@command()
def init(
    corpus: Annotated[
        str,
        typer.Option(
            "--corpus",
            help="A published corpus by name (ravdess, emodb, iemocap, …: `serstore corpora` lists all), a table with "
            "a row for each utterance (FILE.csv, FILE.tsv, FILE.parquet), or the page of another corpus (PAGE.toml).",
            autocompletion=complete_corpora,
        ),
    ],
    audio: option.Audio = None,
    no_audio: Annotated[
        bool, typer.Option("--no-audio", help="Make the corpus of the table alone: there are no recordings.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="MAP.toml", help="Rename, merge or drop classes by a label map."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="How to split: paper (random train and test, as published), paper-valid (a validation part too), "
            "speaker (no speaker in two parts), speaker-folds, loso (leave one speaker out), emobox (the folds of "
            "EmoBox), twin (both takes of an utterance in one part), kfold, or a column of the table.",
            show_default="the store's default split, else the corpus' own, else paper",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Draw the split with another seed, which becomes part of its name: paper-7."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", help="Number of folds, which becomes part of the split's name: kfold-10-folds."),
    ] = None,
    repeats: Repeats = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out recordings that cannot be read, instead of stopping.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Count a recording as bad if its length differs from what its header says.")
    ] = False,
    store: option.Store = option.HERE,
) -> Result:
    """Create a store for a corpus, or add a split to the store that is there.

    A table has a row for each utterance; commas, semicolons, tabs or bars separate. Its columns:
    - path (or file, filename, wav, audio): the recording, from the table's folder or --audio
    - label (or emotion, class, category): its class
    - speaker (or spk, actor, subject), if known
    - utterance: its id, if that is not the recording's name
    - split (or partition, subset): train, valid, test or folds, if it has one
    - any others, such as sex or age: kept, and can be splits, too

    A label map has a line for each class, angry = ["anger", "A"], and drop = "rest" or a list.
    """
    from ser_store.corpora.create import init as make_store

    made = make_store(
        store,
        corpus=corpus,
        audio=audio,
        no_audio=no_audio,
        labels=labels,
        split=split,
        seed=seed,
        folds=folds,
        repeats=repeats,
        skip_bad=skip_bad,
        strict=strict,
        progress=True,
    )
    _tell("left out", made.skipped)
    _tell("note", made.notes)
    if made.ignored:
        warn(f"{made.ignored} {made.ignored_as}")
    return made


@command()
def corpora(
    corpus: Annotated[
        str | None,
        typer.Argument(
            help="A corpus to describe, by name or by its PAGE.toml.",
            show_default="all that are known by name",
            autocompletion=complete_corpora,
        ),
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="Print the page of the corpus as it is written, to begin your own with.")
    ] = False,
) -> Result | None:
    """List the published corpora that `serstore init` knows by name, or describe one."""
    from ser_store.corpora.published.listing import list_corpora, load_page_text

    if page:
        typer.echo(load_page_text(corpus or "ravdess"), nl=False)
        return None
    return list_corpora(corpus)


def _tell(what: str, lines: Sequence[str]) -> None:
    for line in lines[:_TOLD]:
        warn(f"{what}: {line}")
    if len(lines) > _TOLD:
        warn(f"{what}: {len(lines):,} in all, of which these are the first; --json lists all")


@command()
def audit(
    split: option.Split = None,
    audio: option.Audio = None,
    store: option.Store = option.HERE,
) -> Result:
    """Check a split for leaks: speakers, twins and duplicate audio on both sides; class balance and bad files."""
    from ser_store.evaluation.audit import audit as compute

    return compute(store, split=split, audio=audio, progress=True)


@command()
def splits(
    describe: Annotated[
        str | None,
        typer.Option("--describe", help="Show the speakers and classes of one split.", autocompletion=complete_splits),
    ] = None,
    add: Annotated[
        str | None,
        typer.Option("--add", help="Add a split: one that `serstore init --split` draws, or a column of the corpus."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the split to add.")] = None,
    folds: Annotated[int | None, typer.Option("--folds", help="Number of folds of the split to add.")] = None,
    repeats: Repeats = None,
    default: Annotated[
        str | None,
        typer.Option("--default", help="Use this split where no other is named.", autocompletion=complete_splits),
    ] = None,
    remove: Annotated[
        str | None,
        typer.Option("--remove", help="Remove a split that no run was made by.", autocompletion=complete_splits),
    ] = None,
    store: option.Store = option.HERE,
    json: bool = False,
) -> None:
    """List the splits of a store, describe, add or remove one, or choose the default."""
    from ser_store.corpora.splits.listing import splits as find

    found = find(store, describe, add=add, seed=seed, folds=folds, repeats=repeats, default=default, remove=remove)
    _tell("note", found.notes)
    warn_cautions(found.cautions)
    print_result(found, json=json, blocks=None if describe is None else found.splits[0].describe())
