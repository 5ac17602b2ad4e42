"""Small stores that come with the package, to try everything on."""

from importlib import resources
from pathlib import Path
from typing import Literal

from ser_store.common.checks import check_choice
from ser_store_h5.store import Store

SAMPLES = Path(str(resources.files("ser_store.reproduction"))) / "samples"

Example = Literal["paper", "whisper-base"]
_FILES = {"paper": "six_models.h5", "whisper-base": "whisper_base.h5"}


def open_example(name: Example = "paper") -> Store:
    """Open a store that comes with the package, read only.

    Args:
        name: ``paper``: six models on 288 utterances of RAVDESS. It holds the predicted classes that reproduce the
            published reports of Gavali & Verma (2025) cell for cell. They are a reconstruction, not the authors'
            predictions; ``samples/README.md`` beside it says how they were found.
            ``whisper-base``: what real models said of all 1,440 utterances: Whisper base, fine-tuned and frozen, on
            speakers that it has not met and on the paper's split; ``benchmarks/finetuned.py`` made it.

    Raises:
        UnknownNameError: for any other name.

    >>> import ser_store as ss
    >>> store = ss.open_example()
    >>> store.runs()
    ['hubert-base', 'hubert-xlarge', 'unispeech-large', 'unispeech-ml', 'w2v2-large', 'xlsr53']
    >>> len(store.corpus), store.corpus.classes[:3]
    (288, ('angry', 'calm', 'disgust'))
    """
    return Store(find_example(name))


def find_example(name: str) -> Path:
    """Return the packed file of :func:`open_example`."""
    check_choice("`name`", name, tuple(_FILES))
    return SAMPLES / _FILES[name]
