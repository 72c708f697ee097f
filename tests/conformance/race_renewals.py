"""Holds are renewed while others of the same process are settled: nothing waits in a circle.

Run by test_renewals in a process of its own, on a migrated PostgreSQL.
"""

import asyncio
import os
import random
from types import SimpleNamespace
from typing import Any, cast

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from accounts import flows  # noqa: E402
from accounts.models import User  # noqa: E402
from billing import ledger  # noqa: E402
from inference.service import Service  # noqa: E402
from portal.lib.db import commit  # noqa: E402
from tests.billing.money import context, draft  # noqa: E402

ROUNDS = 4
AT_ONCE = 60
SPREAD_S = 0.5


def main() -> None:
    user = User.objects.create_user("race@example.com")
    organisation_id = flows.create_organisation(user, "Race", welcome=False).id
    ledger.grant(organisation_id, 10**9, reference="grant:race", description="")
    asyncio.run(race(organisation_id, context()))


async def race(organisation_id: str, of_request: dict[str, Any]) -> None:
    for number in range(ROUNDS):
        ids = [f"{number} {i}" for i in range(AT_ONCE)]
        await asyncio.gather(
            *(
                commit(organisation_id, ledger.open_hold, each, organisation_id, 1000,
                       owner="race", context=of_request)
                for each in random.sample(ids, AT_ONCE)
            )
        )  # fmt: skip
        running = cast("Service", SimpleNamespace(owner="race", generations=dict.fromkeys(ids)))
        settled = asyncio.Event()
        renewing = asyncio.gather(*(renew_until(settled, running) for _ in range(3)))
        await asyncio.gather(*(settle(organisation_id, each) for each in ids))
        settled.set()
        await renewing


async def renew_until(settled: asyncio.Event, running: Service) -> None:
    while not settled.is_set():
        await Service._renew(running)


async def settle(organisation_id: str, request_id: str) -> None:
    await asyncio.sleep(random.random() * SPREAD_S)
    await commit(organisation_id, ledger.settle, request_id, draft(10))


if __name__ == "__main__":
    main()
