"""The model card of a fine-tuned model: what it was made of, how well it does, how to load it."""

from collections.abc import Iterable, Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ser_store.evaluation import Evaluations, MemberEvaluation, evaluate
from ser_store.recipes.validation import replace_old_names
from ser_store_h5.names import format_member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

TASK = "audio-classification"


def write_card(store: Store, record: RunRecord, step: int, *, repository: str) -> str:
    """Return the card of the model ``record.run`` at ``step`` as Markdown, with the hub's metadata ahead.

    Figures are of the part ``test`` where the run's split has it, else of all utterances it was evaluated on. The
    licence is left to whoever publishes the model: it depends on the weights and the corpus it was made from.
    """
    found = _evaluate(store, record, step)
    origin: Mapping[str, Any] = record.details.get("origin", {})
    sections = [
        f"# {repository.rpartition('/')[2]}",
        f"{record.backbone}, fine-tuned for speech emotion recognition on the corpus {store.corpus.name}; "
        f"run `{record.run}`, step {step}.",
        "## Results",
        *_describe_results(store, record, step, found),
        "## Model",
        _list_facts(_describe_model(store, record.details)),
        "## Data",
        _list_facts(_describe_data(store, record)),
        "## Recipe",
        write_table(("option", "value"), replace_old_names(record.details.get("recipe", {})).items()),
        _list_facts(record.details.get("versions", {})),
        "## How to load it",
        _describe_loading(repository),
        "## Licence",
        "Not stated here. It has to agree with the licences of the pretrained weights and of the corpus.",
    ]
    return f"---\n{_write_metadata(store, repository, origin, found)}---\n\n" + "\n\n".join(sections) + "\n"


def _evaluate(store: Store, record: RunRecord, step: int) -> Evaluations | None:
    """None where the step was not evaluated."""
    if step not in store.steps(record.run):
        return None
    split = record.details.get("split")
    fold, monitored = record.details.get("fold"), record.details.get("on")
    on = None if fold is None and "test" in store.corpus.part_names(split) else monitored
    return evaluate(store, [format_member(record.run, step)], on=on, split=split)


def _write_metadata(store: Store, repository: str, origin: Mapping[str, Any], found: Evaluations | None) -> str:
    """The hub's own fields, see https://huggingface.co/docs/hub/model-cards."""
    results = []
    if found is not None:
        scores = found.members[0].metrics
        for name, value in (("accuracy", scores.accuracy), ("balanced_accuracy", scores.balanced_accuracy)):
            results.append(
                EvalResult(
                    task_type=TASK,
                    dataset_type=store.corpus.name,
                    dataset_name=store.corpus.name,
                    dataset_split=found.on,
                    metric_type=name,
                    metric_value=round(value, 6),
                )
            )
    data = ModelCardData(
        base_model=origin.get("hub_id"),
        library_name="ser-store",
        model_name=repository.rpartition("/")[2],
        pipeline_tag=TASK,
        tags=["speech-emotion-recognition"],
        eval_results=results or None,
    )
    return data.to_yaml() + "\n"


def _describe_results(store: Store, record: RunRecord, step: int, found: Evaluations | None) -> list[str]:
    if found is None:
        return [f"Not evaluated at step {step}."]
    selection = record.selected
    described = [_write_scores(found, found.members[0])]
    if selection is not None and selection.step == step and selection.on == found.on:
        described.append(
            f"Step {step} was chosen on {selection.on} itself ({selection.criterion}), so these figures are too high."
        )
    return described


def _write_scores(found: Evaluations, member: MemberEvaluation) -> str:
    scores, interval = member.metrics, member.interval
    rows: list[tuple[Any, ...]] = [
        ("accuracy (WA)", f"{scores.accuracy:.2%}"),
        (f"{interval.confidence:.0%} interval", f"{interval.low:.2%} to {interval.high:.2%} ({interval.method})"),
        ("balanced accuracy (UA)", f"{scores.balanced_accuracy:.2%}"),
        ("utterances", f"{scores.correct} of {scores.n} right, on {found.on}"),
    ]
    by_class = scores.per_class
    lines = [
        (
            name,
            *("–" if figure is None else f"{figure:.2f}" for figure in by_class.list_scores(place)),
            by_class.support[place] or "absent",
        )
        for place, name in enumerate(member.classes)
    ]
    return "\n\n".join([write_table(("", ""), rows), write_table(("class", "precision", "recall", "f1", "n"), lines)])


def _describe_model(store: Store, details: Mapping[str, Any]) -> dict[str, Any]:
    origin, configuration = details.get("origin", {}), details.get("configuration", {})
    source = origin.get("hub_id")
    if origin.get("init") == "random":
        weights = "random before fine-tuning"
    elif source is None:
        weights = "a local folder"
    else:
        weights = f"{source}, revision {origin.get('revision') or 'not known'}"
    prepared = "as log-mel frames made" if configuration.get("model_type") == "whisper" else "normalised"
    return {
        "pretrained weights": weights,
        "input": f"mono at 16 kHz, each utterance {prepared} by the feature extractor",
        "classes, in the order of the logits": ", ".join(store.corpus.classes),
    }


def _describe_data(store: Store, record: RunRecord) -> dict[str, Any]:
    corpus, split = store.corpus, record.details.get("split")
    parts = {part: len(corpus.rows(part, split=split)) for part in corpus.part_names(split)}
    speakers = len(corpus.known_speakers)
    return {
        "corpus": f"{corpus.name}, {len(corpus)} utterances" + (f" of {speakers} speakers" if speakers else ""),
        "split": f"{split}: " + ", ".join(f"{part} {n}" for part, n in parts.items()),
        **({} if record.details.get("fold") is None else {"fold evaluated": record.details["fold"]}),
    }


def _describe_loading(repository: str) -> str:
    return (
        "With `pip install 'ser-store[train]'`:\n\n"
        "```python\n"
        "from pathlib import Path\n"
        "from huggingface_hub import snapshot_download\n"
        "from ser_store.backbones.loading import load_classifier\n\n"
        f'loaded = load_classifier(Path(snapshot_download("{repository}")))\n'
        "loaded.model, loaded.feature_extractor, loaded.model.config.classes\n"
        "```\n\n"
        f"Its backbone is trained on by `serstore finetune --model {repository}`."
    )


def _list_facts(facts: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def write_table(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
