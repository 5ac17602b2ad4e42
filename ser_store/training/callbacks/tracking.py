"""The curves of a run, beside the store's own, where TensorBoard or Weights & Biases show them."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ser_store.common.log import LOGGER
from ser_store.errors import MissingExtraError, SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store.recipes.recipe_file import format_recipe

PROJECT = "serstore"
# Of the numbers that the Trainer logs, those that a run's curves have, by the names they have here.
_LOGGED = {"learning_rate": "train/learning_rate", "grad_norm": "train/grad_norm", "epoch": "train/epoch"}
_EVALUATED = {
    "eval_loss": "eval/loss",
    "eval_accuracy": "eval/accuracy",
    "eval_balanced_accuracy": "eval/balanced_accuracy",
}


def check_reporter(name: str) -> None:
    """Refuse a reporter that is not there, before anything is trained.

    Raises:
        MissingExtraError: naming the extra.
    """
    if name != "none" and find_spec(name) is None:
        raise MissingExtraError(
            f"{name} is not installed: --report-to {name} needs it; pip install {name}, or 'ser-store[tracking]'"
        )


def find_tracking_folder(store: Path) -> Path:
    """Beside the store, which holds nothing but what its format names: ``ser.store.tracking``."""
    store = store.resolve()
    return store.with_name(f"{store.name}.tracking")


def list_trackers(store: Path, run: str, recipe: Recipe, *, loss: Callable[[], float]) -> list[TrainerCallback]:
    """What writes the curves of ``run`` to where the recipe reports to: nothing, or one callback for the Trainer.

    TensorBoard's files are in ``tensorboard/<run>`` of :func:`find_tracking_folder`, or of the folder that
    TENSORBOARD_LOGGING_DIR names; those of Weights & Biases in its ``wandb``, or where WANDB_DIR says. The main process
    alone writes. Values and steps are those of the run's curves.

    Args:
        store: its folder.
        loss: the training loss since it was last logged.
    """
    if recipe.report_to == "none":
        return []
    kind = TensorBoardWriter if recipe.report_to == "tensorboard" else WandbWriter
    return [TrackingCallback(kind(find_tracking_folder(store), run, recipe), loss=loss)]


class TensorBoardWriter:
    """Event files of TensorBoard."""

    def __init__(self, folder: Path, run: str, recipe: Recipe) -> None:
        stated = os.environ.get("TENSORBOARD_LOGGING_DIR")
        self._folder = (Path(stated).expanduser() if stated else folder / "tensorboard") / run
        self._recipe = recipe
        self._writer: Any = None

    def open(self, step: int) -> str:
        """Begin after ``step``; returns how to look at it."""
        from torch.utils.tensorboard import SummaryWriter

        # What a killed session had written beyond the checkpoint that the run goes on from is no longer shown.
        self._writer = SummaryWriter(log_dir=str(self._folder), purge_step=step + 1 if step else None)
        self._writer.add_text("recipe", f"```toml\n{format_recipe(self._recipe)}```", global_step=step)
        return f"curves go to {self._folder}; look at them with: tensorboard --logdir {self._folder.parent}"

    def write(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, global_step=step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandbWriter:
    """A run of Weights & Biases, online or, with WANDB_MODE=offline, to be sent by ``wandb sync`` later."""

    def __init__(self, folder: Path, run: str, recipe: Recipe) -> None:
        self._folder = folder
        self._name = run
        self._recipe = recipe
        self._run: Any = None

    def open(self, step: int) -> str:
        """Begin after ``step``; returns where it is to be seen."""
        import wandb

        stated = os.environ.get("WANDB_DIR")
        if not stated:
            self._folder.mkdir(parents=True, exist_ok=True)
        with _stated():
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=self._name,
                # A session that goes on from a checkpoint stands beside the one before it.
                group=self._name,
                dir=stated or str(self._folder),
                config=self._recipe.to_json(),
                settings=wandb.Settings(console="off", silent=True),
            )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        place = Path(self._run.dir).parent
        if not self._run.offline:
            return f"curves go to {self._run.url} and {place}"
        return f"curves go to {place}; send them with: wandb sync {place}"

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def close(self) -> None:
        self._run.finish()


class TrackingCallback(TrainerCallback):
    """Hands on what a run's curves get: at each logging and each evaluation step, in the main process."""

    def __init__(self, writer: TensorBoardWriter | WandbWriter, *, loss: Callable[[], float]) -> None:
        self._writer = writer
        self._loss = loss

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            LOGGER.info("%s", self._writer.open(state.global_step))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "loss" in logs and state.is_world_process_zero:
            self._writer.write(state.global_step, {"train/loss": self._loss(), **_rename(logs, _LOGGED)})

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **_: Any
    ) -> None:
        if metrics and state.is_world_process_zero:
            self._writer.write(state.global_step, _rename(metrics, _EVALUATED))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._writer.close()


def _rename(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    return {new: float(values[old]) for old, new in names.items() if values.get(old) is not None}


@contextmanager
def _stated() -> Iterator[None]:
    """Within, what Weights & Biases cannot begin for comes as one line."""
    try:
        yield
    except Exception as problem:  # its kinds of errors differ between releases
        reason = " ".join(str(problem).split())[:160]
        raise SerstoreError(
            f"wandb cannot begin ({reason}): expected an account; log in with `wandb login`, set WANDB_MODE=offline, "
            "or leave --report-to out"
        ) from problem
