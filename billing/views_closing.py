"""The page that deletes an organisation: what goes back, what is lost, and its name to be typed."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from accounts.models import Organisation, Role, User
from accounts.permissions import member_required
from billing import closing


class DeleteForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Type its name to confirm"), max_length=100)

    def __init__(self, *args: object, organisation: Organisation, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.organisation = organisation

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name != self.organisation.name:
            raise forms.ValidationError(_("This is not the organisation's name."))
        return name


@member_required(Role.OWNER)
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest) -> HttpResponseBase:
    organisation = request.membership.organisation  # type: ignore[attr-defined]
    form = DeleteForm(request.POST or None, organisation=organisation)
    if form.is_valid():
        assert isinstance(request.user, User)
        try:
            closing.ask(organisation, request.user.email)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("It is being deleted; its keys and requests have stopped."))
            return redirect("overview")
    back_nanos, lost_nanos = closing.preview(organisation)
    context = {"form": form, "back_nanos": back_nanos, "lost_nanos": lost_nanos}
    status = 400 if form.is_bound else 200
    return render(request, "billing/delete_organisation.html", context, status=status)
