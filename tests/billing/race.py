"""Two hundred threads race for credit, a credit line or a cap that is enough for twenty of them.

Run by test_ledger_race in a process of its own.
Usage: python -m tests.billing.race  (with DATABASE_URL or DATA_DIR set; migrates first)
"""

import os
import threading
from collections import Counter
from uuid import uuid4

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from accounts import flows  # noqa: E402
from accounts.models import User  # noqa: E402
from billing import ledger, ledger_payments  # noqa: E402
from billing.audit import audit  # noqa: E402
from tests.billing.money import account_of, context, draft  # noqa: E402
from tests.billing.rules import broken  # noqa: E402

THREADS = 200
AMOUNT = 1000
PAYS_FOR = 20


def main() -> None:
    call_command("migrate", verbosity=0)
    for short in ("credit", "credit line", "cap of the organisation", "cap of the key"):
        race(short)
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
    barrier = threading.Barrier(THREADS)
    outcomes: Counter[str] = Counter()

    def compete(number: int) -> None:
        request_id = f"{short} {number}"
        barrier.wait()
        try:
            ledger.open_hold(request_id, organisation_id, AMOUNT, owner="race", **options)
        except ledger.InsufficientCredit:
            outcomes["credit"] += 1
            return
        except ledger.CapReached as reached:
            outcomes[f"cap of the {reached.whose}"] += 1
            return
        except Exception as error:
            outcomes[repr(error)] += 1
            return
        finally:
            connection.close()
        outcomes["held"] += 1
        ledger.settle(request_id, draft(AMOUNT if number % 2 else AMOUNT - 1))
        connection.close()

    threads = [threading.Thread(target=compete, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    account = account_of(organisation_id)
    refused = "credit" if short == "credit line" else short
    assert outcomes == {"held": PAYS_FOR, refused: THREADS - PAYS_FOR}, outcomes
    assert account.debits_posted <= enough
    assert account.debits_pending == 0
    print(f"{short}: {outcomes['held']} held, {outcomes[refused]} refused")


if __name__ == "__main__":
    main()
