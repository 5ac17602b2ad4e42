"""A fine-tuned run in, a model repository on the Hugging Face hub out, with its card."""
