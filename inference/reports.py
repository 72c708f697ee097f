"""What each engine last told this process, for operators."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from inference.client import EngineLink

STATES = {"no answer": _("no answer"), "ready": _("ready"), "draining": _("draining")}


@dataclass(frozen=True, slots=True)
class EngineReport:
    """One engine. Everything but model, address and state is None until it has answered."""

    model: str
    address: str
    state: Literal["no answer", "ready", "draining"]
    device: str | None = None
    dtype: str | None = None
    running: int | None = None
    waiting: int | None = None
    cache_used: float | None = None  # share of the blocks that running sequences hold
    tokens_per_s: float | None = None  # generated, over the last ten seconds
    cache_hit_rate: float | None = None  # share of the prompts' tokens; None before the first

    @property
    def state_in_words(self) -> str:
        return str(STATES[self.state])


def report(link: "EngineLink") -> EngineReport:
    info = link.info
    if info is None or not link.answers:
        return EngineReport(link.model, link.address, "no answer")
    stats = info.stats
    prompts = stats.prompt_tokens + stats.cached_prompt_tokens
    return EngineReport(
        link.model,
        link.address,
        "ready" if link.healthy else "draining",
        device=info.device,
        dtype=info.dtype,
        running=stats.num_running,
        waiting=stats.num_waiting,
        cache_used=stats.kv_blocks_used / stats.kv_blocks_total if stats.kv_blocks_total else None,
        tokens_per_s=stats.tokens_per_s,
        cache_hit_rate=stats.cached_prompt_tokens / prompts if prompts else None,
    )
