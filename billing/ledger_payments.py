"""Payers' money: paid in, gone back by a refund or a dispute, owed. The ledger's other half.

The rules are `billing.ledger`'s: one transaction a verb, idempotent by reference, the database's
CHECK as the last word. What Stripe takes back leaves the house's cash: its tax from the account
`tax`, its price from the organisation's unused credit, as far as there is any; the rest is the
house's loss (its account `refunds`), since a balance never goes below zero. The discount that was
given with it goes where it came from, as far as it is unused.
"""

from django.db.models import F, Value
from django.db.models.functions import Greatest
from django.utils.translation import gettext_noop

from billing.ledger import Balance, InsufficientCredit, accounting, credit, house_account
from billing.models import Account, AccountKind, Transfer, TransferKind
from billing.shares import Share
from portal.lib.money import NANOS_PER_CENT


@accounting
def record_payment(
    organisation_id: str,
    amount_nanos: int,
    *,
    reference: str,
    description: str,
    discount_nanos: int = 0,
    tax_nanos: int = 0,
) -> None:
    """Book money that Stripe took. Idempotent by `reference`, the payment's id.

    `amount_nanos` is what was paid for credit: a discount is credit that we give beside it, tax is
    taken on top of it and is nobody's credit.
    """
    if amount_nanos:
        credit(
            organisation_id, amount_nanos, AccountKind.CASH, TransferKind.PAYMENT,
            reference=reference, description=description,
        )  # fmt: skip
    if discount_nanos:
        credit(
            organisation_id, discount_nanos, AccountKind.GRANTS, TransferKind.GRANT,
            reference=f"{reference}:discount", description=gettext_noop("Discount"),
        )  # fmt: skip
    if tax_nanos:
        Transfer.objects.get_or_create(
            reference=f"{reference}:tax",
            defaults={
                "kind": TransferKind.TAX,
                "debit_account": house_account(AccountKind.CASH),
                "credit_account": house_account(AccountKind.TAX),
                "amount_nanos": tax_nanos,
            },
        )


@accounting
def take(
    organisation_id: str, share: Share, kind: TransferKind, *, reference: str, description: str
) -> None:
    """Take a share's unused credit back: all of it, or InsufficientCredit."""
    account = locked(organisation_id)
    reference = _latest(reference)
    if not _known(reference):
        _take(account, share, share.credit_nanos, kind, reference, description)


@accounting
def take_what_is_left(
    organisation_id: str, share: Share, kind: TransferKind, *, reference: str, description: str
) -> None:
    """Take what is not used or held, at most the share's credit; the rest is our loss."""
    account = locked(organisation_id)
    reference = _latest(reference)
    if not _known(reference):
        left = max(0, min(account.balance_nanos, share.credit_nanos))
        _take(account, share, left, kind, reference, description)


@accounting
def give_back(reference: str, description: str) -> None:
    """Undo what was taken under a reference: Stripe has the money again. Idempotent."""
    references = _references(_latest(reference))
    for taken in Transfer.objects.filter(reference__in=references).order_by("pk"):
        _transfer(
            taken.credit_account, taken.debit_account, taken.amount_nanos, taken.kind,
            f"{taken.reference}:returned", description,
        )  # fmt: skip
        if taken.debit_account.organisation_id is not None:
            Account.objects.filter(pk=taken.debit_account_id).update(
                credits_posted=F("credits_posted") + taken.amount_nanos
            )


@accounting
def give_up(organisation_id: str, most_nanos: int, *, actor: str = "") -> int:
    """Take what is left of a deleted organisation's credit; how much it was.

    `most_nanos` is what was left when its refunds began: what was paid in since is not given up.
    `actor` is who decided about what Stripe would not send back.
    """
    account = locked(organisation_id)
    left = min(account.balance_nanos, most_nanos)
    if left <= 0:
        return 0
    earlier = Transfer.objects.filter(debit_account=account, kind=TransferKind.GIVEN_UP).count()
    _debit(account, left)
    _transfer(
        account, house_account(AccountKind.REVENUE), left, TransferKind.GIVEN_UP,
        f"given_up:{organisation_id}:{earlier}" if earlier else f"given_up:{organisation_id}",
        gettext_noop("Organisation deleted"), actor,
    )  # fmt: skip
    return left


@accounting
def set_credit_line(organisation_id: str, line_nanos: int) -> None:
    """How far below zero its balance may go. Raises ValueError when it is lower already."""
    rows = Account.objects.filter(
        organisation_id=organisation_id,
        credits_posted__gte=F("debits_posted") + F("debits_pending") - line_nanos,
    )
    if not rows.update(credit_line_nanos=line_nanos):
        raise ValueError("more than this is owed or held already")


@accounting
def close_credit_line(organisation_id: str) -> None:
    """Lower the line to what is owed and held now: nothing more is used on credit."""
    owed = F("debits_posted") + F("debits_pending") - F("credits_posted")
    Account.objects.filter(organisation_id=organisation_id).update(
        credit_line_nanos=Greatest(owed, Value(0))  # never above the line: a constraint
    )


def _latest(reference: str) -> str:
    """What was given back is taken again under a reference of its own: a bank may decide anew."""
    latest, times = reference, 0
    while Transfer.objects.filter(
        reference__in=[f"{part}:returned" for part in _references(latest)]
    ).exists():
        times += 1
        latest = f"{reference}:{times}"
    return latest


def _references(reference: str) -> list[str]:
    return [reference, *(f"{reference}:{part}" for part in ("discount", "tax", "loss"))]


def _known(reference: str) -> bool:
    return Transfer.objects.filter(reference__in=_references(reference)).exists()


def locked(organisation_id: str) -> Account:
    """The account, which nobody changes until the caller's transaction ends."""
    return Account.objects.select_for_update().get(organisation_id=organisation_id)


def _take(
    account: Account,
    share: Share,
    credit_nanos: int,
    kind: TransferKind,
    reference: str,
    description: str,
) -> None:
    """Take so much of a share's credit, what was paid for first, and all of its tax."""
    if credit_nanos:  # none of who owes
        _debit(account, credit_nanos)
    price = share.net_cents * NANOS_PER_CENT
    paid = min(credit_nanos, price)
    cash = house_account(AccountKind.CASH)
    for debit, to, nanos, part in (
        (account, cash, paid, ""),
        (account, house_account(AccountKind.GRANTS), credit_nanos - paid, ":discount"),
        (house_account(AccountKind.TAX), cash, share.tax_cents * NANOS_PER_CENT, ":tax"),
        (house_account(AccountKind.REFUNDS), cash, price - paid, ":loss"),
    ):
        if nanos:
            _transfer(debit, to, nanos, kind, f"{reference}{part}", description)


def _debit(account: Account, amount_nanos: int) -> None:
    rows = Account.objects.filter(
        pk=account.pk,
        credits_posted__gte=F("debits_posted") + F("debits_pending") + amount_nanos,
    ).update(debits_posted=F("debits_posted") + amount_nanos)
    if not rows:
        left = Balance(account.credits_posted - account.debits_posted, account.debits_pending)
        raise InsufficientCredit(left.available_nanos, left.pending_nanos)


def _transfer(
    debit: Account,
    credit: Account,
    amount_nanos: int,
    kind: str,
    reference: str,
    description: str,
    actor: str = "",
) -> None:
    Transfer.objects.create(
        reference=reference, kind=kind, debit_account=debit, credit_account=credit,
        amount_nanos=amount_nanos, description=description, actor=actor,
    )  # fmt: skip
