"""What happens once happens once, however many ask at the same moment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from accounts import flows, mail, operators
from accounts.models import ApiKey, Membership, Organisation, OutgoingMail, Role, User
from billing import ledger
from portal.lib.money import NANOS_PER_DOLLAR
from tests.at_once import at_once, num_refused
from tests.databases import migrated_postgres
from tests.environment import REPOSITORY

pytestmark = pytest.mark.django_db(transaction=True)
AT_ONCE = 6


def test_a_user_gets_one_organisation_and_one_credit() -> None:
    user = User.objects.create_user("new@example.com")
    at_once(AT_ONCE, lambda _: flows.ensure_organisation(user))
    organisation = user.memberships.get().organisation
    assert ledger.balance(organisation.id).posted_nanos == 5 * NANOS_PER_DOLLAR


def test_an_invitation_makes_one_member(
    organisation: Organisation, alice: User, charlie: User
) -> None:
    _invitation, token = flows.invite(organisation, alice, charlie.email, Role.VIEWER)
    results = at_once(AT_ONCE, lambda _: flows.accept_invitation(token, charlie))
    assert num_refused(results) == AT_ONCE - 1
    assert organisation.memberships.filter(user=charlie).count() == 1


def test_an_operator_link_signs_in_once() -> None:
    link = operators.make_link()
    token = link.rstrip("/").rsplit("/", 1)[1]
    results = at_once(AT_ONCE, lambda _: operators.use_link(token))
    assert [user for user in results if user is not None] == [User.objects.get()]


def test_a_key_has_one_successor(api_key: tuple[ApiKey, str], alice: User) -> None:
    results = at_once(AT_ONCE, lambda _: flows.rotate_key(api_key[0], alice))
    assert num_refused(results) == AT_ONCE - 1
    assert ApiKey.objects.count() == 2


def test_one_of_many_owners_stays(organisation: Organisation) -> None:
    for number in range(AT_ONCE - 1):
        user = User.objects.create_user(f"owner{number}@example.com")
        Membership.objects.create(organisation=organisation, user=user, role=Role.OWNER)
    owners = list(organisation.memberships.all())
    results = at_once(AT_ONCE, lambda number: flows.remove_member(owners[number]))
    assert num_refused(results) == 1
    assert organisation.memberships.get().role == Role.OWNER


@pytest.mark.slow
@pytest.mark.services
def test_owners_who_demote_each_other_do_not_wait_in_a_circle(tmp_path: Path) -> None:
    """PostgreSQL locks rows: of two who each wait for the other, one would meet an error."""
    with migrated_postgres() as address:
        done = subprocess.run(
            [sys.executable, "-m", "tests.accounts.race"], cwd=REPOSITORY,
            env={**os.environ, "DATA_DIR": str(tmp_path), "DATABASE_URL": address},
            capture_output=True, text=True, timeout=180,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_mail_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    transport = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr(f"{transport}.send_messages", lambda _self, mails: sent.extend(mails))
    monkeypatch.setattr("django.conf.settings.MAIL_TRANSPORT", transport)
    row = OutgoingMail.objects.create(subject="s", sender="a@b.co", recipients=["c@d.co"], text="t")
    results = at_once(AT_ONCE, lambda _: mail.deliver(row.pk))
    assert results.count(True) == 1
    assert len(sent) == 1
