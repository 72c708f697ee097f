"""The console's page of Stripe beside the ledger, and the button that compares them now."""

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing import reconciliation
from billing.admin_base import ReadOnlyAdmin
from billing.models import Difference, Reconciliation
from portal.lib.money import format_dollars


class DifferenceInline(admin.StackedInline[Difference, Reconciliation]):
    model = Difference
    readonly_fields = ["kind", "stripe_id", "at_stripe", "in_the_ledger"]
    fields = ("kind", "stripe_id", "at_stripe", "in_the_ledger")
    extra = 0
    can_delete = False

    @admin.display(description=gettext_lazy("at Stripe"))
    def at_stripe(self, difference: Difference) -> str:
        return format_dollars(difference.stripe_nanos)

    @admin.display(description=gettext_lazy("in the ledger"))
    def in_the_ledger(self, difference: Difference) -> str:
        return format_dollars(difference.ledger_nanos)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    """Stripe beside the ledger, night by night; a row's page lists its differences."""

    list_display = ["started_at", "outcome", "compared", "since", "until", "finished_at", "error"]
    inlines = [DifferenceInline]
    change_list_template = "admin/billing/reconciliation/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        compare = self.admin_site.admin_view(self.compare)
        return [path("compare/", compare, name="billing_reconcile"), *super().get_urls()]

    @admin.display(description=gettext_lazy("differences"))
    def outcome(self, run: Reconciliation) -> str:
        if run.finished_at is None:
            return _("not finished")
        return str(run.num_differences) if run.num_differences else _("none")

    @method_decorator(permission_required("billing.add_reconciliation", raise_exception=True))
    def compare(self, request: HttpRequest) -> HttpResponse:
        """Compare now, rather than at night."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        run = reconciliation.reconcile()
        if run is None:
            messages.error(request, _("Payments are not set up here."))
        elif run.error:
            text = _("The comparison could not be finished: %(reason)s")
            messages.error(request, text % {"reason": run.error})
        else:
            text = _("Compared %(compared)s; differences: %(differences)s.")
            counts = {"compared": run.compared, "differences": run.num_differences}
            level = messages.ERROR if run.num_differences else messages.SUCCESS
            messages.add_message(request, level, text % counts)
        return redirect("admin:billing_reconciliation_changelist")
