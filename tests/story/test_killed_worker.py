"""`kill -9` of a worker in the middle of a job: the job is done in the end, and once.

By default the worker is a thread of `serve` and the broker dies with it; in production it is a
process of its own, and Redis would wait an hour for it. Either way beat finds the row.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from tests.story.mail_server import mail_server
from tests.story.site import Site, embedded_site, production_site, wait_until_ready

pytestmark = [pytest.mark.slow, pytest.mark.services]
# As if the claim of the dead worker had run out, for which a test would wait for two minutes.
CLAIM_RUNS_OUT = """
from accounts.models import OutgoingMail
from django.utils import timezone
OutgoingMail.objects.update(next_attempt_at=timezone.now())
"""


@pytest.mark.parametrize(
    ("start", "worker"), [(embedded_site, "serve"), (production_site, "worker")]
)
def test_a_mail_whose_worker_was_killed_is_sent_once_by_the_next(
    start: Callable[..., AbstractContextManager[Site]], worker: str, tmp_path: Path
) -> None:
    with mail_server() as server:
        knobs = {
            "ENGINE_FAKE": "true", "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": str(server.port),
            "EMAIL_USE_TLS": "false",
        }  # fmt: skip
        with start(tmp_path, **knobs) as site:
            sign_up(site.url)
            assert server.waiting.wait(60), "no mail was sent"
            site.processes[worker].kill()
            server.open.set()
            site.manage("shell", "--no-imports", "-c", CLAIM_RUNS_OUT)
            site.restart(worker)
            wait_until_ready(site)
            wait_until_sent(site, seconds=90)
            assert [text for text in server.taken if "To: killed@example.com" in text]
            assert len(server.taken) == 1


def sign_up(url: str) -> None:
    with httpx.Client(base_url=url, headers={"Referer": url}) as browser:
        page = browser.get("/accounts/signup/")
        assert page.status_code == 200, page.text
        answer = browser.post(
            "/accounts/signup/",
            data={
                "email": "killed@example.com",
                "password1": "correct horse battery staple",
                "csrfmiddlewaretoken": browser.cookies["csrftoken"],
            },
        )
        assert answer.status_code == 302, answer.text


def wait_until_sent(site: Site, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while site.query("SELECT COUNT(*) FROM accounts_outgoingmail WHERE sent_at IS NULL"):
        assert time.monotonic() < deadline, f"not sent within {seconds} s:\n{site.log()}"
        time.sleep(0.5)
