"""Which kind of model does what a request asks for, and which address asks it."""

from inference import errors
from inference.catalog import CatalogEntry
from inference.models import ModelKind
from inference.spec import Embed, FillMask, GenerationSpec

KIND_OF_TASK = {
    type(None): ModelKind.TEXT,
    Embed: ModelKind.EMBEDDINGS,
    FillMask: ModelKind.FILL_MASK,
}
PATH_OF_KIND = {
    ModelKind.TEXT: "/v1/chat/completions and /v1/completions",
    ModelKind.EMBEDDINGS: "/v1/embeddings",
    ModelKind.FILL_MASK: "/v1/fill-mask",
}


def check_kind(entry: CatalogEntry, spec: GenerationSpec) -> None:
    """Raises ServiceError (400) when another endpoint serves this model."""
    wanted = KIND_OF_TASK[type(spec.task)]
    if entry.kind != wanted:
        raise errors.wrong_kind(entry.name, PATH_OF_KIND[entry.kind])
