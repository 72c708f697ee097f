"""Kills and races against the whole product; each ends with a clean audit.

On the embedded default and on PostgreSQL with Redis and two web processes. The engine is the fake
one: what is tested is the path of money and of errors, not the model. All tests of a form share a
site, since its processes take longer to start than most tests do: who kills starts again.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.story import calls
from tests.story.mail_server import MailServer, mail_server
from tests.story.site import Site, embedded_site, production_site, wait_until_ready

pytestmark = [pytest.mark.slow, pytest.mark.services]
LEASE_S = 20
# Slow enough that a kill or a hang-up comes in the middle of an answer.
KNOBS = {
    "ENGINE_FAKE": "true", "WELCOME_CREDIT": "0", "ENGINE_ARGS": "--fake-tokens-per-second 50",
    "EMAIL_HOST": "127.0.0.1", "EMAIL_USE_TLS": "false",
}  # fmt: skip
WEB = ("web0", "web1")
# As if the claim of the dead worker had run out, for which a test would wait for two minutes.
CLAIM_RUNS_OUT = """
from accounts.models import OutgoingMail
from django.utils import timezone
OutgoingMail.objects.update(next_attempt_at=timezone.now())
"""


@pytest.fixture(scope="module")
def mails() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture(scope="module", params=["embedded", "production"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mails: MailServer
) -> Iterator[Site]:
    data_dir = tmp_path_factory.mktemp(request.param)
    start = embedded_site if request.param == "embedded" else production_site
    with start(data_dir, **KNOBS, EMAIL_PORT=str(mails.port)) as running:
        yield running


in_production = pytest.mark.parametrize("site", ["production"], indirect=True)


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def test_two_hundred_at_once_on_credit_for_twenty(site: Site) -> None:
    max_tokens = 50
    key = site.issue_key("race@example.com", "0.000001")
    probe = httpx.post(
        f"{site.url}/v1/completions", json=calls.completion(max_tokens),
        headers={"Authorization": f"Bearer {key}"}, timeout=30,
    )  # fmt: skip
    assert probe.status_code == 402, probe.text
    ceiling_nanos = price_ceiling(site, max_tokens)
    key = site.issue_key("race20@example.com", f"{20 * ceiling_nanos / 1e9:.9f}")

    async def race() -> list[int]:
        async with calls.client(site.url, key) as session:
            answers = await asyncio.gather(
                *(
                    session.post("/v1/completions", json=calls.completion(max_tokens))
                    for _ in range(200)
                )
            )
            return [answer.status_code for answer in answers]

    statuses = Counter(asyncio.run(race()))
    # Holds of requests that are still running count as spent; what they release is free again, so
    # a few more than twenty may run. 429 says that a hold will soon be released.
    assert statuses.keys() <= {200, 402, 429}, statuses
    assert 18 <= statuses[200] <= 22, statuses
    assert site.balance_nanos("race20@example.com") >= 0
    site.audit()


def price_ceiling(site: Site, max_tokens: int) -> int:
    """What one request of the race holds: its prompt and all of `max_tokens`, at list price."""
    key = site.issue_key("ruler@example.com", "1.00")
    headers = {"Authorization": f"Bearer {key}"}
    tokens = httpx.post(
        f"{site.url}/tokenize", headers=headers, timeout=30,
        json={"model": "starter", "prompt": calls.PROMPT},
    ).json()["count"]  # fmt: skip
    pricing = httpx.get(f"{site.url}/v1/models/starter", headers=headers).json()["pricing"]
    nanos = 1e9 * (tokens * float(pricing["input"]) + max_tokens * float(pricing["output"]))
    return round(nanos + 0.5)


def test_a_killed_engine_ends_every_stream_with_an_error(site: Site) -> None:
    key = site.issue_key("kill@example.com", "5.00")
    killed = []

    def kill_when_all_run(heard: calls.Heard) -> None:
        running.add(id(heard))
        if len(running) == 8 and not killed:
            for pid in site.engine_pids():
                os.kill(pid, signal.SIGKILL)
                killed.append(time.monotonic())

    running: set[int] = set()

    async def streams() -> list[calls.Heard]:
        async with calls.client(site.url, key) as session:
            return await asyncio.gather(
                *(calls.listen(session, calls.completion(400), kill_when_all_run) for _ in range(8))
            )

    before = site.balance_nanos("kill@example.com")
    heard = asyncio.run(streams())
    assert killed, "the engine was not found"
    for each in heard:
        assert each.status == 200
        assert each.error is not None
        assert not each.done
        assert all(
            choice["finish_reason"] is None for chunk in each.chunks for choice in chunk["choices"]
        )
    restart_engine(site)
    again = httpx.post(
        f"{site.url}/v1/completions", json=calls.completion(5),
        headers={"Authorization": f"Bearer {key}"}, timeout=30,
    )  # fmt: skip
    assert again.status_code == 200, again.text
    wait_for(lambda: site.open_holds() == 0, LEASE_S + 10, "holds are gone")
    assert site.balance_nanos("kill@example.com") <= before
    site.audit()


def restart_engine(site: Site) -> None:
    """`serve` restarts its engine; in production that is systemd's part, played here."""
    if "engine" in site.processes:
        site.restart("engine")
    wait_for(lambda: ready(site), 60, "an engine answers again")


def ready(site: Site) -> bool:
    """Ready on every web process: a balancer passes over those that do not listen."""
    try:
        return all(
            httpx.get(f"{address}/readyz").status_code == 200
            for address in site.fronts or [site.url]
        )
    except httpx.HTTPError:
        return False


def test_hang_ups_leave_nothing_open(site: Site) -> None:
    key = site.issue_key("hangup@example.com", "5.00")

    async def hang_up(session: httpx.AsyncClient, after: int) -> None:
        body = {**calls.completion(400), "stream": True}
        async with session.stream("POST", "/v1/completions", json=body) as response:
            count = 0
            async for _data in calls.events(response):
                count += 1
                if count > after:
                    return

    async def many() -> None:
        async with calls.client(site.url, key) as session:
            await asyncio.gather(*(hang_up(session, after) for after in range(12)))

    asyncio.run(many())
    wait_for(lambda: site.open_holds() == 0, LEASE_S + 10, "holds are gone")
    site.audit()
    wait_for(lambda: site.engine_is_idle(), 10, "the engine stopped generating")


def restart_web(site: Site) -> None:
    for name in WEB:
        site.restart(name)
    wait_for(lambda: ready(site), 60, "both web processes answer again")


def records(site: Site, email: str, where: str = "true", *, what: str = "COUNT(*)") -> int:
    return site.query(
        f"SELECT {what} FROM billing_usagerecord r"
        " JOIN accounts_membership m ON m.organisation_id = r.organisation_id"
        f" JOIN accounts_user u ON u.id = m.user_id WHERE u.email = '{email}' AND {where}"
    )


@in_production
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


@in_production
def test_what_dies_with_its_web_process_is_free_and_may_run_again(site: Site) -> None:
    """Both die mid-stream: the sweep releases the holds, and who sends a key again gets a new run.

    That waits for the lease of what died, and once for all that is to be seen then.
    """
    plain = site.issue_key("webkill@example.com", "5.00")
    secret = site.issue_key("retried@example.com", "5.00")
    keyed = {"idempotency-key": "kill"}
    asyncio.run(both_die_in_the_middle(site, {plain: {}, secret: keyed}))
    restart_web(site)
    headers = {"authorization": f"Bearer {secret}", **keyed}
    address, body = f"{site.url}/v1/completions", calls.completion(400, stream=True)
    answer = httpx.post(address, json=body, headers=headers, timeout=90)
    assert answer.status_code == 200, answer.text
    assert answer.text.rstrip().endswith("data: [DONE]")
    assert "idempotent-replayed" not in answer.headers
    again = httpx.post(address, json=body, headers=headers, timeout=30)
    assert (again.content, again.headers["idempotent-replayed"]) == (answer.content, "true")
    wait_for(lambda: site.open_holds() == 0, LEASE_S + 10, "the sweep released the holds")
    assert site.balance_nanos("webkill@example.com") == 5 * 10**9
    swept = "outcome = 'failed' AND cost_nanos = 0"
    assert records(site, "retried@example.com", "cost_nanos > 0") == 1
    wait_for(lambda: records(site, "retried@example.com", swept) == 1, LEASE_S, "what died is free")
    wait_for(lambda: site.engine_is_idle(), 10, "the engine stopped generating")
    site.audit()


async def both_die_in_the_middle(site: Site, clients: dict[str, dict[str, str]]) -> None:
    """Streams with these keys and headers; the web processes are killed when all of them run."""
    running: set[str] = set()

    async def stream(key: str, headers: dict[str, str]) -> None:
        async with calls.client(site.url, key) as session:
            session.headers.update(headers)

            def kill_when_all_run(_heard: calls.Heard) -> None:
                running.add(key)
                if len(running) == len(clients):
                    for name in WEB:
                        site.processes[name].kill()

            with pytest.raises(httpx.HTTPError):
                await calls.listen(session, calls.completion(400), kill_when_all_run)

    await asyncio.gather(*(stream(key, headers) for key, headers in clients.items()))


def test_a_mail_whose_worker_was_killed_is_sent_once_by_the_next(
    site: Site, mails: MailServer
) -> None:
    """By default the worker is a thread of `serve`, whose broker dies with it; in production Redis
    would wait an hour for the dead. Either way beat finds the row."""
    worker = "outbound" if "outbound" in site.processes else "serve"
    mails.shut()
    sign_up(site.url, "killed@example.com")
    assert mails.waiting.wait(60), "no mail was sent"
    site.processes[worker].kill()
    mails.open.set()
    site.manage("shell", "--no-imports", "-c", CLAIM_RUNS_OUT)
    site.restart(worker)
    wait_until_ready(site)
    wait_for(
        lambda: not site.query("SELECT COUNT(*) FROM accounts_outgoingmail WHERE sent_at IS NULL"),
        90, "the mail was sent",
    )  # fmt: skip
    assert [text for text in mails.taken if "To: killed@example.com" in text]
    assert len(mails.taken) == 1


def test_a_mail_server_that_never_answers_keeps_no_other_job_waiting(
    site: Site, mails: MailServer
) -> None:
    """More mails than jobs run at once; what is held for requests is looked after all the same."""
    mails.shut()
    for number in range(12):
        sign_up(site.url, f"waits{number}@example.com")
    wait_for(lambda: mails.num_waiting >= 2, 30, "mails wait for the server")
    last_beat = "SELECT MAX(number) FROM billing_pulse"
    before = site.query(last_beat)
    wait_for(lambda: site.query(last_beat) >= before + 2, 14, "holds are swept")
    assert not mails.taken
    mails.open.set()


def sign_up(url: str, email: str) -> None:
    with httpx.Client(base_url=url, headers={"Referer": url}) as browser:
        page = browser.get("/accounts/signup/")
        assert page.status_code == 200, page.text
        answer = browser.post(
            "/accounts/signup/",
            data={
                "email": email,
                "password1": "correct horse battery staple",
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            },
        )
        assert answer.status_code == 302, answer.text
