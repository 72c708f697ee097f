"""Pages of accounts: members, settings, the operator's one-time link."""

from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import operators


@require_http_methods(["GET", "POST"])
def operator_link(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks, POST signs in: a mail scanner that follows links must not use it up."""
    if request.method == "GET":
        return render(request, "accounts/operator_link.html")
    user = operators.use_link(token)
    if user is None:
        messages.error(request, _("This link was used or has expired. Make another one."))
        return redirect("account_login")
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("admin:index")
