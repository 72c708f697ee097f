"""Workers that all do the same at once: charge a card, refund a payment, hear of a dispute, tell
Stripe of usage, hear of an invoice, change alerts, delete an organisation.

Usage: python -m tests.billing.race_payments  (with DATABASE_URL or DATA_DIR set; migrates first)
"""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402

from accounts import flows  # noqa: E402
from accounts.models import Organisation, User  # noqa: E402
from billing import (  # noqa: E402
    alert_settings,
    autotopup,
    closing,
    customers,
    disputes,
    invoices,
    ledger,
    postpaid,
    refunds,
)
from billing.audit import audit  # noqa: E402
from billing.models import Closing, PostPaid, TopUp  # noqa: E402
from portal.lib.money import NANOS_PER_CENT, NANOS_PER_DOLLAR  # noqa: E402
from portal.lib.sealing import unseal  # noqa: E402
from tests.at_once import at_once, num_refused  # noqa: E402
from tests.billing.money import draft, hold  # noqa: E402
from tests.billing.stripe_double import (  # noqa: E402
    SECRET_KEY,
    WEBHOOK_SECRET,
    StripeDouble,
    stripe_double,
    subscriptions,
)

WORKERS = 16


def main() -> None:
    call_command("migrate", verbosity=0)
    user = User.objects.create_user("race@example.com")
    organisation = flows.create_organisation(user, "Race", welcome=False)
    with stripe_double() as double:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = SECRET_KEY, WEBHOOK_SECRET
        settings.STRIPE_API_BASE = double.url
        compete(organisation, double)
        compete_later(organisation, double)
        compete_for_alerts(organisation)
        compete_for_the_end(organisation, double)
    assert not [finding for finding in audit() if finding.value]
    print("one charge, one refund, one dispute, one batch, one invoice, one end")


def compete(organisation: Organisation, double: StripeDouble) -> None:
    assert num_refused(at_once(WORKERS, lambda _number: customers.customer_of(organisation))) == 0
    [customer] = double.all("customer")
    card = double.save_card(customer["id"])
    customer["invoice_settings"]["default_payment_method"] = card["id"]
    customers.refresh(customer["id"])

    autotopup.turn_on(organisation, 1000, 2500, 10_000, "race@example.com")
    assert num_refused(at_once(WORKERS, lambda _number: autotopup.run())) == 0
    assert [each["amount_received"] for each in double.all("payment_intent")] == [2500]
    autotopup.turn_off(organisation)

    first = TopUp.objects.get()
    asked = at_once(WORKERS, lambda number: refunds.ask(first, f"form{number}", "race@example.com"))
    assert num_refused(asked) == WORKERS - 1
    assert [each["amount"] for each in double.all("refund")] == [2500]

    autotopup.turn_on(organisation, 1000, 2500, 10_000, "race@example.com")
    autotopup.run()
    second = TopUp.objects.exclude(pk=first.pk).get()
    dispute = double.dispute(second.payment_intent_id or "")
    assert num_refused(at_once(WORKERS, lambda _number: disputes.hear(dispute["id"]))) == 0
    assert ledger.balance(organisation.id).posted_nanos == 0
    double.close_dispute(dispute["id"], won=True)
    assert num_refused(at_once(WORKERS, lambda _number: disputes.hear(dispute["id"]))) == 0
    assert ledger.balance(organisation.id).posted_nanos == 2500 * NANOS_PER_CENT


def compete_later(organisation: Organisation, double: StripeDouble) -> None:
    """With 25 dollars of credit, 30 are used: five are told once, and paid once."""
    postpaid.turn_on(organisation, 100 * NANOS_PER_DOLLAR, "race@example.com")
    hold("later", organisation.id, 30 * NANOS_PER_DOLLAR)
    ledger.settle("later", draft(30 * NANOS_PER_DOLLAR))
    assert num_refused(at_once(WORKERS, lambda _number: postpaid.run())) == 0
    told = [each["payload"]["value"] for each in double.all("billing.meter_event")]
    assert told == [str(5 * NANOS_PER_DOLLAR)]
    [subscription] = double.all("subscription")
    invoice = subscriptions.invoice(double, subscription["id"])
    assert num_refused(at_once(WORKERS, lambda _number: invoices.hear_paid(invoice["id"]))) == 0
    assert ledger.balance(organisation.id).posted_nanos == 0
    assert PostPaid.objects.get().settled_nanos == 5 * NANOS_PER_DOLLAR


def compete_for_alerts(organisation: Organisation) -> None:
    """One makes a new secret while others save the form beside it: the new one stays."""
    alert_settings.change(organisation, webhook_url="https://example.com/", by_mail=False)

    def work(number: int) -> str | None:
        if number == WORKERS // 2:
            return alert_settings.new_secret(organisation)
        return alert_settings.change(organisation, low_balance_nanos=1 + number)

    for _again in range(10):
        [secret] = [each for each in at_once(WORKERS, work) if each is not None]
        kept = alert_settings.read(organisation).webhook_secret or b""
        assert unseal(kept, f"alert-webhook:{organisation.id}").decode() == secret
    alert_settings.change(organisation, webhook_url="", low_balance_nanos=None)


def compete_for_the_end(organisation: Organisation, double: StripeDouble) -> None:
    """What is unused of the payments goes back once, the rest is given up once, and all is gone."""
    autotopup.turn_on(organisation, 1000, 2500, 10_000, "race@example.com")
    autotopup.run()
    # Of two payments, all of one and a part of the other.
    more = 2 * NANOS_PER_DOLLAR + 5
    ledger.grant(organisation.id, more, reference="grant:end", description="")
    before = len(double.all("refund"))
    made = Closing.objects.create(organisation=organisation, requested_by="race@example.com")
    flows.suspend(organisation)
    assert num_refused(at_once(WORKERS, lambda _number: closing.finish(made))) == 0
    made.refresh_from_db()
    newest = double.all("refund")[: len(double.all("refund")) - before]
    sent = sum(each["amount"] for each in newest)
    assert (sent, made.given_up_nanos, made.finished_at is None) == (2700, 5, False)
    assert ledger.balance(organisation.id).posted_nanos == 0
    organisation.refresh_from_db()
    assert organisation.deleted_at is not None


if __name__ == "__main__":
    main()
