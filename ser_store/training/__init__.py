"""Fine-tuning: recipe, data, trainer, and the caching of members while a model trains."""
