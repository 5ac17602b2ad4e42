"""The recipe: everything that decides how a backbone is fine-tuned. Needs no torch."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ser_store.errors import SerstoreError

PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
POOLINGS = ("mean", "sum", "max")
SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup")


@dataclass(frozen=True)
class Recipe:
    """How a backbone is fine-tuned. The defaults are the published ones.

    Source: Gavali & Verma, IJDMMM 17(2), 2025, table 2: batches of 4, accumulated twice, 10 epochs, learning rate
    1e-4, evaluation, logging and saving every 100 steps, two checkpoints kept. What the table leaves open is the
    Hugging Face Trainer's default.

    Attributes:
        epochs: passes over the training part.
        max_steps: optimizer steps; overrides ``epochs`` where it is given.
        train_batch_size: utterances for each device and forward pass.
        eval_batch_size: the same in evaluation.
        accumulation: forward passes for each optimizer step.
        learning_rate: peak learning rate of AdamW.
        schedule: how the learning rate goes on: ``linear`` (to zero), ``cosine``, ``constant`` …
        warmup_steps: steps over which the learning rate rises to its peak.
        weight_decay: AdamW's weight decay.
        max_grad_norm: gradients are clipped to this norm.
        eval_steps: optimizer steps between evaluations, each of which caches a member.
        logging_steps: optimizer steps between entries of the training loss.
        save_steps: optimizer steps between checkpoints.
        save_total_limit: checkpoints kept on disk.
        pooling: how frames become one vector: ``mean``, ``sum`` or ``max``.
        precision: ``fp32``, ``tf32``, ``fp16`` or ``bf16``.
        gradient_checkpointing: trade time for memory.
        seed: of initialisation, order and dropout.
    """

    epochs: float = 10.0
    max_steps: int | None = None
    train_batch_size: int = 4
    eval_batch_size: int = 4
    accumulation: int = 2
    learning_rate: float = 1e-4
    schedule: str = "linear"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    eval_steps: int = 100
    logging_steps: int = 100
    save_steps: int = 100
    save_total_limit: int = 2
    pooling: str = "mean"
    precision: str = "fp32"
    gradient_checkpointing: bool = False
    seed: int = 42

    def __post_init__(self) -> None:
        for name in (
            "train_batch_size",
            "eval_batch_size",
            "accumulation",
            "eval_steps",
            "logging_steps",
            "save_steps",
        ):
            if getattr(self, name) < 1:
                raise SerstoreError(f"{name} is {getattr(self, name)}: expected a whole number of at least 1")
        if self.max_steps is not None and self.max_steps < 1:
            raise SerstoreError(f"max_steps is {self.max_steps}: expected at least 1")
        for name in ("epochs", "learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise SerstoreError(f"{name} is {getattr(self, name)}: expected a number above 0")
        for name, allowed in (("pooling", POOLINGS), ("precision", PRECISIONS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in allowed:
                raise SerstoreError(f"{name} is {getattr(self, name)!r}: expected one of {', '.join(allowed)}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def changed(self, **options: Any) -> "Recipe":
        """The same recipe with the options that are not None."""
        known = {entry.name for entry in fields(self)}
        return replace(self, **{name: value for name, value in options.items() if name in known and value is not None})
