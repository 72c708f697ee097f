"""Fair share between tenants: a virtual counter of the service each has received.

After the Virtual Token Counter of Sheng et al., "Fairness in Serving Large Language Models"
(OSDI 2024): an output token counts twice a prompt token; who comes back after a pause starts at
the level of those who are being served, so nobody saves up a right to starve the others.
"""

from collections import Counter
from collections.abc import Iterable

from inference.engine.request import Sequence

PROMPT_TOKEN_WEIGHT = 1
OUTPUT_TOKEN_WEIGHT = 2


class TenantCounters:
    """Weighted tokens served per tenant; comparable with each other, otherwise meaningless."""

    def __init__(self) -> None:
        """Start with nobody served."""
        self._served: dict[str, int] = {}

    def served(self, tenant: str) -> int:
        """Return the tenant's counter."""
        return self._served.get(tenant, 0)

    def lift(self, tenant: str, active: set[str]) -> None:
        """Raise a tenant that had nothing queued or running to the level of the others.

        `active` are the tenants with work at this moment. Counters at or below the level are
        dropped, since their owners would be lifted to it on their return; when nobody is active
        there is nobody to be fair to and all are.
        """
        if tenant in active:
            return
        level = min((self.served(other) for other in active), default=None)
        if level is None:
            self._served = {tenant: 0}
            return
        mine = max(level, self.served(tenant))
        self._served = {
            name: count for name, count in self._served.items() if name in active or count > level
        }
        self._served[tenant] = mine

    def charge_prompt(self, tenant: str, num_tokens: int) -> None:
        """Count prompt tokens that are about to be computed (cache hits are not service)."""
        self._served[tenant] = self.served(tenant) + num_tokens * PROMPT_TOKEN_WEIGHT

    def charge_output(self, tenant: str) -> None:
        """Count one sampled token."""
        self._served[tenant] = self.served(tenant) + OUTPUT_TOKEN_WEIGHT


def who_has_too_much(used: Counter[str], capacity: int, tenant: str, wanted: int) -> str | None:
    """Return the tenant that uses most, if it gives way to another that wants more.

    It uses more than an equal share of the capacity then, and the other one would not.
    """
    share = capacity // len(used)
    greedy, most = used.most_common(1)[0]
    return greedy if used[tenant] + wanted <= share < most else None


def leaves_room(sequence: Sequence, other: Sequence) -> bool:
    """Whether a prompt leaves a part of a step to another behind it.

    To shorter ones of other tenants, so that they need not wait for its end. Side by side with one
    that is as long it would only end as late itself.
    """
    others = other.tenant != sequence.tenant and other.priority == sequence.priority
    return others and other.num_due < sequence.num_due


def left_to_others(sequence: Sequence, behind: Iterable[Sequence], count: int, again: bool) -> int:
    """Return how many of `count` prompt tokens of a step a long prompt leaves to those behind it.

    They get what they can use, up to a share like its own for each tenant. Where its tenant
    computes one prompt more (`again`), they come first.
    """
    wanted: Counter[str] = Counter()
    for other in behind:
        if leaves_room(sequence, other):
            wanted[other.tenant] += other.num_due
    share = count if again else count * len(wanted) // (len(wanted) + 1)
    return min(wanted.total(), share)
