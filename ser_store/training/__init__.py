"""Fine-tuning: recipe, data, trainer, and the caching of members while a model trains."""

import ser_store.backbones  # noqa: F401 - before transformers, see there
