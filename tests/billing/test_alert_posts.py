"""Alerts as webhooks: signed so that OpenAI's library takes them, tried again, never twice."""

import json
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import openai
import pytest
from django.conf import LazySettings
from django.utils import timezone
from openai import InvalidWebhookSignatureError

from accounts.models import Organisation
from billing import alert_posts, alert_settings, alerts, spending, tasks
from billing.models import Alert, AlertPost, AlertSettings
from portal.lib.money import NANOS_PER_DOLLAR
from tests.billing.money import spend
from tests.serving import serving

TEN = 10 * NANOS_PER_DOLLAR


class Receiver:
    """A customer's server: what it was sent, and what it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks?from=parlance"


@pytest.fixture
def receiver(settings: LazySettings) -> Iterator[Receiver]:
    settings.WEBHOOKS_TO_PRIVATE_ADDRESSES = True
    found = Receiver()
    with serving(found.server):
        yield found


@pytest.fixture
def secret(organisation: Organisation, receiver: Receiver) -> str:
    """Of an organisation that has just fallen below its low balance."""
    made = alert_settings.change(
        organisation, low_balance_nanos=TEN + 1, webhook_url=receiver.url, by_mail=False
    )
    alerts.check_all()
    assert made is not None
    return made


def checks(secret: str, headers: dict[str, str], body: bytes) -> None:
    client = openai.OpenAI(api_key="none")
    client.webhooks.verify_signature(body, headers, secret=secret)


def test_an_alert_is_posted_and_its_signature_holds(
    secret: str, receiver: Receiver, organisation: Organisation
) -> None:
    alert = Alert.objects.get()
    assert alert_posts.waiting() == [organisation.pk]
    assert alert_posts.deliver(alert.pk)
    [(headers, body)] = receiver.got
    checks(secret, headers, body)
    assert headers["webhook-id"] == alert.pk
    assert json.loads(body) == {
        "id": alert.pk, "object": "event", "type": "balance.low",
        "created_at": int(alert.created_at.timestamp()),
        "data": {
            "organisation": organisation.pk, "low_balance_nanos": TEN + 1, "balance_nanos": TEN,
        },
    }  # fmt: skip
    for forged in (body + b" ", body.replace(b"balance", b"Balance")):
        with pytest.raises(InvalidWebhookSignatureError):
            checks(secret, headers, forged)
    with pytest.raises(InvalidWebhookSignatureError):
        checks(alert_posts.new_secret(), headers, body)


def test_a_post_that_was_taken_is_not_sent_again(secret: str, receiver: Receiver) -> None:
    alert = Alert.objects.get()
    assert alert_posts.deliver(alert.pk)
    assert not alert_posts.deliver(alert.pk)
    assert (len(receiver.got), alert_posts.waiting()) == (1, [])


def test_a_refusal_is_tried_again_later_and_given_up_in_the_end(
    secret: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert = Alert.objects.get()
    receiver.status = 500
    start = timezone.now()
    for attempt in range(1, 7):
        moment = start + timedelta(days=attempt)
        monkeypatch.setattr(timezone, "now", lambda now=moment: now)
        assert not alert_posts.deliver(alert.pk)
        assert not alert_posts.deliver(alert.pk), "it is not its turn"
    post = AlertPost.objects.get()
    assert (post.attempts, post.error, post.next_attempt_at) == (6, "It answered 500.", None)
    assert len({headers["webhook-id"] for headers, _body in receiver.got}) == 1
    assert len({headers["webhook-timestamp"] for headers, _body in receiver.got}) == 6


def test_a_worker_that_died_while_posting_gives_it_up(secret: str, receiver: Receiver) -> None:
    alert = Alert.objects.get()
    AlertPost.objects.update(next_attempt_at=timezone.now() + alert_posts.CLAIM)
    assert not alert_posts.deliver(alert.pk)
    AlertPost.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    assert alert_posts.deliver(alert.pk)


def test_a_server_that_redirects_is_not_followed(secret: str, receiver: Receiver) -> None:
    receiver.status = 302
    assert not alert_posts.deliver(Alert.objects.get().pk)
    assert AlertPost.objects.get().error == "It answered 302."


def test_a_secret_outlives_the_key_that_sealed_it(
    secret: str, receiver: Receiver, settings: LazySettings
) -> None:
    former = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the second " * 9, [former]
    tasks.seal_alert_secrets()
    sealed = AlertSettings.objects.get().webhook_secret
    tasks.seal_alert_secrets()
    assert AlertSettings.objects.get().webhook_secret == sealed, "there is nothing to do any more"
    settings.SECRET_KEY_FALLBACKS = []
    alert_posts.deliver(Alert.objects.get().pk)
    [(headers, body)] = receiver.got
    checks(secret, headers, body)


def test_a_new_secret_signs_what_comes_after_it(
    secret: str, receiver: Receiver, organisation: Organisation
) -> None:
    new = alert_settings.new_secret(organisation)
    alert_posts.deliver(Alert.objects.get().pk)
    [(headers, body)] = receiver.got
    checks(new, headers, body)
    with pytest.raises(InvalidWebhookSignatureError):
        checks(secret, headers, body)


def test_an_address_that_was_taken_away_gets_nothing(
    secret: str, receiver: Receiver, organisation: Organisation
) -> None:
    alert_settings.change(organisation, webhook_url="")
    assert not alert_posts.deliver(Alert.objects.get().pk)
    assert (receiver.got, AlertPost.objects.get().next_attempt_at) == ([], None)


def test_the_beat_task_opens_alerts_and_posts_them(
    organisation: Organisation, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert_settings.change(organisation, low_balance_nanos=TEN + 1, webhook_url=receiver.url)
    monkeypatch.setattr(tasks.post_alerts, "delay", tasks.post_alerts)
    tasks.check_alerts()
    tasks.check_alerts()
    assert len(receiver.got) == 1


@pytest.fixture
def posts(secret: str, organisation: Organisation) -> set[str]:
    """Several that wait."""
    alert_settings.change(organisation, percentages=[50])
    spending.set_monthly_cap(organisation, 100)
    spend(organisation, 60)
    assert alerts.check_all() == 1
    return set(AlertPost.objects.values_list("pk", flat=True))


def test_what_waits_is_posted_in_one_go(
    organisation: Organisation, posts: set[str], receiver: Receiver
) -> None:
    assert len(posts) == 2
    alert_posts.deliver_all(organisation.pk)
    assert sorted(headers["webhook-id"] for headers, _body in receiver.got) == sorted(posts)


def test_an_address_that_takes_nothing_is_asked_once_and_holds_up_no_others(
    organisation: Organisation, posts: set[str], receiver: Receiver
) -> None:
    receiver.status = 500
    alert_posts.deliver_all(organisation.pk)
    [(headers, _body)] = receiver.got
    receiver.status = 204
    alert_posts.deliver_all(organisation.pk)
    others = {headers["webhook-id"] for headers, _body in receiver.got[1:]}
    assert others == posts - {headers["webhook-id"]}


def test_a_secret_that_cannot_be_read_is_told_and_not_guessed(
    secret: str, receiver: Receiver
) -> None:
    """The site's own key was replaced without keeping the old one."""
    AlertSettings.objects.update(webhook_secret=b"damaged")
    assert not alert_posts.deliver(Alert.objects.get().pk)
    assert "make a new one" in AlertPost.objects.get().error
    assert receiver.got == []


def test_the_secret_is_nowhere_in_the_open(secret: str, organisation: Organisation) -> None:
    row = alert_settings.read(organisation)
    assert row.webhook_secret is not None
    assert secret.removeprefix("whsec_").encode() not in bytes(row.webhook_secret)
