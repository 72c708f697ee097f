"""Automatic top-up and refunds through the management API: as on the page, and nobody else's."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Organisation
from billing import topups
from billing.models import AutoTopUp, Refund, StripeCustomer, TopUp
from tests.billing.money import audit_is_clean
from tests.billing.payments import TEN, balance
from tests.billing.stripe_double import StripeDouble
from tests.management import Program

WISHES = {"enabled": True, "threshold_cents": 500, "amount_cents": 2500, "ceiling_cents": 10_000}


@pytest.fixture
def card(organisation: Organisation) -> None:
    StripeCustomer.objects.create(
        organisation=organisation, customer_id="cus_1", payment_method_id="pm_1"
    )


@pytest.fixture
def paid(double: StripeDouble, manager: Program) -> str:
    begun = manager("post", "api_top_ups", {"amount_cents": 2500}).json()
    [session_id] = double.sessions
    double.pay(session_id)
    topups.credit(topups.stripe_api.fetch_checkout(session_id))
    return str(begun["id"])


def auto(program: Program, wishes: Any = None) -> Any:
    return program("patch" if wishes is not None else "get", "api_auto_top_up", wishes)


def test_it_is_turned_on_changed_and_turned_off(
    manager: Program, organisation: Organisation, card: None
) -> None:
    before = auto(manager).json()
    assert (before["enabled"], before["state"], before["has_card"]) == (False, "off", True)
    assert auto(manager, WISHES).json() == {
        **WISHES, "state": "active", "charged_cents": 0, "has_card": True,
    }  # fmt: skip
    assert AutoTopUp.objects.get().set_by == "alice@example.com"
    assert auto(manager, {"threshold_cents": 700}).json()["threshold_cents"] == 700
    assert auto(manager, {"enabled": False}).json()["state"] == "off"


def test_without_a_card_it_is_a_conflict(manager: Program, organisation: Organisation) -> None:
    answer = auto(manager, WISHES)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_saved_card")


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ({"amount_cents": 1}, "amount_cents"), ({"threshold_cents": "500"}, "threshold_cents"),
        ({"ceiling_cents": 600, }, "ceiling_cents"), ({"card": "pm_x"}, "card"),
        ({"enabled": False, "amount_cents": 500}, "amount_cents"),
    ],
)  # fmt: skip
def test_bad_input_is_named(
    manager: Program, card: None, wishes: dict[str, Any], named: str
) -> None:
    answer = auto(manager, {"enabled": True, **wishes})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, named)
    assert not AutoTopUp.objects.exists()


def refund(program: Program, top_up_id: str, key: str = "once") -> Any:
    headers = {**program.headers, "Idempotency-Key": key}
    return Client().post(reverse("api_refund", args=[top_up_id]), headers=headers)


def test_what_is_unused_goes_back_once(
    double: StripeDouble, manager: Program, organisation: Organisation, paid: str
) -> None:
    first, again = refund(manager, paid), refund(manager, paid)
    assert (first.status_code, first.json()["amount_cents"]) == (201, 2500)
    assert again.json()["id"] == first.json()["id"]
    assert manager("get", "api_refunds").json()["results"] == [again.json()]
    refused = refund(manager, paid, "other")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "nothing_to_refund")
    assert [each["amount"] for each in double.all("refund")] == [2500]
    assert balance(organisation) == TEN
    audit_is_clean()


def test_somebody_elses_payment_is_not_found(
    double: StripeDouble, stranger: Program, paid: str
) -> None:
    assert refund(stranger, paid).status_code == 404
    assert stranger("get", "api_refunds").json()["results"] == []
    assert not Refund.objects.exists()
    assert TopUp.objects.get().refunded_cents == 0
