"""An audit as tables: counts by class, what both sides share, what leaks are worth."""

from collections.abc import Iterator
from typing import Any

from ser_store.common.display import Block, Percent, Table

# Recordings of unusual length that are listed.
_TOLD = 5


def tabulate_audit(document: dict[str, Any]) -> Iterator[Block]:
    """Yield counts by class and part, what the parts share, and what that is worth; of an audit's JSON document."""
    parts = document["n"]
    yield f"split {document['split']}: " + ", ".join(f"{n} {part}" for part, n in parts.items())
    classes = {label: None for counts in document["classes"].values() for label in counts}
    yield Table(
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
    yield ""
    for text, value in rows:
        yield f"{text:<52} {'unknown' if value is None else value}"
    for one in document["unusual_durations"][:_TOLD]:
        yield f"  length out of line: {one['utterance']}, {one['seconds']:,.1f} s"
    for line in bad or []:
        yield f"  {line}"
    for group in near or []:
        yield f"  one recording in several guises: {', '.join(group)}"
    if document["leakage"]:
        yield "\nwhat the leaks are worth: accuracy on test utterances that training gave away, and on the others"
        yield from _tabulate_leakage(document["leakage"])


def _tabulate_leakage(effects: list[dict[str, Any]]) -> Iterator[Block]:
    rows = []
    for effect in effects:
        leaked, clean = effect["leaked"], effect["clean"]
        low, high = effect["ci95"]
        rows.append(
            [
                effect["member"],
                f"same {effect['kind']} in train",
                leaked["n"],
                Percent(leaked["accuracy"]),
                clean["n"],
                Percent(clean["accuracy"]),
                f"{effect['difference'] * 100:+.1f} [{low * 100:+.1f}, {high * 100:+.1f}]",
                effect["verdict"],
            ]
        )
    yield Table(["member", "leak", "n", "leaked", "n", "clean", "points [95% interval]", "on leaked"], rows)
