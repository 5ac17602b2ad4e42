"""The overview of the commands by what one wants to do, and the examples that end each command's help."""

from collections.abc import Mapping
from typing import Final

import typer

PANELS: Final[Mapping[str, tuple[str, ...]]] = {
    "Bring in a corpus": ("init", "corpora", "audit", "splits", "import"),
    "Train and cache": ("finetune", "extract", "models", "head", "sweep", "calibrate"),
    "Keep and share the store": (
        *("export-onnx", "verify", "export", "pack", "unpack", "merge", "rm", "gc", "push-store", "join"),
    ),
    "Ask the store": ("ls", "info", "evaluate", "compare", "steps", "vote", "cross", "plot", "report"),
    "Listen to any recording": ("predict",),
    "See it at work": ("paper", "reproduce", "demo"),
}

# What each does, and the words after `serstore`. The tests run all of them, in this order, in one folder.
EXAMPLES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "init": (
        ("RAVDESS, with the split of the paper", "init --corpus ravdess --audio ravdess"),
        (
            "A second split, in which no speaker is on both sides",
            "init --corpus ravdess --audio ravdess --split speaker",
        ),
        (
            "Any corpus, from a table with the columns file, label and, if known, speaker",
            "init --corpus corpus.csv --audio recordings --store mine.store",
        ),
        (
            "Ids, labels and speakers alone, for predictions of recordings that are not yours to pass on",
            "init --corpus corpus.csv --no-audio --store ids.store",
        ),
    ),
    "corpora": (
        ("All that are known by name", "corpora"),
        ("What is read of one, and what it is to be cited by", "corpora iemocap"),
        ("A page to begin your own with", "corpora emodb --page"),
    ),
    "splits": (
        ("All splits of the store, and which one is meant by default", "splits"),
        ("Folds of whole speakers, and who is in which", "splits --add speaker-folds --describe speaker-folds"),
    ),
    "audit": (
        ("What training and test share in the default split", "audit"),
        ("The same for another split, with the recordings read again", "audit --split speaker --audio ravdess"),
    ),
    "import": (
        (
            "A new store from a table: utterance, true label, one column per run@step",
            "import predictions.csv --label emotion --store predictions.store",
        ),
        (
            "Probabilities of a model that was trained on the training part",
            "import probabilities.csv --kind probabilities --trained-on train",
        ),
        ("Representations of another program, by utterance id, for heads", "import features.npz --kind pooled"),
    ),
    "models": (("What can be fine-tuned by name, with sizes", "models"),),
    "finetune": (
        ("How long it takes and how much memory, before it starts", "finetune --model xlsr53 --dry-run"),
        ("With the published recipe", "finetune --model xlsr53"),
        (
            "With a lower rate and an evaluation every 50 steps",
            "finetune --model hubert-base --lr 5e-5 --eval-steps 50",
        ),
        ("Go on after an interruption", "finetune --resume --run xlsr53"),
    ),
    "extract": (
        ("Acoustic features of all recordings, without any training", "extract --model mfcc"),
        ("Representations and logits of all recordings, by a fine-tuned run", "extract --run xlsr53"),
        ("Every layer of a frozen backbone, from one pass", "extract --model whisper-base --layers all"),
    ),
    "head": (
        ("Logistic regression on MFCC features", "head --kind logreg --from mfcc"),
        ("An SVM, every utterance scored by a model that has not heard its speaker", "head --kind svm --cv speaker"),
        ("A head for each layer, to see which says most", "head --from whisper-base-frozen --layer all"),
        (
            "Kind, layer and settings chosen on other speakers",
            "head --from whisper-base-frozen --kind lda,logreg --layer all --cv speaker --tune",
        ),
        (
            "All layers together, weighed on other speakers",
            "head --from whisper-base-frozen --kind lda --layer all --cv speaker --combine pool",
        ),
    ),
    "sweep": (
        ("Every kind of head on every source, and which is best", "sweep"),
        (
            "Two kinds on all layers, as they are and by speaker; the best becomes a member",
            "sweep --kind lda,logreg --from whisper-base-frozen --layer all --normalise train,speaker --keep 1",
        ),
        ("A learning curve", "sweep --kind lda --from mfcc --train-share 0.1,0.5,1"),
        ("Few-shot, on other speakers", "sweep --kind centroid,logreg --from mfcc --cv speaker --per-class 1,5"),
    ),
    "calibrate": (
        ("Probabilities of an SVM, by a temperature that is fitted on other speakers", "calibrate mfcc-svm --on all"),
    ),
    "ls": (("All members, with what each holds", "ls"), ("The same for a program", "ls --json")),
    "info": (("Corpus, splits, runs and sizes", "info"),),
    "evaluate": (
        ("All members on the test part", "evaluate"),
        ("One in full: its figures by class and speaker, its confusions", "evaluate xlsr53 --by speaker"),
        ("All steps of one run", "evaluate xlsr53 --steps all"),
        ("An ensemble, like a member", "evaluate xlsr53+hubert-base+mfcc-logreg"),
        ("All members as a table of a paper", "evaluate --format latex"),
        (
            "A model on another corpus, on the classes that both have",
            "evaluate xlsr53 --in mine.store --labels map.toml",
        ),
    ),
    "compare": (
        ("Every two members", "compare"),
        ("All others against the most accurate", "compare --against best"),
        ("An ensemble against one of its members", "compare xlsr53+hubert-base+mfcc-logreg xlsr53"),
    ),
    "steps": (
        ("All steps of all runs", "steps"),
        ("Record the step with the lowest evaluation loss", "steps --run xlsr53 --select min-loss"),
    ),
    "vote": (
        ("The best three of all runs", "vote --k 3 --all-combos"),
        (
            "The best three of all steps, no run twice",
            "vote --k 3 --all-combos --steps all --one-step-per-run",
        ),
        ("The best two, kept as a member of its own", "vote --k 2 --all-combos --save best2"),
        ("One ensemble, by its mean probabilities", "vote xlsr53 hubert-base mfcc-logreg --rule soft"),
        (
            "Heads over all speakers, each with a weight that is fitted on other speakers",
            "vote mfcc-svm xlsr53-svm --rule pool --on all",
        ),
    ),
    "cross": (
        ("The same features in the other store", "extract --model mfcc --store mine.store"),
        (
            "Heads of two corpora on each other, on the classes that a label map says are the same",
            "cross ser.store mine.store --from mfcc --kind lda --labels map.toml",
        ),
    ),
    "predict": (
        ("A head that is kept, for what follows", "head --kind lda --from mfcc --run voice --keep"),
        ("What it says of one recording", "predict voice ravdess/Actor_01/03-01-05-01-01-01-01.wav"),
        ("A folder, as a table for other programs", "predict voice ravdess/Actor_03 -o said.csv"),
        ("A long recording, every second anew", "predict voice ravdess/Actor_01 --window 4 --hop 1"),
    ),
    "plot": (
        ("The confusion matrices of all runs, as wide as a page", "plot confusion -o confusion.pdf"),
        ("Losses and accuracy by step", "plot curves xlsr53 -o curves.svg"),
        ("All ensembles of two, and what is left of the best", "plot ensembles --k 2 -o ensembles.pdf"),
        ("By speaker, for one column of a paper", "plot accuracy --by speaker --width column -o speakers.pdf"),
    ),
    "report": (
        ("One page of all members, to look at and to send", "report -o report.html"),
        ("Of ensembles of two, with a heading of your own", "report --k 2 --title 'All runs' -o two.html"),
        ("With the recordings of hard utterances, to listen to", "report --audio embed -o heard.html"),
    ),
    "verify": (("Compare all files with their checksums", "verify"),),
    "export": (
        ("Predicted classes of all runs, a column each", "export members.csv"),
        ("Logits of all utterances, for other programs", "export logits.parquet --what logits"),
        ("A row for each utterance, of an ensemble too", "export rows.csv xlsr53+hubert-base --what utterances"),
    ),
    "export-onnx": (("A fine-tuned run for any program, waveforms to logits", "export-onnx xlsr53 -o xlsr53.onnx"),),
    "pack": (
        ("The whole store in one file", "pack store.h5"),
        ("Without representations: small enough to send", "pack small.h5 --without-pooled"),
    ),
    "unpack": (("A store to work in, of a packed file", "unpack store.h5 --store copy.store"),),
    "push-store": (
        ("To the hub, where only you see it", "push-store me/ravdess-members --licence cc-by-nc-sa-4.0"),
        ("Read by others, or elsewhere", "evaluate --store hub:me/ravdess-members"),
    ),
    "merge": (("The runs of a colleague, on the same corpus", "merge copy.store"),),
    "join": (
        (
            "Two corpora as one, with their common features",
            "join ser.store mine.store --labels map.toml --store both.store",
        ),
    ),
    "rm": (("One member", "rm hubert-base@1"), ("A run with all it has", "rm hubert-base")),
    "gc": (("Only list what would be removed", "gc --dry-run"),),
    "paper": (("The tables of the paper, from the six runs", "paper --store paper.store"),),
    "reproduce": (("The whole paper, in bf16", "reproduce --audio ravdess --precision bf16 --store six.store"),),
    "demo": (("On synthetic speech", "demo --store demo.store"),),
}


def describe_commands(app: typer.Typer) -> None:
    """Give every command of ``app`` its place and panel in the overview, and the examples at the end of its help."""
    panels = {name: panel for panel, names in PANELS.items() for name in names}
    app.registered_commands.sort(key=lambda command: [*panels].index(str(command.name)))
    for command in app.registered_commands:
        command.rich_help_panel = panels[str(command.name)]
        command.epilog = format_examples(str(command.name))


def format_examples(name: str) -> str:
    """The examples of a command as typer takes them: a paragraph for each line."""
    lines = [line for text, words in EXAMPLES[name] for line in (f"{text}:", f"  $ serstore {words}")]
    return "\n\n".join(["Examples", *lines])
