"""The starter model's workshop: corpus, tokenizer, training, evaluation and export.

Owns everything that makes `inference/starter/`. Runs without Django (`python -m
inference.training`), imports nothing else of this project, and uses only text that `corpus/`
generates.
"""
