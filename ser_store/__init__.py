"""Fine-tune speech transformers for emotion recognition once; answer every later question from a file."""
