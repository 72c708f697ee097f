"""Owners of one organisation make each other viewers at the same moment, and one stays.

Run by test_races in a process of its own.
Usage: python -m tests.accounts.race  (with DATABASE_URL set, migrated)
"""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from accounts import flows  # noqa: E402
from accounts.models import Membership, Role, User  # noqa: E402
from tests.at_once import at_once  # noqa: E402

OWNERS = 6


def main() -> None:
    people = [User.objects.create_user(f"owner{number}@example.com") for number in range(OWNERS)]
    organisation = flows.create_organisation(people[0], "Race", welcome=False)
    for user in people[1:]:
        Membership.objects.create(organisation=organisation, user=user, role=Role.OWNER)
    owners = list(organisation.memberships.all())
    asked = at_once(OWNERS, lambda number: flows.change_role(owners[number], Role.VIEWER))
    [refusal] = [each for each in asked if each is not None]
    assert str(refusal) == str(flows.WITHOUT_OWNER)
    assert organisation.memberships.filter(role=Role.OWNER).count() == 1


if __name__ == "__main__":
    main()
