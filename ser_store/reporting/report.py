"""``report``: all that people look at first, of a store, in one page of HTML."""

import hashlib
import os
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ser_store.common.checks import check_choice
from ser_store.common.display import Block, Percent, Points, Result, format_bytes, format_count, format_interval
from ser_store.errors import StoreError
from ser_store.evaluation.choice.member_choice import Steps
from ser_store.reporting.gathering import gather
from ser_store.reporting.question import Asked, settle
from ser_store.reporting.utterances import Audio
from ser_store_h5 import __version__
from ser_store_h5.disk.atomic import write_text_atomically
from ser_store_h5.names import Ensemble, list_names
from ser_store_h5.progress import ProgressLike, to_progress
from ser_store_h5.store import StoreLike, open_store

PAGE = Path(__file__).parent / "page"
# In this order they are one script: what comes later calls what came before.
SCRIPTS = ("shares.js", "vote.js", "metrics.js", "charts.js", "tables.js", "pick.js")
# What scripts read; all else is in the page already.
_READ = ("question", "choice", "members", "curves", "disagreement", "votes")


def render(content: dict[str, Any]) -> str:
    """Return the page, whatever names are in it: all of them stay text."""
    environment = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": _percent, "points": _points, "interval": _interval, "marked": _mark}
    environment.filters["size"] = format_bytes
    script = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return environment.get_template("page.html.jinja").render(
        content,
        version=__version__,
        style=Markup((PAGE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # The one script that a browser runs in this page; what else may look like one stays text.
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        read={
            **{name: content[name] for name in _READ},
            "n_by_right": content["hard"]["n_by_right"],
            "store": content["provenance"]["store"],
        },
    )


def _percent(share: float) -> str:
    return str(Percent(share))


def _points(share: float) -> str:
    return str(Points(share))


def _interval(bounds: list[float]) -> str:
    return f"{bounds[0] * 100:.1f} – {bounds[1] * 100:.1f}"


def _mark(text: str) -> Markup:
    """Text with what stands in backticks set as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


@dataclass(frozen=True, repr=False)
class Report(Result):
    """A page that was written.

    Attributes:
        file: where.
        bytes: its size.
        title: its heading.
        content: all that it shows, as JSON: ``question``, ``members``, ``choice``, ``curves``, ``disagreement``,
            ``hard``, ``slices``, ``provenance`` and ``votes``.
        cautions: why its figures may mislead; the page says so too.
    """

    file: Path
    bytes: int
    title: str
    content: dict[str, Any]
    cautions: tuple[str, ...] = ()

    def describe(self) -> Iterator[Block]:
        """Yield what ``serstore report`` prints."""
        question, choice, hard = (self.content[name] for name in ("question", "choice", "hard"))
        yield f"wrote {self.file} ({format_bytes(self.bytes)}): {self.title}"
        members = format_count(len(self.content["members"]), "member")
        utterances = format_count(question["n"], "utterance")
        yield f"  {members} on {question['on']}, {utterances}, {hard['n_hard']} of them hard"
        if choice is None:
            return
        corrected = choice["corrected"]
        yield f"  best: {Ensemble(choice['members'])}, apparent {Percent(choice['apparent'])}"
        if corrected is None:
            yield f"  {choice['note']}"
        else:
            bounds = "" if corrected["bounds"] is None else f" {format_interval(corrected['bounds'])}"
            yield f"  corrected {Percent(corrected['accuracy'])}{bounds}"
        if hard["audio_bytes"]:
            yield f"  recordings in the page: {format_bytes(hard['audio_bytes'])}"

    def records(self) -> list[dict[str, Any]]:
        """Return a row for each member: its figures, and the 95% interval of its accuracy."""
        return [
            {
                "member": one["name"],
                **{name: one[name] for name in ("n", "correct", "accuracy", "balanced_accuracy", "macro_f1")},
                "low": one["bounds"][0],
                "high": one["bounds"][1],
            }
            for one in self.content["members"]
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document of ``serstore report --json``: what is shown, without what the page votes from."""
        shown = {name: value for name, value in self.content.items() if name != "votes"}
        hard = {**shown["hard"], "listed": [{**one, "audio": None} for one in shown["hard"]["listed"]]}
        stated = {"file": str(self.file), "bytes": self.bytes, "title": self.title, "cautions": list(self.cautions)}
        return {**stated, **shown, "hard": hard}


def report(
    store: StoreLike,
    file: str | os.PathLike[str],
    members: str | Sequence[str] = (),
    *,
    on: str | None = None,
    split: str | None = None,
    steps: Steps = "selected",
    exclude: str | Sequence[str] = (),
    k: int | None = None,
    audio: Audio | None = None,
    title: str | None = None,
    progress: ProgressLike = False,
) -> Report:
    """Write one page of HTML that shows a store: it needs no network, and reads on a phone, on paper and in the dark.

    It says what was asked and what leaks, the best figure as it appears and corrected, all members, curves by step, the
    distribution of all ensembles, who errs alike, hard utterances, speakers, and where all this comes from. Its reader
    can pick members, and the page lets them vote by every rule that fits no weights.

    Args:
        store: a store, or its path.
        file: the page; what is there is replaced.
        members: members or runs; a string is one name. Default: the selected step of every run.
        on: part of the split, or ``all``. Default: ``test`` where the split has it, else all.
        split: the split that ``on`` is a part of. Default: the store's default split.
        steps: ``selected``, or ``all`` steps of runs that are named alone or not at all.
        exclude: members, runs or patterns such as ``hubert-*`` that are left out.
        k: members of the ensembles that are searched. Default: 3; of three members or fewer the best one is chosen.
        audio: recordings of the hard utterances that are listed: ``embed`` them in the page, or ``link`` to where they
            are, as seen from the page. Default: neither.
        title: the heading. Default: the name of the corpus.
        progress: show a bar over the search; or a function that does.

    Returns:
        What was written, and all that it shows.

    Raises:
        StoreError: if an ensemble is named, a member does not cover the utterances, there are no recordings, or the
            disk refuses.
        UnknownNameError: if there is no such member, part or split.

    >>> import ser_store as ss
    >>> written = ss.report(ss.open_example(), "report.html", k=5)
    >>> written.content["choice"]["correct"], written.bytes < 300_000
    (279, True)
    """
    if audio is not None:
        check_choice("`audio`", audio, get_args(Audio))
    path, opened = Path(file), open_store(store)
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise StoreError(f"{path}: expected the name of a file, such as report.html, in a folder that is there")
    asked, found = settle(
        Asked(
            store=opened,
            on=on,
            split=split,
            k=k,
            members=list_names(members),
            steps=steps,
            exclude=list_names(exclude),
            progress=to_progress(progress),
        )
    )
    content = gather(asked, found, title=title, audio=audio, beside=path.absolute().parent)
    page = render(content)
    write_text_atomically(path, page, replace=True)
    cautions = tuple(content["question"]["cautions"])
    return Report(file=path, bytes=len(page.encode()), title=content["title"], content=content, cautions=cautions)
