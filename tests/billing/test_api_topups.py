"""Top-ups through the management API: begun once, paid by a person, seen by nobody else."""

from typing import Any

import pytest
from django.conf import LazySettings as Settings
from django.test import Client
from django.urls import reverse

from accounts.models import ApiKey, Organisation, User
from billing import topups
from billing.models import TopUp
from tests.billing.stripe_double import StripeDouble
from tests.management import Program


def begin(program: Program, amount_cents: Any = 2500, key: str = "") -> Any:
    headers = {**program.headers, "Idempotency-Key": key} if key else program.headers
    return Client().post(
        reverse("api_top_ups"), {"amount_cents": amount_cents}, "application/json", headers=headers
    )


def test_a_top_up_is_begun_paid_and_read(
    double: StripeDouble, manager: Program, organisation: Organisation
) -> None:
    answer = begin(manager)
    begun = answer.json()
    assert answer.status_code == 201
    assert (begun["amount_cents"], begun["state"], begun["paid_at"]) == (2500, "created", None)
    [(session_id, session)] = double.sessions.items()
    assert begun["checkout_url"] == session["url"]
    assert TopUp.objects.get().created_by == "alice@example.com"
    double.pay(session_id)
    topups.credit(topups.stripe_api.fetch_checkout(session_id))
    paid = manager("get", "api_top_up", args=[begun["id"]]).json()
    assert paid["state"] == "paid"
    assert manager("get", "api_top_ups").json()["results"] == [paid]
    assert manager("get", "api_limits").json()["paid_nanos"] == 25 * 10**9


def test_the_same_idempotency_key_is_the_same_top_up(
    double: StripeDouble, manager: Program
) -> None:
    first, again, other = begin(manager, key="a"), begin(manager, key="a"), begin(manager, key="b")
    assert first.json() == again.json()
    assert other.json()["id"] != first.json()["id"]
    assert len(double.sessions) == TopUp.objects.count() == 2
    assert begin(manager).json()["id"] != begin(manager).json()["id"]
    reused = begin(manager, 5000, key="a")
    assert (reused.status_code, reused.json()["error"]["code"]) == (422, "idempotency_key_reused")
    too_long = begin(manager, key="k" * 256)
    assert (too_long.status_code, too_long.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_a_field_that_is_not_known_is_named(double: StripeDouble, manager: Program) -> None:
    answer = manager("post", "api_top_ups", {"amount_cents": 2500, "currency": "eur"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "currency")
    assert not TopUp.objects.exists()


@pytest.mark.parametrize("amount", [499, 1_000_001, -5, "2500", 2500.0, None, True, 10**30])
def test_an_amount_that_is_none_is_named(
    double: StripeDouble, manager: Program, amount: object
) -> None:
    answer = begin(manager, amount)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "amount_cents")
    assert not TopUp.objects.exists()


def test_without_stripe_it_says_so(manager: Program) -> None:
    answer = begin(manager)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "payments_not_set_up")
    assert not TopUp.objects.exists()


def test_with_stripe_away_it_says_when_to_try_again(double: StripeDouble, manager: Program) -> None:
    double.down = True
    answer = begin(manager)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")
    assert answer["Retry-After"] == "5"


def test_where_stripe_refuses_trying_again_is_not_advised(
    double: StripeDouble, manager: Program, settings: Settings
) -> None:
    settings.STRIPE_SECRET_KEY = "sk_test_of_nobody"
    answer = begin(manager)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "payments_refused")
    assert "Retry-After" not in answer


def test_another_organisations_top_ups_are_not_found(
    double: StripeDouble, manager: Program, stranger: Program
) -> None:
    begun = begin(manager, key="a").json()
    assert stranger("get", "api_top_up", args=[begun["id"]]).status_code == 404
    assert stranger("get", "api_top_up", args=["tup_none"]).status_code == 404
    assert stranger("get", "api_top_ups").json()["results"] == []
    assert begin(stranger, key="a").json()["id"] != begun["id"]  # keys are each one's own


def test_who_pays_is_an_owner_when_the_keys_maker_is_gone(
    double: StripeDouble, manager: Program, organisation: Organisation
) -> None:
    ApiKey.objects.update(created_by=None)
    assert begin(manager).status_code == 201
    assert TopUp.objects.get().created_by == "alice@example.com"


def test_it_needs_a_management_key(api_key: tuple[ApiKey, str], charlie: User) -> None:
    for name, args in (("api_top_ups", []), ("api_top_up", ["tup_1"])):
        assert Client().get(reverse(name, args=args)).status_code == 401
        assert Program(api_key[1])("get", name, args=args).status_code == 403
    assert begin(Program(api_key[1])).status_code == 403


def test_what_is_not_offered_is_refused(manager: Program) -> None:
    assert manager("delete", "api_top_ups").status_code == 405
    assert manager("delete", "api_top_up", args=["tup_1"]).status_code == 405
