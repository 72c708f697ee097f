"""Triton kernels of the engine on GPUs. Imported there only, and by their tests."""
