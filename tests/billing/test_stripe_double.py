"""The stand-in for Stripe, called by Stripe's own client: it answers and refuses as Stripe does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import stripe

from tests.billing.stripe_double import (
    AUTHENTICATION_CARD,
    DECLINED_CARD,
    SECRET_KEY,
    WEBHOOK_SECRET,
    StripeDouble,
    check_parameters,
    decode,
)
from tests.serving import serving


@pytest.fixture
def client(double: StripeDouble) -> stripe.StripeClient:
    return stripe.StripeClient(
        SECRET_KEY, base_addresses={"api": double.url}, max_network_retries=1
    )


def charge(client: stripe.StripeClient, double: StripeDouble, card: str = "4242") -> Any:
    customer = client.v1.customers.create({"name": "Acme"})
    method = double.save_card(customer.id, card)
    return client.v1.payment_intents.create(
        {
            "amount": 500, "currency": "usd", "customer": customer.id,
            "payment_method": method["id"], "confirm": True, "off_session": True,
        },
        {"idempotency_key": f"key-{card}"},
    )  # fmt: skip


@contextmanager
def site(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of webhooks that checks signatures with Stripe's library."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            signature = self.headers["Stripe-Signature"]
            stripe.WebhookSignature.verify_header(body, signature, WEBHOOK_SECRET, 300)
            received.append(json.loads(body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}/", received


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        ([("mode", "payment"), ("amount_cents", "1")], "amount_cents"),
        ([("line_items[0][price_data][unit_amonut]", "1")], r"line_items\[0\]\[price_data\]"),
        ([("line_items[0][quantity]", "one")], r"integer: line_items\[0\]\[quantity\]"),
        ([("line_items", "1")], "array: line_items"),
        ([("allow_promotion_codes", "yes")], "boolean: allow_promotion_codes"),
    ],
)
def test_it_refuses_what_stripe_would_by_name(pairs: list[tuple[str, str]], named: str) -> None:
    from stripe.params.checkout import SessionCreateParams

    with pytest.raises(ValueError, match=named):
        check_parameters(decode(pairs), SessionCreateParams)


def test_a_required_parameter_is_missed(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="amount"):
        client.v1.payment_intents.create({"currency": "usd"})  # type: ignore[typeddict-item]


def test_answers_have_every_field_of_stripes_examples(
    client: stripe.StripeClient, double: StripeDouble
) -> None:
    intent = charge(client, double)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 200})
    for made in (intent, refund):
        kept = double.objects[made.id]
        assert double.examples[kept["object"]].keys() <= kept.keys()
    assert (intent.status, refund.status, refund.amount) == ("succeeded", "succeeded", 200)


def test_a_key_that_comes_again_does_nothing_again(
    client: stripe.StripeClient, double: StripeDouble
) -> None:
    options: Any = {"idempotency_key": "key"}
    first = client.v1.customers.create({"name": "Acme"}, options)
    assert client.v1.customers.create({"name": "Acme"}, options).id == first.id
    with pytest.raises(stripe.IdempotencyError):
        client.v1.customers.create({"name": "Other"}, options)
    assert len(double.all("customer")) == 1


def test_an_answer_that_is_lost_was_work_done_once(
    client: stripe.StripeClient, double: StripeDouble
) -> None:
    double.lost_answers = 1  # the library tries again, with the same key
    client.v1.customers.create({"name": "Acme"})
    assert len(double.all("customer")) == 1


@pytest.mark.parametrize(
    ("card", "code"),
    [(DECLINED_CARD, "card_declined"), (AUTHENTICATION_CARD, "authentication_required")],
)
def test_a_card_that_is_refused_moves_nothing(
    client: stripe.StripeClient, double: StripeDouble, card: str, code: str
) -> None:
    with pytest.raises(stripe.CardError) as refused:
        charge(client, double, card)
    assert refused.value.code == code
    assert [each["amount_received"] for each in double.all("payment_intent")] == [0]
    assert double.events[-1]["type"] == "payment_intent.payment_failed"


def test_no_refund_exceeds_its_payment(client: stripe.StripeClient, double: StripeDouble) -> None:
    intent = charge(client, double)
    client.v1.refunds.create({"payment_intent": intent.id, "amount": 400})
    with pytest.raises(stripe.InvalidRequestError, match="greater"):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 101})
    assert double.dispute(intent.id)["amount"] == 100
    with pytest.raises(stripe.InvalidRequestError, match="charged back"):
        client.v1.refunds.create({"payment_intent": intent.id, "amount": 1})


def test_lists_come_in_pages_newest_first(
    client: stripe.StripeClient, double: StripeDouble
) -> None:
    intent = charge(client, double)
    for _ in range(5):
        double.refund(intent.id, 1)
    listed = client.v1.refunds.list({"limit": 2, "created": {"gte": 0}})
    ids = [refund.id for refund in listed.auto_paging_iter()]
    assert ids == [each["id"] for each in double.all("refund")]
    assert len(ids) == 5


def test_webhooks_are_signed_repeated_reordered_delayed_and_lost(double: StripeDouble) -> None:
    with site() as (url, received):
        double.post.url = url
        double.emit("customer.created", {"id": "cus_1"})
        assert [event["data"]["object"]["id"] for event in received] == ["cus_1"]
        double.post.copies = 2
        double.emit("customer.created", {"id": "cus_2"})
        assert len(received) == 3
        double.post.copies, double.post.holding = 1, True
        late = [double.emit("customer.created", {"id": f"cus_{at}"}) for at in (3, 4)]
        assert len(received) == 3
        double.post.deliver(newest_first=True)
        assert received[3:] == late[::-1]
        double.post.losing = True
        double.emit("customer.created", {"id": "cus_5"})
        assert double.post.deliver() == []


def test_a_webhook_that_is_refused_comes_again(double: StripeDouble) -> None:
    with site(status=503) as (url, received):
        double.post.url = url
        event = double.emit("customer.created", {"id": "cus_1"})
        assert double.post.waiting == [event]
        assert double.post.deliver() == [503]
    assert received == [event, event]
    assert double.post.deliver() == [0], "nobody is there"


def test_the_wrong_key_is_refused(double: StripeDouble) -> None:
    stranger = stripe.StripeClient("sk_test_other", base_addresses={"api": double.url})
    with pytest.raises(stripe.AuthenticationError):
        stranger.v1.customers.create({})
