"""``models``: the backbones that are known by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ser_store.backbones.catalogue import list_backbones
from ser_store.backbones.description import Backbone
from ser_store.common.display import Block, Result, Table, format_bytes


@dataclass(frozen=True, repr=False)
class Models(Result):
    """The catalogue of backbones.

    Attributes:
        models: the published six, the acoustic feature sets, the tiny presets.
    """

    models: tuple[Backbone, ...]

    def records(self) -> list[dict[str, Any]]:
        return [one.to_json() for one in self.models]

    def describe(self) -> Iterator[Block]:
        rows = [
            [
                one.key,
                one.architecture,
                f"{one.parameters / 1e6:,.1f} M" if one.parameters else "–",
                format_bytes(one.bytes_fp32) if one.bytes_fp32 else "–",
                one.pretraining,
                one.hub_id or "–",
            ]
            for one in self.models
        ]
        yield Table(["key", "architecture", "parameters", "float32", "pretraining data", "hub id"], rows)

    def to_json(self) -> dict[str, Any]:
        return {"models": self.records()}


def models() -> Models:
    """List the backbones that are known by name, with sizes and pretraining data.

    >>> import ser_store as ss
    >>> ss.models().to_frame().filter(key="xlsr53")["parameters"].item()
    316496520
    """
    return Models(list_backbones())
