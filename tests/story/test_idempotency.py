"""One key, two web processes on PostgreSQL: one generation; and when its process dies, another."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.story import calls
from tests.story.site import Site, production_site
from tests.story.test_faults import ready, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.services]
LEASE_S = 20
KNOBS = {
    "ENGINE_FAKE": "true", "WELCOME_CREDIT": "0", "ENGINE_ARGS": "--fake-tokens-per-second 50",
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data_dir: Path = tmp_path_factory.mktemp("production")
    with production_site(data_dir, **KNOBS) as running:
        yield running


def records(site: Site, email: str, where: str = "true") -> int:
    return site.query(
        "SELECT COUNT(*) FROM billing_usagerecord r"
        " JOIN accounts_membership m ON m.organisation_id = r.organisation_id"
        f" JOIN accounts_user u ON u.id = m.user_id WHERE u.email = '{email}' AND {where}"
    )


@pytest.mark.parametrize("stream", [False, True])
def test_of_those_who_send_a_key_at_once_one_generates(site: Site, stream: bool) -> None:
    email = f"once-{stream}@example.com".lower()
    secret = site.issue_key(email, "5.00")

    async def race() -> list[httpx.Response]:
        async with calls.client(site.url, secret) as session:
            body = calls.completion(40, stream=stream)
            headers = {"idempotency-key": "once"}
            return await asyncio.gather(
                *(session.post("/v1/completions", json=body, headers=headers) for _ in range(40))
            )

    found = asyncio.run(race())
    assert {answer.status_code for answer in found} == {200}
    assert len({answer.content for answer in found}) == 1
    assert len({answer.headers["x-request-id"] for answer in found}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in found) == 1
    assert records(site, email) == 1
    site.audit()


def kill_in_the_middle(
    site: Site, address: str, body: dict[str, Any], headers: dict[str, str]
) -> None:
    with httpx.stream("POST", address, json=body, headers=headers, timeout=30) as response:
        for _line in response.iter_lines():
            for name in ("web0", "web1"):
                site.processes[name].kill()


def test_when_its_process_dies_the_next_try_runs_again_after_the_lease(site: Site) -> None:
    email = "killed@example.com"
    secret = site.issue_key(email, "5.00")
    body = calls.completion(100, stream=True)
    headers = {"idempotency-key": "kill", "authorization": f"Bearer {secret}"}
    address = f"{site.url}/v1/completions"
    with pytest.raises(httpx.HTTPError):
        kill_in_the_middle(site, address, body, headers)
    for name in ("web0", "web1"):
        site.restart(name)
    wait_for(lambda: ready(site), 60, "both web processes answer again")
    answer = httpx.post(address, json=body, headers=headers, timeout=90)
    assert answer.status_code == 200, answer.text
    assert answer.text.rstrip().endswith("data: [DONE]")
    assert "idempotent-replayed" not in answer.headers
    again = httpx.post(address, json=body, headers=headers, timeout=30)
    assert (again.content, again.headers["idempotent-replayed"]) == (answer.content, "true")
    assert records(site, email, "cost_nanos > 0") == 1
    swept = "outcome = 'failed' AND cost_nanos = 0"
    wait_for(lambda: records(site, email, swept) == 1, LEASE_S, "what died is free")
    site.audit()
