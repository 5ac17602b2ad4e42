"""Fine-tuning: recipe, data, trainer, and the caching of members while a model trains."""

from ser_store.backbones.inductor_cache import place_cache

place_cache()
