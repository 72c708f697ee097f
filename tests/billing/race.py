"""Two hundred threads race for credit that pays for twenty; run by test_ledger_race in a process.

Usage: python -m tests.billing.race  (with DATABASE_URL or DATA_DIR set; migrates first)
"""

import os
import threading
from collections import Counter

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from accounts import flows  # noqa: E402
from accounts.models import User  # noqa: E402
from billing import ledger  # noqa: E402
from billing.audit import audit  # noqa: E402
from tests.billing.money import account_of, context, draft  # noqa: E402

THREADS = 200
AMOUNT = 1000
PAYS_FOR = 20


def main() -> None:
    call_command("migrate", verbosity=0)
    user = User.objects.create_user("race@example.com")
    organisation_id = flows.create_organisation(user, "Race", welcome=False).id
    ledger.grant(organisation_id, AMOUNT * PAYS_FOR, reference="grant:race", description="")
    shared_context = context()
    barrier = threading.Barrier(THREADS)
    outcomes: Counter[str] = Counter()

    def compete(number: int) -> None:
        barrier.wait()
        try:
            ledger.open_hold(
                f"r{number}", organisation_id, AMOUNT, owner="race", context=shared_context
            )
        except ledger.InsufficientCredit:
            outcomes["refused"] += 1
            return
        except Exception as error:
            outcomes[repr(error)] += 1
            return
        finally:
            connection.close()
        outcomes["held"] += 1
        ledger.settle(f"r{number}", draft(AMOUNT if number % 2 else AMOUNT - 1))
        connection.close()

    threads = [threading.Thread(target=compete, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    account = account_of(organisation_id)
    assert outcomes.keys() <= {"held", "refused"}, outcomes
    assert outcomes["held"] == PAYS_FOR, outcomes
    assert account.debits_posted <= AMOUNT * PAYS_FOR
    assert account.debits_pending == 0
    assert not [finding for finding in audit() if finding.value]
    print(f"{outcomes['held']} held, {outcomes['refused']} refused")


if __name__ == "__main__":
    main()
