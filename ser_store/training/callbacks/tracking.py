"""The curves of a run, beside the store's own, where TensorBoard or Weights & Biases show them by transformers.

Overridden is how each begins: beside the store, with the recipe instead of the model's configuration (which names all
utterances that the weights have learned from), and without the steps that a killed session had written before.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback, WandbCallback

from ser_store.common.log import LOGGER
from ser_store.errors import MissingExtraError, SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store.recipes.recipe_file import format_recipe

PROJECT = "serstore"


def check_reporter(name: str) -> None:
    """Refuse a reporter that is not there, before anything is trained.

    Raises:
        MissingExtraError: naming the extra.
    """
    if name != "none" and find_spec(name) is None:
        raise MissingExtraError(
            f"{name} is not installed: `report_to` {name} needs it; pip install {name}, or 'ser-store[tracking]'"
        )


def find_tracking_folder(store: Path) -> Path:
    """Beside the store, which holds nothing but what its format names: ``ser.store.tracking``."""
    store = store.resolve()
    return store.with_name(f"{store.name}.tracking")


def list_trackers(store: Path, run: str, recipe: Recipe) -> list[TrainerCallback]:
    """What writes the curves of ``run`` to where the recipe reports to: nothing, or one callback for the Trainer.

    TensorBoard's files are in ``tensorboard/<run>`` of :func:`find_tracking_folder`, or of the folder that
    TENSORBOARD_LOGGING_DIR names; those of Weights & Biases in its ``wandb``, or where WANDB_DIR says. The main process
    alone writes.
    """
    kinds = {"tensorboard": TensorBoardTracker, "wandb": WandbTracker}
    return [kinds[recipe.report_to](find_tracking_folder(store), run, recipe)] if recipe.report_to in kinds else []


class TensorBoardTracker(TensorBoardCallback):
    """Event files of TensorBoard."""

    def __init__(self, folder: Path, run: str, recipe: Recipe) -> None:
        super().__init__()
        self._folder = (Path(self.logging_dir) if self.logging_dir else folder / "tensorboard") / run
        self._recipe = recipe

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not state.is_world_process_zero:
            return
        step = state.global_step
        self.tb_writer = self._SummaryWriter(log_dir=str(self._folder), purge_step=step + 1)
        self.tb_writer.add_text("recipe", f"```toml\n{format_recipe(self._recipe)}```", global_step=step)
        where = self._folder.parent
        LOGGER.info("curves go to %s; look at them with: tensorboard --logdir %s", self._folder, where)


class WandbTracker(WandbCallback):
    """A run of Weights & Biases, online or, with WANDB_MODE=offline, to be sent by ``wandb sync`` later.

    A session that goes on from a checkpoint is another of the same group.
    """

    def __init__(self, folder: Path, run: str, recipe: Recipe) -> None:
        super().__init__()
        self._folder = folder
        self._name = run
        self._recipe = recipe

    def setup(self, args: Any, state: Any, model: Any, **_: Any) -> None:
        self._initialized = True
        if not state.is_world_process_zero:
            return
        stated = os.environ.get("WANDB_DIR")
        if not stated:
            self._folder.mkdir(parents=True, exist_ok=True)
        try:
            run = self._wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=self._name,
                group=self._name,
                dir=stated or str(self._folder),
                config=self._recipe.to_json(),
                settings=self._wandb.Settings(console="off", silent=True),
            )
        except Exception as problem:  # its kinds of errors differ between releases
            reason = " ".join(str(problem).split())[:160]
            raise SerstoreError(
                f"wandb cannot begin ({reason}): expected an account; log in with `wandb login`, set "
                "WANDB_MODE=offline, or leave `report_to` out"
            ) from problem
        run.define_metric("train/global_step")
        run.define_metric("*", step_metric="train/global_step")
        place = Path(run.dir).parent
        sent = f"send them with: wandb sync {place}" if run.offline else f"see {run.url}"
        LOGGER.info("curves go to %s; %s", place, sent)

    def on_train_end(self, args: Any, state: Any, control: Any, **named: Any) -> None:
        super().on_train_end(args, state, control, **named)
        if state.is_world_process_zero:
            self._wandb.finish()
