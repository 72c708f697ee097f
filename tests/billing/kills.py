"""`kill -9` at every write and commit of every verb that moves money, and what follows.

Run by test_kills in a process of its own, which forks: each child is killed one step later than the
one before it, until one comes to its end. After each the work is done again, as by the next worker,
twice, and the ledger is audited and compared with Stripe.

Usage: python -m tests.billing.kills [CASE…]  (with DATABASE_URL or DATA_DIR set; migrates first)
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, connections  # noqa: E402

from accounts import flows  # noqa: E402
from accounts.models import Organisation, User  # noqa: E402
from billing import (  # noqa: E402
    autotopup,
    closing,
    customers,
    hold_rows,
    ledger,
    postpaid,
    refunds,
    topups,
    webhooks,
)
from billing.audit import audit  # noqa: E402
from billing.models import (  # noqa: E402
    Closing,
    Hold,
    PostPaid,
    StripeCustomer,
    TopUp,
    WebhookDelivery,
)
from portal.lib.money import NANOS_PER_CENT, NANOS_PER_DOLLAR  # noqa: E402
from tests.billing.money import draft, hold  # noqa: E402
from tests.billing.payments import make_plan  # noqa: E402
from tests.billing.stripe_double import (  # noqa: E402
    SECRET_KEY,
    WEBHOOK_SECRET,
    StripeDouble,
    stripe_double,
    subscriptions,
)

CENT, DOLLAR = NANOS_PER_CENT, NANOS_PER_DOLLAR
Work = Callable[[], object]


@dataclass
class Case:
    """Work that may be killed, what the next worker does, and what is true in the end."""

    work: Work
    again: Work
    posted_nanos: int  # the balance in the end


class Site:
    """Organisations, one a case, at one stand-in for Stripe."""

    def __init__(self, double: StripeDouble) -> None:
        self.double = double
        self.numbers = count()
        self.operator = User.objects.create_user("kills@example.com")

    def organisation(self, dollars: int = 0) -> Organisation:
        made = flows.create_organisation(self.operator, "Kills", welcome=False)
        if dollars:
            ledger.grant(made.pk, dollars * DOLLAR, reference=f"grant:{made.pk}", description="")
        return made

    def with_card(self, dollars: int = 0) -> Organisation:
        made = self.organisation(dollars)
        customer_id = customers.customer_of(made).customer_id
        card = self.double.save_card(customer_id)
        customer = self.double.get("customer", customer_id)
        customer["invoice_settings"]["default_payment_method"] = card["id"]
        customers.refresh(customer_id)
        return made

    def paid(self) -> TopUp:
        """Twenty-five dollars, credited."""
        autotopup.turn_on(made := self.with_card(), 1000, 2500, 10_000, "kills@example.com")
        autotopup.run()
        autotopup.turn_off(made)
        return TopUp.objects.get(organisation=made)

    def delivery(self, kind: str) -> int:
        """The latest event of a kind, stored."""
        event = next(each for each in reversed(self.double.events) if each["type"] == kind)
        stored, _created = WebhookDelivery.objects.get_or_create(
            event_id=event["id"], defaults={"event_type": kind, "payload": json.dumps(event)}
        )
        return stored.pk

    def hearing(self, kind: str, posted_nanos: int) -> Case:
        delivery_id = self.delivery(kind)
        hear = lambda: webhooks.process(delivery_id)  # noqa: E731
        return Case(hear, hear, posted_nanos)


# --- Requests ------------------------------------------------------------------------------------


def a_hold(site: Site) -> Case:
    organisation = site.organisation(10)
    request_id = f"hold {next(site.numbers)}"
    return Case(lambda: hold(request_id, organisation.pk, DOLLAR), sweep, 10 * DOLLAR)


def an_extension(site: Site) -> Case:
    organisation = site.organisation(10)
    request_id = f"extension {next(site.numbers)}"
    hold(request_id, organisation.pk, DOLLAR)
    return Case(lambda: ledger.extend_hold(request_id, DOLLAR), sweep, 10 * DOLLAR)


def a_settling(site: Site) -> Case:
    organisation = site.organisation(10)
    request_id = f"settling {next(site.numbers)}"
    hold(request_id, organisation.pk, 2 * DOLLAR)
    settle = lambda: ledger.settle(request_id, draft(DOLLAR))  # noqa: E731
    return Case(settle, settle, 9 * DOLLAR)


def a_sweep(site: Site) -> Case:
    organisation = site.organisation(10)
    hold(f"sweep {next(site.numbers)}", organisation.pk, DOLLAR)
    return Case(sweep, sweep, 10 * DOLLAR)


def sweep() -> None:
    Hold.objects.update(lease=0)
    ledger.sweep()


# --- Payments ------------------------------------------------------------------------------------


def a_payment_page(site: Site) -> Case:
    organisation = site.organisation()
    top_up = topups.begin(organisation, 2500, "form", "kills@example.com")
    site.double.pay(top_up.checkout_session_id or "")
    return site.hearing("checkout.session.completed", 25 * DOLLAR)


def an_automatic_top_up(site: Site) -> Case:
    autotopup.turn_on(site.with_card(), 1000, 2500, 2500, "kills@example.com")
    return Case(autotopup.run, autotopup.run, 25 * DOLLAR)


def a_refund(site: Site) -> Case:
    top_up = site.paid()
    ask = lambda: refunds.ask(top_up, "form", "kills@example.com")  # noqa: E731
    return Case(ask, ask, 0)


def a_refund_from_the_dashboard(site: Site) -> Case:
    site.double.refund(site.paid().payment_intent_id or "", 700)
    return site.hearing("refund.created", 18 * DOLLAR)


def a_refund_that_failed(site: Site) -> Case:
    top_up = site.paid()
    refund = refunds.ask(top_up, "form", "kills@example.com")
    site.double.fail_refund(refund.stripe_refund_id or "")
    return site.hearing("refund.failed", 25 * DOLLAR)


def a_dispute(site: Site) -> Case:
    site.double.dispute(site.paid().payment_intent_id or "")
    return site.hearing("charge.dispute.created", 0)


def a_dispute_that_was_won(site: Site) -> Case:
    dispute = site.double.dispute(site.paid().payment_intent_id or "")
    webhooks.process(site.delivery("charge.dispute.created"))
    site.double.close_dispute(dispute["id"], won=True)
    return site.hearing("charge.dispute.closed", 25 * DOLLAR)


# --- Later, and in the end -----------------------------------------------------------------------


def a_plans_invoice(site: Site) -> Case:
    plan = make_plan(site.double)
    customer_id = StripeCustomer.objects.get(pk=site.with_card().pk).customer_id
    items = [{"price": plan.stripe_price_id}]
    subscriptions.begin(site.double, {"customer": customer_id, "items": items})
    return site.hearing("invoice.paid", 22 * DOLLAR)


def usage_told(site: Site) -> Case:
    organisation = site.with_card()
    postpaid.turn_on(organisation, 100 * DOLLAR, "kills@example.com")
    request_id = f"told {next(site.numbers)}"
    hold(request_id, organisation.pk, 5 * DOLLAR)
    ledger.settle(request_id, draft(5 * DOLLAR))
    # The run itself commits once for each organisation before it, so it would have no last step.
    tell = lambda: postpaid.tell(PostPaid.objects.get(pk=organisation.pk))  # noqa: E731
    return Case(tell, postpaid.run, -5 * DOLLAR)


def an_invoice_of_usage(site: Site) -> Case:
    usage_told(site).work()
    subscriptions.invoice(site.double, site.double.all("subscription")[0]["id"])
    return site.hearing("invoice.paid", 0)


def a_deletion(site: Site) -> Case:
    organisation = site.paid().organisation
    ledger.grant(organisation.pk, 5, reference=f"grant:{organisation.pk}", description="")
    Closing.objects.create(organisation=organisation, requested_by="kills@example.com")
    flows.suspend(organisation)
    return Case(closing.run, closing.run, 0)


CASES = [
    a_hold, an_extension, a_settling, a_sweep, a_payment_page, an_automatic_top_up, a_refund,
    a_refund_from_the_dashboard, a_refund_that_failed, a_dispute, a_dispute_that_was_won,
    a_plans_invoice, usage_told, an_invoice_of_usage, a_deletion,
]  # fmt: skip


ALL = [each.__name__ for each in CASES]


# --- Killing -------------------------------------------------------------------------------------


def main() -> None:
    call_command("migrate", verbosity=0)
    with stripe_double() as double:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = SECRET_KEY, WEBHOOK_SECRET
        settings.STRIPE_API_BASE = double.url
        site = Site(double)
        for prepare in [each for each in CASES if each.__name__ in (sys.argv[1:] or ALL)]:
            print(f"{prepare.__name__}: killed {kill_everywhere(site, prepare)} times")


def kill_everywhere(site: Site, prepare: Callable[[Site], Case]) -> int:
    for step in count(1):
        case = prepare(site)
        organisation = Organisation.objects.latest("created_at")
        killed = killed_at(step, case.work)
        for _ in range(2):
            case.again()
        posted = ledger.balance(organisation.pk).posted_nanos
        assert posted == case.posted_nanos, f"{prepare.__name__}, step {step}: {posted}"
        found = {each.code: each.value for each in audit() if each.value}
        assert not found, f"{prepare.__name__}, step {step}: {found}"
        assert_taken_once(site.double)
        if not killed:
            return step - 1
    raise AssertionError


def killed_at(step: int, work: Work) -> bool:
    """Fork a child that is killed before its `step`; False when it came to its end."""
    connections.close_all()
    if connection.vendor == "postgresql":
        connection.close_pool()  # what lies in it would be the child's, too
    child = os.fork()
    if child == 0:
        # Nothing of the parent may be unwound here: its threads are not in this process.
        try:
            kill_before(step)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0, "the child failed by itself"
    return os.WIFSIGNALED(status)


def kill_before(step: int) -> None:
    """From now on: before the write or commit of this number."""
    steps = count(1)

    def executing(execute: Callable[..., Any], sql: str, *more: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE", "COMMIT")) and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(sql, *more)

    # A hold's rows go to the driver, past Django's wrappers.
    to_driver = hold_rows._execute
    hold_rows._execute = lambda sql, values: executing(to_driver, sql, values)
    commit = connection._commit
    connection.execute_wrappers.append(executing)
    connection._commit = lambda: executing(lambda _sql: commit(), "COMMIT")


def assert_taken_once(double: StripeDouble) -> None:
    """Stripe took and gave what the ledger has, each once."""
    intents = [each for each in double.all("payment_intent") if each["status"] == "succeeded"]
    known = {each.payment_intent_id: each for each in TopUp.objects.filter(state="paid")}
    assert {each["id"] for each in intents} == known.keys()
    for each in intents:
        went_back = [
            refund["amount"] for refund in double.all("refund")
            if refund["payment_intent"] == each["id"] and refund["status"] == "succeeded"
        ]  # fmt: skip
        assert sum(went_back) == known[each["id"]].refunded_cents
    events = [each["identifier"] for each in double.all("billing.meter_event")]
    assert len(events) == len(set(events))


if __name__ == "__main__":
    main()
