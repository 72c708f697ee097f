"""A site with something on each page, for pictures and for tests that look at whole pages.

`write` runs as a command of the site, with its settings; `make_history` starts it.
"""

import json
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accounts.models import Organisation, User
    from tests.story.site import Site

EMAIL, PASSWORD = "alice@example.com", "correct horse battery staple"
NEWCOMER = "newcomer@example.com"
ANSWER = """Here is one in Python:

```python
def mean(numbers: list[float]) -> float:
    \"\"\"The arithmetic mean; raises ValueError for none.\"\"\"
    if not numbers:
        raise ValueError("There are no numbers.")
    return sum(numbers) / len(numbers)
```

It is **exact for integers**, and:

1. an empty list is an error, not `0`;
2. `math.fsum` would lose less for floats.

| Input | Result |
|---|---|
| `[1, 2, 3]` | `2.0` |
| `[]` | an error |
"""
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def make_history(site: "Site") -> dict[str, str]:
    """Fills the site; what addresses need: ids by name, `request_id` that of the newest request."""
    call = "from tests.shown_site import write; write()"
    printed = site.manage("shell", "-v0", "-c", call)
    ids: dict[str, str] = json.loads(printed.strip().splitlines()[-1])
    return ids


def write() -> None:
    from accounts import flows
    from accounts.models import Role
    from billing import ledger

    alice = person(EMAIL, "Alice", time_zone="Europe/Zurich")
    person(NEWCOMER, "Newcomer")
    bob = person("bob@example.com", "Bob")
    organisation = flows.create_organisation(alice, "Acme Research")
    flows.create_organisation(alice, "Empty Works")
    organisation.memberships.create(user=bob, role=Role.DEVELOPER)
    ledger.grant(organisation.id, 20 * 10**9, reference="grant:shots", description="A present")
    _invited, token = flows.invite(organisation, alice, "dana@example.com", Role.BILLING)
    write_models(organisation)
    ids = write_requests(organisation, alice) | {"token": token, "organisation": organisation.id}
    ids |= write_conversations(organisation, alice)
    ids |= {"year": str(organisation.created_at.year), "month": str(organisation.created_at.month)}
    write_money(organisation)
    print(json.dumps(ids))


def person(email: str, name: str, **fields: str) -> "User":
    from allauth.account.models import EmailAddress

    from accounts.models import User

    user: User = User.objects.create_user(email, PASSWORD, name=name, **fields)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def write_models(organisation: "Organisation") -> None:
    """A model of Acme's own, and one that will be switched off."""
    from billing import pricing
    from inference.models import ServedModel

    own = ServedModel.objects.create(
        name="acme/contracts-8b", description="For Acme Research alone.", is_public=False,
        state="unloaded", max_model_len=8192,
    )  # fmt: skip
    own.organisations.add(organisation)
    old = ServedModel.objects.create(
        name="small-vectors", kind="embeddings", is_chat=False, state="unloaded",
        shutdown_date="2027-03-01", max_model_len=512,
    )  # fmt: skip
    for model, price in ((own, 600_000_000), (old, 20_000_000)):
        pricing.ensure_price(model.name, price, price // 2, price * 3)


def write_requests(organisation: "Organisation", alice: "User") -> dict[str, str]:
    """Four hundred requests by two keys and in the playground; one is kept whole."""
    from django.utils import timezone

    from accounts import flows
    from billing.models import Account
    from billing.months import month_of
    from inference.log import bodies, metadata
    from inference.log.bodies import Bodies
    from tests.portal.records import make_record

    # These records were never charged: the first charge would count them, and find them unpaid.
    Account.objects.update(spend_month=month_of(timezone.now()))
    production, _ = flows.create_key(
        organisation, alice, "Production", monthly_cap_nanos=50 * 10**9
    )
    staging, _ = flows.create_key(organisation, alice, "Staging")
    flows.revoke_key(flows.create_key(organisation, alice, "Laptop of 2025")[0])
    chance = random.Random(7)
    for _number in range(400):
        newest = make_record(
            organisation,
            at=timezone.now() - timedelta(minutes=chance.expovariate(1 / 6000)),
            api_key_id=chance.choice([production.pk, production.pk, staging.pk, None]),
            user_id=alice.pk,
            face=chance.choice(["api", "api", "playground"]),
            uncached_tokens=chance.randint(20, 4000),
            cached_tokens=chance.choice([0, 0, 128, 512]),
            output_tokens=chance.randint(1, 900),
            ttft_ms=chance.randint(30, 240),
            duration_ms=chance.randint(300, 9000),
            outcome=chance.choice(["finished"] * 18 + ["aborted", "failed"]),
        )
    organisation.keeps_bodies = True
    organisation.save(update_fields=["keeps_bodies"])
    kept = make_record(organisation, api_key_id=production.pk, user_id=alice.pk)
    asked = {"model": "starter", "messages": [{"role": "user", "content": "Rain in Zug?"}],
             "tools": [WEATHER], "temperature": 0.2, "n": 2}  # fmt: skip
    call = {"id": "call_1", "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Zug"}'}}  # fmt: skip
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    said = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    texts = [json.dumps(body, indent=2).encode() for body in (asked, said)]
    whole = Bodies(texts[0], texts[1], len(texts[0]), len(texts[1]))
    bodies.keep(organisation.id, kept.request_id, whole)
    metadata.note(organisation.id, kept.request_id, {"job": "nightly"})
    return {"request_id": newest.request_id, "kept": kept.request_id, "key_id": str(staging.pk)}


def write_conversations(organisation: "Organisation", alice: "User") -> dict[str, str]:
    from playground import presets, snapshots
    from playground.models import Audience, Conversation

    measured = {
        "request_id": "req_shown", "model": "starter", "prompt_tokens": 31, "cached_tokens": 16,
        "completion_tokens": 148, "cost_nanos": 61_500, "ttft_ms": 84, "tokens_per_s": 96.4,
        "duration_ms": 1_620, "finish_reason": "stop", "outcome": "finished", "seed": 7,
    }  # fmt: skip
    made: dict[str, Any] = {}
    for name, mode, asked, answer in (
        ("completion", "completion", "The lighthouse keeper", " wound the clock, as every night."),
        ("chat", "chat", "Write a function that averages numbers.", ANSWER),
    ):
        made[name] = Conversation.objects.create(
            organisation=organisation, user=alice, title=asked, model="starter", mode=mode,
            parameters={"temperature": 0.7, "seed": 7},
        )  # fmt: skip
        rows = [{"role": "user", "content": asked},
                {"role": "assistant", "content": answer, "request_id": "req_shown",
                 "measured": measured}]  # fmt: skip
        for position, row in enumerate(rows):
            made[name].messages.create(position=position, **row)
    content = {"mode": "chat", "model": "starter", "parameters": {"temperature": 0.2},
               "messages": [{"role": "user", "content": "Summarise {{text}}."}],
               "variables": {"text": "the minutes"}}  # fmt: skip
    for name in ("Summaries", "Answers in one line"):
        saving = presets.Saving.model_validate({"name": name, "content": content})
        presets.save(alice.pk, organisation.id, saving)
    snapshot = snapshots.take(made["chat"], Audience.ANYONE)
    ids = {name: conversation.pk for name, conversation in made.items()}
    return {**ids, "snapshot": snapshot.pk}


def write_money(organisation: "Organisation") -> None:
    """What Stripe's side of the console and of the billing page can show."""
    from django.utils import timezone

    from billing import alert_settings, spending
    from billing.models import Reconciliation, WebhookDelivery
    from billing.payment_models import AutoTopUp, AutoTopUpState, Difference, Dispute, TopUp
    from billing.plan_models import Plan
    from tests.portal.records import make_payments

    make_payments(organisation)
    AutoTopUp.objects.update(state=AutoTopUpState.ACTIVE, failures=0)
    spending.set_monthly_cap(organisation, 100 * 10**9)
    alert_settings.change(organisation, low_balance_nanos=5 * 10**9)
    Plan.objects.create(
        name="Team", stripe_price_id="price_1", price_cents=4900, interval="month",
        credit_cents=5500,
    )  # fmt: skip
    now = timezone.now()
    for number, error in enumerate(("", "", "Stripe did not answer.")):
        WebhookDelivery.objects.create(
            event_id=f"evt_{number}", event_type="checkout.session.completed", payload="{}",
            processed_at=None if error else now, attempts=3 if error else 1, error=error,
            next_attempt_at=now + timedelta(hours=3),
        )  # fmt: skip
    Dispute.objects.create(
        dispute_id="dp_1", top_up=TopUp.objects.get(), amount_cents=2500, status="won",
        reason="fraudulent",
    )  # fmt: skip
    night = Reconciliation.objects.create(
        since=now - timedelta(days=1), until=now, finished_at=now, compared=12, num_differences=1
    )
    Difference.objects.create(
        reconciliation=night,
        kind="payment",
        stripe_id="pi_2",
        stripe_nanos=25 * 10**9,
        ledger_nanos=0,
    )
