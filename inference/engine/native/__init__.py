"""Decoders of the Llama kind on CPUs, in C compiled on the machine that runs them."""
