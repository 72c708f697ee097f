"""What people make has an end: keys, invitations, addresses; said in words, and at once as well."""

import contextlib
from datetime import timedelta

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import flows, forms
from accounts.authentication import key_cache
from accounts.models import ApiKey, Organisation, Scope, User
from tests.at_once import at_once, num_refused
from tests.conftest import confirm_password
from tests.management import Program

AT_ONCE = 6


@pytest.fixture(autouse=True)
def _three_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    key_cache.clear()
    monkeypatch.setattr(flows, "MAX_KEYS", 3)


def make(organisation: Organisation, number: int) -> list[ApiKey]:
    return [flows.create_key(organisation, None, f"k{each}")[0] for each in range(number)]


def test_keys_that_have_ended_make_room(organisation: Organisation) -> None:
    first, second, third = make(organisation, 3)
    with pytest.raises(ValueError, match="at most 3 keys; revoke some first"):
        make(organisation, 1)
    flows.revoke_key(first)
    make(organisation, 1)
    ApiKey.objects.filter(pk=second.pk).update(expires_at=timezone.now())
    make(organisation, 1)
    with pytest.raises(ValueError, match="at most 3"):
        make(organisation, 1)
    flows.rotate_key(third, None)  # whoever has to change one can
    with pytest.raises(ValueError, match="at most 3"):
        make(organisation, 1)


def test_a_key_that_had_ended_needs_room_to_come_back(organisation: Organisation) -> None:
    ended, live, _third = make(organisation, 3)
    ApiKey.objects.filter(pk=ended.pk).update(expires_at=timezone.now())
    make(organisation, 1)
    later = timezone.now() + timedelta(days=1)
    for back in (None, later):
        with pytest.raises(ValueError, match="at most 3"):
            flows.change_key(ended, expires_at=back)
    flows.change_key(ended, name="renamed")
    flows.change_key(live, expires_at=later)
    flows.revoke_key(live)
    assert flows.change_key(ended, expires_at=None).expires_at is None


def test_whoever_makes_and_revokes_ends_as_well(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "MAX_KEYS_A_DAY", 4)
    for key in make(organisation, 3):
        flows.revoke_key(key)
    make(organisation, 1)
    with pytest.raises(ValueError, match="at most 4 keys a day"):
        make(organisation, 1)
    ApiKey.objects.update(created_at=timezone.now() - timedelta(days=1))
    make(organisation, 1)


def test_everybody_who_asks_for_one_too_many_is_told(
    organisation: Organisation, alice_client: Client
) -> None:
    _key, secret = flows.create_key(organisation, None, "manage", scope=Scope.MANAGEMENT)
    make(organisation, 2)
    answer = Program(secret)("post", "api_keys", {"name": "k"})
    assert answer.status_code == 400
    assert "at most 3 keys" in answer.json()["error"]["message"]
    fields = {"name": "k", "scope": "inference", "form_token": "t"}
    page = alice_client.post(reverse("key_create"), fields, follow=True)
    assert "at most 3 keys" in page.content.decode()
    welcome = alice_client.post(reverse("welcome"), follow=True)
    assert "at most 3 keys" in welcome.content.decode()
    with pytest.raises(CommandError, match="at most 3 keys"):
        call_command("issuekey", email="alice@example.com", name="k")
    assert organisation.api_keys.count() == 3


def test_a_person_has_so_many_addresses(verified: User, alice_client: Client) -> None:
    page = reverse("account_email")
    confirm_password(alice_client)
    assert "action_add" in alice_client.get(page).content.decode()
    for number in range(9):
        EmailAddress.objects.create(user=verified, email=f"a{number}@example.com")
    alice_client.post(page, {"action_add": "", "email": "eleventh@example.com"})
    assert EmailAddress.objects.filter(user=verified).count() == 10
    assert "action_add" not in alice_client.get(page).content.decode()


def test_a_person_has_so_many_passkeys_each_with_a_short_name(verified: User) -> None:
    def said(**fields: str) -> str:
        form = forms.NewPasskeyForm(user=verified, data={"credential": "{}", **fields})
        form.is_valid()
        return str(form.errors)

    enough = "You have 20 passkeys, and can have no more"
    assert "at most 100 characters" in said(name="n" * 101)
    assert "This is not a passkey" in said(credential='{"id": "%s"}' % ("a" * 20_000))
    assert enough not in said()
    for _number in range(forms.MOST_PASSKEYS):
        Authenticator.objects.create(user=verified, type=Authenticator.Type.WEBAUTHN, data={})
    assert enough in said()
    renamed = forms.PasskeyNameForm(
        instance=Authenticator(type=Authenticator.Type.WEBAUTHN, data={"name": "n"}),
        data={"name": "n" * 101},
    )
    assert "at most 100 characters" in str(renamed.errors)


@pytest.mark.django_db(transaction=True)
def test_keys_that_come_back_at_once_do_not_pass_it(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "MAX_KEYS", AT_ONCE)
    ended = make(organisation, AT_ONCE)
    ApiKey.objects.update(expires_at=timezone.now())
    monkeypatch.setattr(flows, "MAX_KEYS", 3)

    def come_back(number: int) -> None:
        flows.change_key(ended[number], expires_at=None)

    assert num_refused(at_once(AT_ONCE, come_back)) == AT_ONCE - 3


@pytest.mark.django_db(transaction=True)
def test_those_who_ask_at_once_do_not_pass_it(
    organisation: Organisation, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows, "MAX_INVITATIONS_A_DAY", 3)

    def ask(number: int) -> None:
        with contextlib.suppress(ValueError):
            flows.create_key(organisation, None, "k")
        flows.invite(organisation, alice, f"x{number}@example.com", "viewer")

    assert num_refused(at_once(AT_ONCE, ask)) == AT_ONCE - 3
    assert organisation.api_keys.count() == 3
    assert organisation.invitations.count() == 3
