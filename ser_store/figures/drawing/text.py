"""How wide text is, and how it breaks into lines."""

import re
from collections.abc import Iterator, Sequence

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

# Comes with matplotlib, so that a figure is the same everywhere.
FONT = "DejaVu Sans"
_TICKS = 7.0
# A break may stand behind a space or the plus sign of an ensemble; of what is too long for a line, behind a hyphen.
_PIECES = re.compile(r"[^ +]*[+]|[^ +]+ *| +")
_SYLLABLES = re.compile(r"[^-]*-|[^-]+")


def measure_text(text: str, size: float = _TICKS) -> float:
    """Return the inches that a line takes in ``size`` points."""
    font = FontProperties(family=FONT, size=size)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72


def wrap_text(text: str, inches: float, size: float = _TICKS) -> list[str]:
    """Return the lines of a text of ``size`` points.

    >>> wrap_text("hubert-xlarge@600+xlsr53@1100 on test", 1.2, 8)
    ['hubert-xlarge@600+', 'xlsr53@1100 on test']
    """
    lines = [""]
    for piece in _iter_pieces(text, inches, size):
        if lines[-1] and measure_text((lines[-1] + piece).rstrip(), size) > inches:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines if line.strip()]


def _iter_pieces(text: str, inches: float, size: float) -> Iterator[str]:
    """Yield what is not broken; a syllable that is longer than a line is, anywhere."""
    for piece in _PIECES.findall(text):
        if measure_text(piece.rstrip(), size) <= inches:
            yield piece
            continue
        for syllable in _SYLLABLES.findall(piece):
            n = max(1, int(len(syllable) * inches / max(measure_text(syllable, size), inches)))
            yield from (syllable[start : start + n] for start in range(0, len(syllable), n))


def wrap_names(names: Sequence[str], inches: float) -> list[str]:
    """Return the names of ticks, each in as many lines as it takes."""
    return ["\n".join(wrap_text(name, inches)) for name in names]


def count_lines(names: Sequence[str]) -> int:
    """Return the lines of the longest of several wrapped names."""
    return max((name.count("\n") + 1 for name in names), default=0)


def measure_names(names: Sequence[str]) -> float:
    """Return the inches of the widest line of several wrapped names."""
    return max((measure_text(line) for name in names for line in name.split("\n")), default=0.0)
