"""Any sequence of ledger verbs: totals agree with a plain model, and the audit is clean."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from accounts import flows
from accounts.models import User
from billing import ledger
from billing.models import Hold
from tests.billing.money import account_of, audit_is_clean, draft, hold


class Ledger(RuleBasedStateMachine):
    """`credit`, `spent` and `held` are what the account must say; each run has its own."""

    owner: User

    def __init__(self) -> None:
        super().__init__()
        self.organisation_id = flows.create_organisation(self.owner, "Acme", welcome=False).id
        self.credit = 10_000
        ledger.grant(
            self.organisation_id,
            self.credit,
            reference=f"grant:{self.organisation_id}",
            description="",
        )
        self.spent = 0
        self.held: dict[str, int] = {}
        self.count = 0

    @property
    def available(self) -> int:
        return self.credit - self.spent - sum(self.held.values())

    def one_of_the_held(self, data: st.DataObject) -> str:
        """Drawn by place, since ids differ from run to run."""
        return sorted(self.held)[data.draw(st.integers(0, len(self.held) - 1))]

    @rule(amount=st.integers(1, 5000))
    def grant(self, amount: int) -> None:
        reference = f"grant:{self.organisation_id}:{self.credit}:{amount}"
        ledger.grant(self.organisation_id, amount, reference=reference, description="")
        self.credit += amount

    @rule(amount=st.integers(0, 3000))
    def open(self, amount: int) -> None:
        self.count += 1
        request_id = f"{self.organisation_id[-12:]}-{self.count:03}"
        try:
            hold(request_id, self.organisation_id, amount)
        except ledger.InsufficientCredit:
            assert amount > self.available
        else:
            assert amount <= self.available
            self.held[request_id] = amount

    @precondition(lambda self: self.held)
    @rule(data=st.data(), extra=st.integers(0, 3000))
    def extend(self, data: st.DataObject, extra: int) -> None:
        request_id = self.one_of_the_held(data)
        fits = extra <= self.available
        assert ledger.extend_hold(request_id, extra) is fits
        if fits:
            self.held[request_id] += extra

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        request_id = self.one_of_the_held(data)
        cost = data.draw(st.integers(0, self.held.pop(request_id)))
        for _ in range(data.draw(st.integers(1, 2))):
            ledger.settle(request_id, draft(cost))
        self.spent += cost

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def lose_a_process(self, data: st.DataObject) -> None:
        request_id = self.one_of_the_held(data)
        Hold.objects.filter(pk=request_id).update(lease=0)
        assert ledger.sweep() == 1
        del self.held[request_id]

    @invariant()
    def the_account_says_the_same(self) -> None:
        account = account_of(self.organisation_id)
        assert account.credits_posted == self.credit
        assert account.debits_posted == self.spent
        assert account.debits_pending == sum(self.held.values())
        assert account.balance_nanos >= 0

    def teardown(self) -> None:
        audit_is_clean()


@pytest.mark.slow
def test_any_sequence_of_verbs_keeps_the_ledger_true(alice: User) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    class Machine(Ledger):
        owner = alice

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
