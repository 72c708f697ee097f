"""The inference engine: a process of its own that never imports Django (see README.md)."""
