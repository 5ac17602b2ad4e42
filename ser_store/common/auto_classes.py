"""transformers' Auto classes and pipelines know the models of this package, without its loading transformers for that.

transformers knows its own models by name, and loads the module of one when a folder asks for it. There is no place to
state further names before it is loaded itself; so a finder waits for the module with the names, and adds ours to it.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

MODEL_TYPE = "serstore-speech-classifier"
_NAMES = "transformers.models.auto.configuration_auto"
_CLASSES = ("SpeechClassifier", "SpeechClassifierConfig")
# Where transformers looks for a model of this type.
_MODULE = f"transformers.models.{MODEL_TYPE.replace('-', '_')}"


def register_by_name() -> None:
    """Have transformers know our models by name, from now on or from when it is loaded."""
    sys.modules[_MODULE] = _Models(_MODULE)
    if _NAMES in sys.modules:
        _add_name(sys.modules[_NAMES])
    else:
        sys.meta_path.insert(0, _Waiting)


class _Models(ModuleType):
    """Stands for :mod:`ser_store.backbones.model`, which is loaded once a class of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        # Others look for names of their own in every module there is, such as pickle for where a function is from.
        if name not in _CLASSES:
            raise AttributeError(name)
        return getattr(import_module("ser_store.backbones.model"), name)


def _add_name(module: Any) -> None:
    module.CONFIG_MAPPING_NAMES[MODEL_TYPE] = "SpeechClassifierConfig"


class _Waiting:
    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != _NAMES:
            return None
        sys.meta_path.remove(_Waiting)
        spec: Any = find_spec(name)
        if spec is not None:
            load = spec.loader.exec_module

            def load_and_add(module: ModuleType) -> None:
                load(module)
                _add_name(module)

            spec.loader.exec_module = load_and_add
        return spec  # type: ignore[no-any-return]
