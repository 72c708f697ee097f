"""Serving encoders: embeddings, and the masked tokens of a text. README.md has a section on it."""
