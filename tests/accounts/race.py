"""Owners of one organisation make each other viewers at the same moment, and one stays.

Run by test_races in a process of its own.
Usage: python -m tests.accounts.race  (with DATABASE_URL set, migrated)
"""

import os
import threading
from collections import Counter

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from django.db import connection  # noqa: E402

from accounts import flows  # noqa: E402
from accounts.models import Membership, Role, User  # noqa: E402

OWNERS = 6


def main() -> None:
    people = [User.objects.create_user(f"owner{number}@example.com") for number in range(OWNERS)]
    organisation = flows.create_organisation(people[0], "Race", welcome=False)
    for user in people[1:]:
        Membership.objects.create(organisation=organisation, user=user, role=Role.OWNER)
    barrier = threading.Barrier(OWNERS)
    outcomes: Counter[str] = Counter()

    def demote(owner: Membership) -> None:
        barrier.wait()
        try:
            flows.change_role(owner, Role.VIEWER)
            outcomes["demoted"] += 1
        except Exception as error:
            outcomes[str(error)] += 1
        finally:
            connection.close()

    threads = [
        threading.Thread(target=demote, args=(owner,)) for owner in organisation.memberships.all()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {"demoted": OWNERS - 1, str(flows.WITHOUT_OWNER): 1}
    assert outcomes == expected, outcomes
    assert organisation.memberships.filter(role=Role.OWNER).count() == 1


if __name__ == "__main__":
    main()
