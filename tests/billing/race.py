"""Two hundred threads race for credit, a credit line or a cap that is enough for twenty of them.

Then one more charge is made by a clock that is a year ahead, and one after it was set right.

Run by test_ledger_race in a process of its own.
Usage: python -m tests.billing.race  (with DATABASE_URL or DATA_DIR set; migrates first)
"""

import os
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import django
import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts import flows  # noqa: E402
from accounts.models import User  # noqa: E402
from billing import ledger, ledger_payments  # noqa: E402
from billing.audit import audit  # noqa: E402
from billing.models import Account, KeySpend  # noqa: E402
from tests.at_once import at_once  # noqa: E402
from tests.billing.money import account_of, context, draft  # noqa: E402
from tests.billing.rules import broken  # noqa: E402

THREADS = 200
AMOUNT = 1000
PAYS_FOR = 20


def main() -> None:
    call_command("migrate", verbosity=0)
    for short in ("credit", "credit line", "cap of the organisation", "cap of the key"):
        race(short)
    charge_by_a_wrong_clock()
    assert not [finding for finding in audit() if finding.value]
    # These drafts cost what the race wants, not what their tokens do.
    assert not [query for query in broken() if "AS whole" not in query]


def race(short: str) -> None:
    """Of one thing there is enough for twenty."""
    enough = AMOUNT * PAYS_FOR
    user = User.objects.create_user(f"{len(short)}@example.com")
    organisation_id = flows.create_organisation(user, "Race", welcome=False).id
    if short == "credit line":
        ledger_payments.set_credit_line(organisation_id, enough)
    else:
        credit = enough if short == "credit" else 2 * enough
        ledger.grant(organisation_id, credit, reference=f"grant:{short}", description="")
    ledger.set_monthly_cap(
        organisation_id, enough if short == "cap of the organisation" else 2 * enough
    )
    key_cap = enough if short == "cap of the key" else 2 * enough
    options = {"api_key_id": uuid4(), "monthly_cap_nanos": key_cap, "context": context()}

    def compete(number: int) -> str:
        request_id = f"{short} {number}"
        try:
            ledger.open_hold(request_id, organisation_id, AMOUNT, owner="race", **options)
        except ledger.InsufficientCredit:
            return "credit"
        except ledger.CapReached as reached:
            return f"cap of the {reached.whose}"
        ledger.settle(request_id, draft(AMOUNT if number % 2 else AMOUNT - 1))
        return "held"

    outcomes = Counter(at_once(THREADS, compete))
    account = account_of(organisation_id)
    refused = "credit" if short == "credit line" else short
    assert outcomes == {"held": PAYS_FOR, refused: THREADS - PAYS_FOR}, outcomes
    assert account.debits_posted <= enough
    assert account.debits_pending == 0
    print(f"{short}: {outcomes['held']} held, {outcomes[refused]} refused")


def charge_by_a_wrong_clock() -> None:
    """To the last organisation that raced, with its key."""
    account = Account.objects.exclude(organisation=None).latest("pk")
    organisation_id = account.organisation_id or ""
    ledger.set_monthly_cap(organisation_id, None)
    key_id = KeySpend.objects.latest("pk").api_key_id
    now = timezone.now()
    for request_id, moment in (("ahead", now + timedelta(days=366)), ("right", now)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timezone, "now", lambda moment=moment: moment)
            ledger.open_hold(
                request_id, organisation_id, 1, owner="race", api_key_id=key_id, context=context()
            )
            ledger.settle(request_id, draft(1))
    account.refresh_from_db()
    assert account.spent_nanos == account.debits_posted - 1, "all but what was ahead"


if __name__ == "__main__":
    main()
