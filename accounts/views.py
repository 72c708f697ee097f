"""Pages of accounts: members and invitations, settings, the operator's one-time link."""

from typing import cast
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import audit, flows, operators, visits
from accounts.forms import InviteForm, OrganisationForm, PersonForm, RequestLogForm, RoleForm
from accounts.invitations import follow, invite
from accounts.middleware import SESSION_KEY
from accounts.models import Membership, Role, User
from accounts.permissions import MANAGERS, member_required
from portal.lib.posts import posted_from


@member_required()
@require_GET
def members(request: HttpRequest) -> HttpResponseBase:
    return render(request, "accounts/members.html", members_page(request, InviteForm()))


@member_required(*MANAGERS)
@posted_from("members")
def member_invite(request: HttpRequest) -> HttpResponseBase:
    form = InviteForm(request.POST)
    if form.is_valid():
        email, role = form.cleaned_data["email"], form.cleaned_data["role"]
        try:
            only_owners_make_owners(request, role)
            organisation = request.organisation  # type: ignore[attr-defined]
            invite(organisation, cast("User", request.user), email, role)
        except ValueError as error:
            form.add_error("email", str(error))
        else:
            said = _("An invitation is on its way to %(email)s.") % {"email": email}
            messages.success(request, said)
            return redirect("members")
    return render(request, "accounts/members.html", members_page(request, form), status=400)


@member_required(*MANAGERS)
@require_POST
def invitation_withdraw(request: HttpRequest, invitation_id: int) -> HttpResponseBase:
    organisation = request.organisation  # type: ignore[attr-defined]
    found = get_object_or_404(organisation.invitations, pk=invitation_id)
    try:
        only_owners_make_owners(request, found.role)
        flows.withdraw_invitation(found)
        messages.success(request, _("The invitation has been withdrawn."))
    except ValueError as error:
        messages.error(request, str(error))
    return redirect("members")


@member_required(*MANAGERS)
@require_POST
def member_role(request: HttpRequest, membership_id: int) -> HttpResponseBase:
    membership = own_member(request, membership_id)
    form = RoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("There is no such role."))
        return redirect("members")
    role = form.cleaned_data["role"]
    try:
        only_owners_make_owners(request, role, membership)
        flows.change_role(membership, role)
        messages.success(request, _("Saved."))
    except ValueError as error:
        messages.error(request, str(error))
    return redirect("members")


@member_required()
@require_POST
def member_remove(request: HttpRequest, membership_id: int) -> HttpResponseBase:
    """Managers remove anybody; everybody may leave."""
    membership = own_member(request, membership_id)
    leaving = membership.user_id == request.user.pk
    if not leaving and request.membership.role not in MANAGERS:  # type: ignore[attr-defined]
        raise PermissionDenied
    try:
        if not leaving:
            only_owners_make_owners(request, membership.role, membership)
        flows.remove_member(membership)
        messages.success(request, _("Removed."))
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("members")
    return redirect("overview" if leaving else "members")


@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponseBase:
    """GET shows the invitation, POST accepts it; strangers sign up or in first."""
    found = flows.find_invitation(token)
    if found is None:
        messages.error(request, _("This invitation was used, replaced or has expired."))
        return redirect("overview")
    if not request.user.is_authenticated:
        follow(request, found)
        known = User.objects.filter(email__iexact=found.email).exists()
        entrance = "account_login" if known else "account_signup"
        query = urlencode({"next": request.path, "email": found.email})
        return redirect(f"{reverse(entrance)}?{query}")
    if request.method == "POST":
        try:
            membership = flows.accept_invitation(token, request.user)
        except ValueError as error:
            messages.error(request, str(error))
            return redirect("overview")
        request.session[SESSION_KEY] = membership.organisation_id
        return redirect("overview")
    return render(request, "accounts/invitation.html", {"invitation": found})


@member_required()
@require_http_methods(["GET", "POST"])
def settings(request: HttpRequest) -> HttpResponseBase:
    """Three forms on a page: the person's own, and the organisation's two for its managers."""
    user = request.user
    assert isinstance(user, User)
    may_manage = request.membership.role in MANAGERS  # type: ignore[attr-defined]
    posted = request.POST.get("form") if request.method == "POST" else None
    if posted in {"organisation", "request-log"} and not may_manage:
        raise PermissionDenied
    # Both have a name: the ids of their fields must differ.
    person = PersonForm(
        request.POST if posted == "person" else None, instance=user, auto_id="person-%s"
    )
    organisation = OrganisationForm(
        request.POST if posted == "organisation" else None,
        auto_id="organisation-%s",
        instance=request.membership.organisation,  # type: ignore[attr-defined]
    )
    request_log = RequestLogForm(
        request.POST if posted == "request-log" else None,
        auto_id="request-log-%s",
        instance=request.membership.organisation,  # type: ignore[attr-defined]
    )
    forms: dict[str | None, PersonForm | OrganisationForm | RequestLogForm]
    forms = {"person": person, "organisation": organisation, "request-log": request_log}
    form = forms.get(posted)
    if form is not None and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("settings")
    context = {
        "person": person,
        "form": organisation,
        "request_log": request_log,
        "may_manage": may_manage,
    }
    status = 400 if form is not None else 200
    return render(request, "accounts/settings.html", context, status=status)


@login_required
@require_POST
def organisation_switch(request: HttpRequest) -> HttpResponseBase:
    chosen = request.POST.get("organisation", "")
    own = Membership.objects.filter(user=cast("User", request.user))
    if chosen not in own.values_list("organisation_id", flat=True):  # any text is compared safely
        raise Http404
    request.session[SESSION_KEY] = chosen
    return redirect("overview")


@login_required
@require_POST
def visit_end(request: HttpRequest) -> HttpResponseBase:
    visits.end(request)
    return redirect("admin:accounts_organisation_changelist")


@require_http_methods(["GET", "POST"])
def operator_link(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks, POST signs in: a mail scanner that follows links must not use it up."""
    if request.method == "GET":
        return render(request, "accounts/operator_link.html")
    user = operators.use_link(token)
    if user is None:
        told = _("This link was used or has expired. `manage.py operatorlink` makes another one.")
        messages.error(request, told)
        return redirect("account_login")
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect("admin:index")


def members_page(request: HttpRequest, form: InviteForm) -> dict[str, object]:
    organisation = request.organisation  # type: ignore[attr-defined]
    return {
        "memberships": organisation.memberships.select_related("user").order_by("created_at"),
        "invitations": organisation.invitations.filter(accepted_at=None).order_by("-created_at"),
        "form": form,
        "roles": Role.choices,
        "may_manage": request.membership.role in MANAGERS,  # type: ignore[attr-defined]
        "log": audit.entries(organisation)[:50],
    }


def own_member(request: HttpRequest, membership_id: int) -> Membership:
    return get_object_or_404(
        Membership.objects.select_related("organisation", "user"),
        pk=membership_id,
        organisation=request.organisation,  # type: ignore[attr-defined]
    )


def only_owners_make_owners(
    request: HttpRequest, role: str, membership: Membership | None = None
) -> None:
    """An admin neither makes nor unmakes owners, or the role would be theirs to take."""
    touches_owner = role == Role.OWNER or (membership and membership.role == Role.OWNER)
    if touches_owner and request.membership.role != Role.OWNER:  # type: ignore[attr-defined]
        raise ValueError(_("Only an owner can do that."))
