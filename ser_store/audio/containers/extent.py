"""How much audio a file states and holds."""

from pathlib import Path
from typing import NamedTuple

from ser_store.errors import AudioError

# Writers that count their own header as audio: 44 bytes, 80 with an extensible format and a fact chunk.
_HEADER_COUNTED = 80
UNSTATED = "does not state its length: read to its end; whether it is whole is not known"


class Extent(NamedTuple):
    """How much audio a file states and holds.

    Attributes:
        stated: by its headers; None where they state no length.
        present: in the file.
        unit: of the two, in words.
        behind: bytes behind the stated audio that are neither audio nor anything else known.
        repair: a place in the file and the bytes to read there, so that a decoder hears all that is present.
        least_samples: fewer, decoded, are not all of it.
        slack: how much may be missing without the file being cut off.
    """

    stated: int | None
    present: int
    unit: str = "bytes of audio"
    behind: int = 0
    repair: tuple[int, bytes] | None = None
    least_samples: int = 0
    slack: int = _HEADER_COUNTED

    def describe(self) -> str | None:
        """Return what the header says that is not so, and what was read; None where all is as it says."""
        if self.stated is None:
            return UNSTATED
        if self.stated != self.present:
            return f"states {self.stated:,} {self.unit} and holds {self.present:,}: read to its end"
        if self.behind:
            return f"holds {self.behind:,} bytes behind the {self.stated:,} {self.unit} that it states: not read"
        return None


def truncated(path: Path, *, present: int, stated: int, unit: str) -> AudioError:
    return AudioError(
        f"{path} is truncated ({present:,} of {stated:,} {unit}): expected a complete recording; copy it again or "
        f"leave it out"
    )
