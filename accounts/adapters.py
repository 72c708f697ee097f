"""How django-allauth behaves here: who may sign up, and that everybody has an organisation."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest

from accounts import flows
from accounts.models import User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGNUP_OPEN)

    @transaction.atomic
    def save_user(self, request: HttpRequest, user: User, form: Any, commit: bool = True) -> User:
        """Save the new user together with their organisation: neither exists without the other."""
        user = super().save_user(request, user, form, commit=commit)
        if commit:
            flows.ensure_organisation(user)
        return user
