"""A page as one text: the template, its style and its scripts, and what they show."""

import hashlib
from base64 import b64encode
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ser_store.common.display import Percent, Points, format_bytes
from ser_store_h5 import __version__

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
