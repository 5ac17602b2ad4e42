"""A small store that comes with the package, to try everything on."""

from importlib import resources
from pathlib import Path

from ser_store_h5.store import Store

SAMPLES = Path(str(resources.files("ser_store.reproduction"))) / "samples"


def open_example() -> Store:
    """Open the store that comes with the package: six models on 288 utterances of RAVDESS, read only.

    It holds the predicted classes that reproduce the published reports of Gavali & Verma (2025) cell for cell. They are
    a reconstruction, not the authors' predictions; ``samples/README.md`` beside it says how they were found.

    >>> import ser_store as ss
    >>> store = ss.open_example()
    >>> store.runs()
    ['hubert-base', 'hubert-xlarge', 'unispeech-large', 'unispeech-ml', 'w2v2-large', 'xlsr53']
    >>> len(store.corpus), store.corpus.classes[:3]
    (288, ('angry', 'calm', 'disgust'))
    """
    return Store(SAMPLES / "six_models.h5")
