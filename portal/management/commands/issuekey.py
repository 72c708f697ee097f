"""`manage.py issuekey`: a working API key in one line, for scripts and first steps."""

import secrets
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction
from django.forms import ValidationError
from django.utils.translation import gettext_noop

from accounts import flows
from accounts.models import Scope, User
from billing import ledger
from portal.lib.commands import SiteCommand
from portal.lib.money import parse_dollars


class Command(SiteCommand):
    help = "Print a new API key; makes the user and the organisation when there are none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--name", required=True, help="what the key is called in the portal")
        parser.add_argument("--credit", default="0", help="dollars to grant, e.g. 5.00")
        parser.add_argument("--scope", choices=Scope.values, default=Scope.INFERENCE)

    def handle(self, *, email: str, name: str, credit: str, scope: str, **_options: Any) -> None:
        try:
            validate_email(email)
            amount_nanos = parse_dollars(credit)
        except ValidationError:
            raise CommandError(f"--email: {email!r} is not an e-mail address") from None
        except ValueError as error:
            raise CommandError(f"--credit: {error}") from None
        if not name.strip() or len(name) > 100:
            raise CommandError("--name: between 1 and 100 characters are needed")
        try:
            self.stdout.write(issue_key(email.lower(), name, amount_nanos, scope))
        except ValueError as error:
            raise CommandError(str(error)) from None


@transaction.atomic
def issue_key(email: str, name: str, amount_nanos: int, scope: str = Scope.INFERENCE) -> str:
    """The key's secret. A new user has no password: they set one through "forgot password"."""
    user = User.objects.filter(email__iexact=email).first() or User.objects.create_user(email)
    organisation = flows.ensure_organisation(user, welcome=False)
    if amount_nanos:
        ledger.grant(
            organisation.id,
            amount_nanos,
            reference=f"grant:issuekey:{secrets.token_hex(16)}",
            description=gettext_noop("Granted with a key"),
            actor="manage.py issuekey",
        )
    _key, secret = flows.create_key(organisation, user, name, scope=scope)
    return secret
