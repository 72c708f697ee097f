"""The pages of statements: the months there are, one of them, and its lines as CSV."""

from datetime import date

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import Role
from accounts.permissions import member_required
from billing import monthly
from billing.models import Account
from billing.notices import PAYERS
from billing.views import account_of


@member_required(*PAYERS, Role.DEVELOPER)
@require_GET
def months(request: HttpRequest) -> HttpResponseBase:
    account = account_of(request)
    return render(request, "billing/statements.html", {"months": monthly.months(account)})


@member_required(*PAYERS, Role.DEVELOPER)
@require_GET
def statement(request: HttpRequest, year: int, month: int) -> HttpResponseBase:
    account = account_of(request)
    found = monthly.statement(account, _month_or_404(account, year, month))
    return render(request, "billing/statement.html", {"statement": found, "may_pay": _may(request)})


@member_required(*PAYERS)
@require_GET
def statement_csv(request: HttpRequest, year: int, month: int) -> HttpResponseBase:
    account = account_of(request)
    lines = monthly.csv_lines(account, _month_or_404(account, year, month))
    answer = HttpResponse(lines, content_type="text/csv")
    name = f"statement-{year:04}-{month:02}.csv"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _month_or_404(account: Account, year: int, month: int) -> date:
    """Only months that there are, so that an address in a log leads to one page at most."""
    found = [each for each in monthly.months(account) if (each.year, each.month) == (year, month)]
    if not found:
        raise Http404
    return found[0]


def _may(request: HttpRequest) -> bool:
    return request.membership.role in PAYERS  # type: ignore[attr-defined]
