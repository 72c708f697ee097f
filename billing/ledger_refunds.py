"""Money out: what goes back to a payer, by a refund or a dispute. The ledger's other half.

The rules are `billing.ledger`'s: one transaction a verb, idempotent by reference, the database's
CHECK as the last word. What Stripe takes back leaves the house's cash. As much of it as is left
comes from the organisation's unused credit; the rest is the house's loss (its account `refunds`),
since a balance never goes below zero.
"""

from django.db.models import F

from billing.ledger import Balance, InsufficientCredit, accounting, house_account
from billing.models import Account, AccountKind, Transfer, TransferKind


@accounting
def take(
    organisation_id: str, amount_nanos: int, kind: TransferKind, *, reference: str, description: str
) -> None:
    """Take unused credit back: all of it, or InsufficientCredit."""
    if not Transfer.objects.filter(reference=reference).exists():
        account = _locked(organisation_id)
        _debit(account, amount_nanos, kind, reference, description)


@accounting
def take_what_is_left(
    organisation_id: str, amount_nanos: int, kind: TransferKind, *, reference: str, description: str
) -> int:
    """Take what is not used or held, at most the amount; the rest is our loss. What was taken."""
    account = _locked(organisation_id)
    if Transfer.objects.filter(reference__in=_references(reference)).exists():
        return 0
    taken = min(account.balance_nanos, amount_nanos)
    if taken:
        _debit(account, taken, kind, reference, description)
    if taken < amount_nanos:
        _transfer(
            house_account(AccountKind.REFUNDS), house_account(AccountKind.CASH),
            amount_nanos - taken, kind, _references(reference)[1], description,
        )  # fmt: skip
    return taken


@accounting
def give_back(reference: str, description: str) -> None:
    """Undo what was taken under a reference: Stripe has the money again. Idempotent."""
    for taken in Transfer.objects.filter(reference__in=_references(reference)).order_by("pk"):
        returned = f"{taken.reference}:returned"
        Account.objects.select_for_update().get(pk=taken.debit_account_id)
        if Transfer.objects.filter(reference=returned).exists():
            continue
        _transfer(
            taken.credit_account, taken.debit_account, taken.amount_nanos, taken.kind, returned,
            description,
        )  # fmt: skip
        if taken.debit_account.organisation_id is not None:
            Account.objects.filter(pk=taken.debit_account_id).update(
                credits_posted=F("credits_posted") + taken.amount_nanos
            )


def _references(reference: str) -> tuple[str, str]:
    return reference, f"{reference}:loss"


def _locked(organisation_id: str) -> Account:
    """The account, which nobody changes until this transaction ends."""
    return Account.objects.select_for_update().get(organisation_id=organisation_id)


def _debit(
    account: Account, amount_nanos: int, kind: TransferKind, reference: str, description: str
) -> None:
    rows = Account.objects.filter(
        pk=account.pk,
        credits_posted__gte=F("debits_posted") + F("debits_pending") + amount_nanos,
    ).update(debits_posted=F("debits_posted") + amount_nanos)
    if not rows:
        left = Balance(account.credits_posted - account.debits_posted, account.debits_pending)
        raise InsufficientCredit(left.available_nanos, left.pending_nanos)
    _transfer(account, house_account(AccountKind.CASH), amount_nanos, kind, reference, description)


def _transfer(
    debit: Account, credit: Account, amount_nanos: int, kind: str, reference: str, description: str
) -> None:
    Transfer.objects.create(
        reference=reference, kind=kind, debit_account=debit, credit_account=credit,
        amount_nanos=amount_nanos, description=description,
    )  # fmt: skip
