"""What shall be written of a store, as a value that every kind of file is made from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_store_h5.store import Store


@dataclass(frozen=True)
class Selected:
    """What shall be written of a store: ``rows`` are ascending indices ``(n,)`` int32 of the part ``on``.

    ``cautions`` say why figures of it may mislead.
    """

    store: Store
    names: tuple[str, ...]
    rows: NDArray[np.int32]
    what: str
    on: str
    split: str | None
    cautions: tuple[str, ...] = ()

    @property
    def ids(self) -> NDArray[np.str_]:
        return self.store.corpus.ids[self.rows]

    @property
    def labels(self) -> NDArray[np.int16]:
        return self.store.corpus.labels[self.rows]
