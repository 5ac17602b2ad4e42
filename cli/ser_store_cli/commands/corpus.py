"""init and audit."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ser_store_cli.options import (
    DEFAULT_STORE,
    AudioOption,
    DebugOption,
    JsonOption,
    SplitOption,
    StoreOption,
    stated,
    warn,
    warn_cautions,
)
from ser_store_cli.output import Percent, print_json, print_table

# Lines of one kind; the rest are counted.
_TOLD = 5


def register(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(audit)


@stated
def init(
    corpus: Annotated[
        str, typer.Option("--corpus", help="ravdess, or a table of recordings: FILE.csv or FILE.parquet.")
    ],
    audio: AudioOption = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="How to split: paper, paper-valid, speaker, speaker-folds, twin, kfold, or a column of the table.",
            show_default="the store's default split, else the manifest's own, else paper",
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
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out recordings that cannot be read, instead of stopping.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Count a recording as bad if its length differs from what its header says.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Create a store for a corpus, or add a split to the store that is there."""
    from ser_store.common.progress import bar
    from ser_store.corpora.create import init as make_store

    made = make_store(
        store,
        corpus=corpus,
        audio=audio,
        split=split,
        seed=seed,
        folds=folds,
        skip_bad=skip_bad,
        strict=strict,
        progress=bar,
    )
    described = made.store.corpus
    _tell("left out", made.skipped)
    _tell("note", made.notes)
    if made.ignored:
        warn(f"{made.ignored} songs and videos were ignored: the corpus is the spoken audio")
    warn_cautions(made.cautions)
    parts = {part: len(described.rows(part, split=made.split)) for part in described.part_names(made.split)}
    if json:
        print_json(
            {
                "store": str(store),
                "created": made.created,
                "corpus": described.name,
                "n": len(described),
                "classes": list(described.classes),
                "split": made.split,
                "parts": parts,
                "skipped": list(made.skipped),
                "cautions": list(made.cautions),
                "ignored": made.ignored,
                "notes": list(made.notes),
            }
        )
        return
    speakers = f", {len(described.known_speakers)} speakers" if described.known_speakers else ""
    typer.echo(f"{described.name}: {len(described)} utterances{speakers}, {len(described.classes)} classes")
    typer.echo(f"split {made.split}: " + ", ".join(f"{n} {part}" for part, n in parts.items()))
    default = "" if made.created else f"; its default split is {described.default_split} now"
    typer.echo(f"{'made' if made.created else 'updated'} {store}{default}")


def _tell(what: str, lines: Sequence[str]) -> None:
    for line in lines[:_TOLD]:
        warn(f"{what}: {line}")
    if len(lines) > _TOLD:
        warn(f"{what}: {len(lines):,} in all, of which these are the first; --json lists all")


@stated
def audit(
    split: SplitOption = None,
    audio: AudioOption = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Check a split for leaks: speakers, twins and duplicate audio on both sides; class balance and bad files."""
    from ser_store.common.progress import bar
    from ser_store.evaluation.audit import audit as compute

    report = compute(store, split=split, audio=audio, progress=bar)
    document = report.to_json()
    warn_cautions(report.cautions)
    if json:
        print_json(document)
    else:
        _print_audit(document)


def _print_audit(document: dict[str, Any]) -> None:
    parts = document["n"]
    typer.echo(f"split {document['split']}: " + ", ".join(f"{n} {part}" for part, n in parts.items()))
    classes = {label: None for counts in document["classes"].values() for label in counts}
    print_table(
        ["label", *parts], [[label, *(document["classes"][part].get(label, 0) for part in parts)] for label in classes]
    )
    rows: list[tuple[str, object]] = [
        ("speakers on more than one side", document["shared_speakers"]),
        ("twin groups on more than one side", document["twins_across"]),
        ("test utterances whose twin is in train", document["test_with_twin_in_train"]),
    ]
    if document.get("test_with_twin_in_train_share") is not None:
        rows.append(("  of all test utterances", Percent(document["test_with_twin_in_train_share"])))
    copies = document["duplicate_audio"]
    rows.append(("groups of recordings with the same samples", None if copies is None else len(copies)))
    rows.append(("  of which on more than one side", document["duplicate_audio_across"]))
    near = document["near_duplicates"]
    rows.append(("groups that are the same recording in another guise", "not looked at" if near is None else len(near)))
    if near is not None:
        rows.append(("  of which on more than one side", document["near_duplicates_across"]))
    bad = document["bad_files"]
    rows.append(("bad files", "not looked at" if bad is None else len(bad)))
    typer.echo("")
    for text, value in rows:
        typer.echo(f"{text:<52} {'unknown' if value is None else value}")
    for one in document["unusual_durations"][:_TOLD]:
        typer.echo(f"  length out of line: {one['utterance']}, {one['seconds']:,.1f} s")
    for line in bad or []:
        typer.echo(f"  {line}")
    for group in near or []:
        typer.echo(f"  the same recording: {', '.join(group)}")
    if document["leakage"]:
        typer.echo("\nwhat the leaks are worth: accuracy on test utterances that training gave away, and on the others")
        _print_leakage(document["leakage"])


def _print_leakage(damages: list[dict[str, Any]]) -> None:
    rows = []
    for damage in damages:
        leaked, clean = damage["leaked"], damage["clean"]
        low, high = damage["ci95"]
        rows.append(
            [
                damage["member"],
                f"same {damage['kind']} in train",
                leaked["n"],
                Percent(leaked["accuracy"]),
                clean["n"],
                Percent(clean["accuracy"]),
                f"{damage['difference'] * 100:+.1f} [{low * 100:+.1f}, {high * 100:+.1f}]",
                damage["verdict"],
            ]
        )
    print_table(["member", "leak", "n", "leaked", "n", "clean", "points [95% interval]", "on leaked"], rows)
