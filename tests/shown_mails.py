"""The mails of a site as a reader's program shows them, and its page for what broke, for pictures.

`write` runs in a process of its own, with the site's settings; `rendered` starts it.
"""

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

from tests.environment import REPOSITORY
from tests.shown_site import EMAIL, PASSWORD

if TYPE_CHECKING:
    from tests.story.site import Site

Pages = dict[str, str]


def rendered(site: "Site", language: str) -> Pages:
    """HTML by name."""
    done = subprocess.run(
        [sys.executable, "-c", f"from tests.shown_mails import write; write({language!r})"],
        cwd=REPOSITORY, env={**site.env, "SITE_DATA_DIR": str(site.data_dir)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages: Pages = json.loads(done.stdout.strip().splitlines()[-1])
    return pages


def write(language: str) -> None:
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    os.environ["DATA_DIR"] = os.environ["SITE_DATA_DIR"]
    django.setup()
    from django.core import mail
    from django.db import transaction
    from django.template.loader import render_to_string
    from django.test.utils import setup_test_environment
    from django.utils import translation

    from accounts.models import User

    setup_test_environment()  # mails stay in `mail.outbox`
    # Nothing of this is to be there for the next picture.
    with transaction.atomic(), translation.override(language):
        User.objects.update(language=language)
        send_all(language)
        transaction.set_rollback(True)
        names = ["confirm", "reset", "changed", "invitation", "top-up", "dispute", "invoice",
                 "alert"]  # fmt: skip
        pages = {
            f"mail-{name}": message.alternatives[0][0]  # type: ignore[attr-defined]
            for name, message in zip(names, mail.outbox, strict=True)
        }
        pages["broken"] = render_to_string("500.html")
    print(json.dumps(pages))


def send_all(language: str) -> None:
    from django.test import Client
    from django.urls import reverse

    from accounts.invitations import invite
    from accounts.models import Organisation, Role, User
    from billing import alerts, notices
    from billing.models import Alert, AlertKind

    organisation = Organisation.objects.get(name="Acme Research")
    alice = User.objects.get(email=EMAIL)
    visitor = Client(headers={"accept-language": language})
    fields = {"email": "eve@example.com", "password1": "a strong pass phrase 9"}
    visitor.post(reverse("account_signup"), fields)
    visitor.post(reverse("account_reset_password"), {"email": EMAIL})
    visitor.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    passwords = {"password1": "another pass phrase 9", "password2": "another pass phrase 9"}
    visitor.post(reverse("account_change_password"), {"oldpassword": PASSWORD, **passwords})
    invite(organisation, alice, "frank@example.com", Role.DEVELOPER)
    top_up = SimpleNamespace(amount_nanos=25 * 10**9)
    notices.send_to_payers(organisation, "top_up_failed", top_up=top_up, state="needs_consent")
    notices.send_to_payers(organisation, "payment_disputed", dispute=top_up)
    notices.invoice_failed(organisation, 4900, "https://invoice.stripe.com/i/acct_1/inv_1")
    alert = Alert(kind=AlertKind.BALANCE, threshold=5 * 10**9, value_nanos=4 * 10**9)
    notices.send_to_payers(organisation, "alert", sentence=alerts.sentence(alert))
