"""Forms of accounts: inviting, roles, names."""

import zoneinfo
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

from allauth.account import forms as allauth_forms
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp import forms as totp_forms
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY
from allauth.mfa.webauthn import forms as webauthn_forms
from django import forms
from django.contrib.auth.hashers import make_password
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import Organisation, Role, User
from accounts.second_factors import CannotOpenError

Row = TypeVar("Row", bound=Model)
MOST_PASSKEYS = 20
MAX_PASSKEY_NAME = 100
MAX_CREDENTIAL = 20_000  # characters, several times what any device sends


class SignInForm(allauth_forms.LoginForm):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["remember"].label = _("Keep me signed in")


class SignUpForm(allauth_forms.SignupForm):  # type: ignore[misc]
    def try_save(self, request: HttpRequest) -> Any:
        """Of an address that has an account, as slow as of another: a password is hashed.

        What both are answered is the same; a fiftieth of the time would tell them apart.
        """
        if self.account_already_exists:
            make_password(self.cleaned_data["password1"])
        return super().try_save(request)


class NewAppForm(totp_forms.ActivateTOTPForm):  # type: ignore[misc]
    """allauth keeps the secret in the session until it is proven; here it lies there sealed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        session = context.request.session
        if (kept := session.pop(SECRET_SESSION_KEY, None)) is not None:
            with suppress(CannotOpenError):  # the key is gone: it gets another secret
                session[SECRET_SESSION_KEY] = get_adapter().decrypt(kept)
        super().__init__(*args, **kwargs)
        session[SECRET_SESSION_KEY] = get_adapter().encrypt(self.secret)


class NewPasskeyForm(webauthn_forms.AddWebAuthnForm):  # type: ignore[misc]
    """Bounded: allauth keeps what it is sent, as long as that is and as often as it comes."""

    name = forms.CharField(label=_("Name"), required=False, max_length=MAX_PASSKEY_NAME)

    def clean(self) -> Any:
        theirs = Authenticator.objects.filter(user=self.user, type=Authenticator.Type.WEBAUTHN)
        if theirs.count() >= MOST_PASSKEYS:
            said = _("You have %(most)s passkeys, and can have no more; remove one first.")
            raise forms.ValidationError(said % {"most": MOST_PASSKEYS})
        if len(self.data.get("credential", "")) > MAX_CREDENTIAL:
            raise forms.ValidationError(_("This is not a passkey."))
        return super().clean()


class PasskeyNameForm(webauthn_forms.EditWebAuthnForm):  # type: ignore[misc]
    name = forms.CharField(label=_("Name"), max_length=MAX_PASSKEY_NAME)


class InviteForm(forms.Form):
    email = forms.EmailField(label=_("Email address"), max_length=254)
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.DEVELOPER)


class VisitForm(forms.Form):
    """Why an operator looks into an organisation; its members read it in their audit log."""

    reason = forms.CharField(label=_("Reason"), max_length=200)


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role.choices)


class OwnFieldsForm(forms.ModelForm[Row]):
    """Writes what it changed, and nothing that somebody else changes meanwhile."""

    def save(self, commit: bool = True) -> Row:
        self.instance.save(update_fields=self.changed_data)
        return self.instance


class OrganisationForm(OwnFieldsForm[Organisation]):
    class Meta:
        model = Organisation
        fields: ClassVar = ["name"]


class RequestLogForm(OwnFieldsForm[Organisation]):
    class Meta:
        model = Organisation
        fields: ClassVar = ["keeps_bodies", "body_retention_days", "metadata_retention_days"]


class PersonForm(OwnFieldsForm[User]):
    class Meta:
        model = User
        fields: ClassVar = ["name", "time_zone"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(zoneinfo.available_timezones())
        self.fields["time_zone"] = forms.ChoiceField(
            label=_("Time zone"), choices=[(zone, zone) for zone in zones]
        )
