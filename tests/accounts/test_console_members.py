"""Members in the operator's console: added, changed, removed, and never the last owner."""

import pytest
from django.db import connection
from django.http import HttpResponseBase
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Membership, Organisation, Role, User
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Client:
    return signed_in(User.objects.create_superuser("boss@example.com"))


@pytest.mark.parametrize("change", ["role", "delete", "delete_selected"])
def test_no_organisation_loses_its_last_owner(
    operator: Client, organisation: Organisation, alice: User, change: str
) -> None:
    membership = organisation.memberships.get(user=alice)
    page = reverse("admin:accounts_membership_change", args=[membership.pk])

    def make() -> HttpResponseBase:
        if change == "role":
            return operator.post(page, {"role": Role.VIEWER})
        if change == "delete":
            one = reverse("admin:accounts_membership_delete", args=[membership.pk])
            return operator.post(one, {"post": "yes"})
        every = {"action": change, "_selected_action": [membership.pk], "post": "yes"}
        return operator.post(reverse("admin:accounts_membership_changelist"), every)

    assert operator.post(page, {"role": Role.OWNER}).status_code == 302, "nothing is changed"
    answer = make()
    assert answer.status_code == 200
    assert "An organisation needs an owner" in answer.content.decode()
    assert organisation.memberships.get(user=alice).role == Role.OWNER
    other = User.objects.create_user("dora@example.com")
    organisation.memberships.create(user=other, role=Role.OWNER)
    assert make().status_code == 302
    assert [each.user for each in organisation.memberships.filter(role=Role.OWNER)] == [other]


def test_a_member_is_added_and_stays_who_it_is(
    operator: Client, organisation: Organisation, bob: User
) -> None:
    dora = User.objects.create_user("dora@example.com")
    body = {"organisation": organisation.pk, "user": dora.pk, "role": Role.VIEWER}
    assert operator.post(reverse("admin:accounts_membership_add"), body).status_code == 302
    membership = organisation.memberships.get(user=dora)
    page = reverse("admin:accounts_membership_change", args=[membership.pk])
    assert operator.post(page, {"user": bob.pk, "role": Role.ADMIN}).status_code == 302
    membership.refresh_from_db()
    assert (membership.user, membership.role) == (dora, Role.ADMIN)
    assert operator.post(page, {"role": "emperor"}).status_code == 200, "there is no such role"
    membership.refresh_from_db()
    assert membership.role == Role.ADMIN


@pytest.mark.parametrize("page", ["organisation_change", "membership_changelist"])
def test_a_customer_with_hundreds_of_members_costs_no_more_queries(
    page: str, operator: Client, organisation: Organisation
) -> None:
    of_one = [organisation.pk] if page.endswith("change") else []
    address = reverse(f"admin:accounts_{page}", args=of_one)

    def num_queries() -> int:
        operator.get(address)
        with CaptureQueriesContext(connection) as asked:
            assert operator.get(address).status_code == 200
        return len(asked)

    before = num_queries()
    people = [User(email=f"member{number}@example.com") for number in range(300)]
    User.objects.bulk_create(people)
    Membership.objects.bulk_create(
        Membership(organisation=organisation, user=user, role=Role.VIEWER)
        for user in User.objects.filter(email__startswith="member")
    )
    assert num_queries() == before


def test_a_persons_page_leads_to_their_organisations(
    operator: Client, organisation: Organisation, alice: User, bob: User
) -> None:
    page = operator.get(reverse("admin:accounts_user_change", args=[alice.pk])).content.decode()
    address = reverse("admin:accounts_membership_changelist") + "?q=alice%40example.com"
    assert f'href="{address}"' in page
    found = operator.get(address).context["cl"].result_list
    assert [(each.user, each.organisation) for each in found] == [(alice, organisation)]
