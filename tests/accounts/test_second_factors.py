"""What second factors are made from is sealed, by the key of today; each code lets in once."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth
from allauth.mfa.totp.internal.auth import (
    SECRET_SESSION_KEY,
    TOTP,
    format_hotp_value,
    hotp_value,
)
from django.test import Client
from pytest_django.fixtures import Settings

from accounts import tasks
from accounts.models import User
from accounts.second_factors import MARK
from tests.at_once import at_once
from tests.conftest import PASSWORD, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unlimited")]

SECRET = "JBSWY3DPEHPK3PXP"
STEP = "/accounts/2fa/authenticate/"
UNREADABLE = "Your second factor cannot be read any more"


@pytest.fixture(autouse=True)
def one_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """A code is of thirty seconds, and a machine may be busy between its making and its use."""
    now = time.time()
    monkeypatch.setattr(auth, "time", SimpleNamespace(time=lambda: now))


@pytest.fixture
def codes(verified: User) -> list[str]:
    """Alice's recovery codes; she has an app as well."""
    TOTP.activate(verified, SECRET)
    return RecoveryCodes.activate(verified).generate_codes()


def of_the_app() -> str:
    return code_of(SECRET)


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(auth.time.time()) // 30))


def lets_in(user: User, code: str) -> bool:
    return answer_to(user, code).status_code == 302


def answer_to(user: User, code: str) -> Any:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return client.post(STEP, {"code": code})


def kept() -> str:
    return json.dumps(list(Authenticator.objects.values_list("data", flat=True)))


def unseal_all() -> str:
    """As they were before they were sealed; the seed of the recovery codes."""
    for factor in Authenticator.objects.all():
        name = "seed" if factor.type == Authenticator.Type.RECOVERY_CODES else "secret"
        factor.data[name] = "ab" * 40 if name == "seed" else SECRET
        factor.save()
    return "ab" * 40


def test_a_database_that_is_read_tells_no_code(verified: User, codes: list[str]) -> None:
    assert SECRET not in kept()
    assert kept().count(MARK) == 2
    assert lets_in(verified, of_the_app())
    assert lets_in(verified, codes[3])


def test_nor_does_the_session_of_who_is_about_to_add_an_app(verified: User) -> None:
    client = Client()
    client.post("/accounts/login/", {"login": verified.email, "password": PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/")
    secret = page.context["form"].secret
    assert secret in page.content.decode()
    assert secret not in json.dumps(dict(client.session))
    again = client.post("/accounts/2fa/totp/activate/", {"code": "mistyped"})
    assert again.context["form"].secret == secret
    assert secret not in json.dumps(dict(client.session))
    assert client.post("/accounts/2fa/totp/activate/", {"code": code_of(secret)}).status_code == 302
    assert SECRET_SESSION_KEY not in client.session
    assert lets_in(verified, code_of(secret))


def test_who_began_to_add_an_app_before_a_key_was_lost_begins_anew(verified: User) -> None:
    client = Client()
    client.post("/accounts/login/", {"login": verified.email, "password": PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    client.get("/accounts/2fa/totp/activate/")
    session = client.session
    session[SECRET_SESSION_KEY] = MARK + "of a key that is gone"
    session.save()
    secret = client.get("/accounts/2fa/totp/activate/").context["form"].secret
    assert client.post("/accounts/2fa/totp/activate/", {"code": code_of(secret)}).status_code == 302


def test_those_from_before_work_and_are_sealed_within_the_hour(
    verified: User, codes: list[str]
) -> None:
    seed = unseal_all()
    old = Authenticator.objects.get(type="recovery_codes").wrap().generate_codes()
    assert lets_in(verified, old[0])
    tasks.seal_second_factors()
    assert SECRET not in kept()
    assert seed not in kept()
    assert lets_in(verified, of_the_app())
    assert not lets_in(verified, old[0]), "what was used stays used"
    assert lets_in(verified, old[1])
    sealed = kept()
    tasks.seal_second_factors()
    assert kept() == sealed, "there is nothing to do any more"


def test_they_outlive_the_key_that_sealed_them(
    verified: User, codes: list[str], settings: Settings
) -> None:
    former = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the second " * 9, [former]
    assert lets_in(verified, codes[0])
    tasks.seal_second_factors()
    settings.SECRET_KEY_FALLBACKS = []
    assert lets_in(verified, of_the_app())
    assert lets_in(verified, codes[1])


def test_without_their_key_they_let_nobody_in_and_break_no_page(
    verified: User, settings: Settings
) -> None:
    client = Client()
    client.post("/accounts/login/", {"login": verified.email, "password": PASSWORD})
    here, settings.SECRET_KEY = settings.SECRET_KEY, "a key that is lost " * 9
    TOTP.activate(verified, SECRET)
    codes = RecoveryCodes.activate(verified).generate_codes()
    settings.SECRET_KEY, sealed = here, kept()
    tasks.seal_second_factors()
    assert kept() == sealed
    for code in (codes[1], of_the_app()):
        assert UNREADABLE in answer_to(verified, code).content.decode()
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    for path in ("", "totp/deactivate/"):
        assert client.get(f"/accounts/2fa/{path}").status_code == 200
    for path in ("recovery-codes/", "recovery-codes/generate/"):
        refused = client.get(f"/accounts/2fa/{path}")
        assert refused.status_code == 403
        assert UNREADABLE in refused.content.decode()
    client.post("/accounts/2fa/totp/deactivate/")
    assert kept() == "[]", "whoever is signed in begins anew"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("which", ["app", "recovery"])
def test_a_code_lets_in_one_of_those_who_send_it_at_once(which: str) -> None:
    dana = make_user("dana@example.com", "Dana")
    EmailAddress.objects.create(user=dana, email=dana.email, verified=True, primary=True)
    TOTP.activate(dana, SECRET)
    recovery = RecoveryCodes.activate(dana).generate_codes()
    code = of_the_app() if which == "app" else recovery[0]
    clients = [Client() for _ in range(6)]
    for client in clients:
        client.post("/accounts/login/", {"login": dana.email, "password": PASSWORD})
    answers = at_once(6, lambda number: clients[number].post(STEP, {"code": code}).status_code)
    assert sorted(answers) == [200] * 5 + [302]
