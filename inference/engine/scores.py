"""Log-probabilities of tokens, and of the likeliest alternatives."""

from torch import Tensor

from inference.engine.params import MOST_LOGPROBS
from inference.engine.plan import Logprobs
from inference.engine.transfers import HostCopy


class Scores:
    """Computed on the device at once, read by the host later."""

    def __init__(self, logits: Tensor, token_ids: Tensor, depths: list[int]) -> None:
        """Score one token for each row of logits (R, V); report `depths` alternatives of each."""
        logprobs = logits.float().log_softmax(-1)
        own = logprobs.gather(1, token_ids.unsqueeze(1)).squeeze(1)  # (R,)
        # Which of several equally likely tokens come first depends on how many are looked for.
        depth = min(MOST_LOGPROBS, logits.shape[1]) if any(depths) else 0
        values, ids = logprobs.topk(depth, dim=-1)
        self._own, self._ids, self._values = HostCopy(own), HostCopy(ids), HostCopy(values)
        self._depths = depths

    def read(self, token_ids: list[int]) -> list[Logprobs]:
        """Return what was found about these tokens, which the caller knows by now."""
        columns = (self._own, self._ids, self._values)
        table = zip(token_ids, *(column.get().tolist() for column in columns), strict=True)
        return [
            Logprobs(token_id, logprob, tuple(zip(ids[:depth], values[:depth], strict=True)))
            for (token_id, logprob, ids, values), depth in zip(table, self._depths, strict=True)
        ]
