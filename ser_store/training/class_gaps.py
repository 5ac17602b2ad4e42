"""Classes that a split leaves a training, or its evaluation, little or nothing of."""

import numpy as np

from ser_store.corpora.splits.train_eval_rows import Rows, TrainEvalRows
from ser_store_h5.corpus import Corpus

# With fewer, a class is some recordings and not a way to speak. Where no class has as many, the corpus is a trial.
HANDFUL = 5


def list_class_gaps(corpus: Corpus, train_eval: TrainEvalRows) -> tuple[str, ...]:
    """One line each for classes without a training utterance, with a few, and without one in the monitored part."""
    learned, monitored = (count_classes(corpus, rows) for rows in (train_eval.train, train_eval.monitored))
    absent = [name for name, count in learned.items() if count == 0]
    few = [f"{name} {count}" for name, count in learned.items() if 0 < count < HANDFUL <= max(learned.values())]
    unseen = [name for name, count in monitored.items() if count == 0]
    lines = (
        (absent, f"no training utterance is {' or '.join(absent)}: the model cannot learn to answer so"),
        (few, f"classes of fewer than {HANDFUL} training utterances, from which little is learned: {', '.join(few)}"),
        (unseen, f"no utterance of {train_eval.on} is {' or '.join(unseen)}: its figures say nothing of that"),
    )
    return tuple(line for names, line in lines if names)


def count_classes(corpus: Corpus, rows: Rows) -> dict[str, int]:
    """How many of the utterances ``rows`` are of each class, in the classes' order."""
    counts = np.bincount(corpus.labels[rows], minlength=len(corpus.classes))
    return dict(zip(corpus.classes, counts.tolist(), strict=True))
