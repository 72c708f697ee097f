"""The objects of the stand-in, and what happens to them: paid, declined, refunded, disputed."""

import json
import secrets
import threading
import time
from typing import Any

from tests.billing.stripe_double.post import Post
from tests.environment import REFERENCE_DATA

# Numbers of Stripe's test cards, by what becomes of a payment off session.
GOOD_CARD, DECLINED_CARD, AUTHENTICATION_CARD = "4242", "0341", "3184"
DISPUTED_CARD = "0259"
API_VERSION = "2026-10-28.endive"
Object = dict[str, Any]


class Refused(Exception):  # noqa: N818  an answer, not a failure
    """An error that Stripe answers with."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        kind = more.pop("type", "invalid_request_error")
        self.body = {"error": {"type": kind, "message": message, **more}}


class StripeDouble:
    """The state. Without a `webhook_url` events wait in `post` and stand in `events`."""

    def __init__(self, webhook_url: str | None = None) -> None:
        self.post = Post(webhook_url)
        self.url = ""
        self.down = False
        self.tax_percent = 8  # where automatic tax is on
        # How many answers are lost on their way, although the work was done.
        self.lost_answers = 0
        # By idempotency key: what was asked, the status, the answer.
        self.answers: dict[str, tuple[str, int, Object]] = {}
        self.objects: dict[str, Object] = {}
        self.events: list[Object] = []
        self.lock = threading.RLock()
        fixtures = REFERENCE_DATA / "stripe" / "fixtures3.json"
        self.examples = json.loads(fixtures.read_text())["resources"]

    # --- Objects ------------------------------------------------------------------------------

    def make(self, kind: str, prefix: str, **fields: Any) -> Object:
        """A new object, shaped as Stripe's example of its kind."""
        example = json.loads(json.dumps(self.examples[kind]))
        made: Object = {
            **example,
            "id": f"{prefix}_{secrets.token_hex(12)}",
            "created": int(time.time()),
            "metadata": {},
            **fields,
        }
        self.objects[made["id"]] = made
        return made

    def get(self, kind: str, object_id: str) -> Object:
        found = self.objects.get(object_id)
        if found is None or found["object"] != kind:
            raise Refused(404, f"No such {kind}: '{object_id}'", code="resource_missing")
        return found

    def customer(self, customer_id: str) -> Object:
        """One that a request names: a deleted one can be looked at, and nothing else."""
        found = self.objects.get(customer_id)
        if found is None or found.get("deleted"):
            text = f"No such customer: '{customer_id}'"
            raise Refused(404, text, code="resource_missing", param="customer")
        return found

    def delete_customer(self, customer_id: str) -> None:
        """As an operator does in the dashboard; subscriptions end with it, cards are detached."""
        from tests.billing.stripe_double import subscriptions  # it knows this module

        for each in self.all("subscription"):
            if each["customer"] == customer_id and each["status"] != "canceled":
                subscriptions.cancel(self, each["id"])
        self.objects[customer_id] = {"id": customer_id, "object": "customer", "deleted": True}
        for each in self.all("payment_method"):
            if each["customer"] == customer_id:
                each["customer"] = None
                self.emit("payment_method.detached", each)

    def all(self, kind: str) -> list[Object]:
        """Newest first, as Stripe lists."""
        found = [each for each in self.objects.values() if each["object"] == kind]
        return found[::-1]

    @property
    def sessions(self) -> dict[str, Object]:
        return {each["id"]: each for each in self.all("checkout.session")[::-1]}

    def forget(self) -> None:
        """After a day: idempotency keys, and the identifiers of meter events."""
        self.answers.clear()
        for each in self.all("billing.meter_event"):
            each["identifier"] = "forgotten"

    def emit(self, kind: str, subject: Object) -> Object:
        event = {
            **self.examples["event"],
            "id": f"evt_{secrets.token_hex(12)}",
            "api_version": API_VERSION,
            "created": int(time.time()),
            "type": kind,
            "data": {"object": json.loads(json.dumps(subject))},
        }
        self.events.append(event)
        self.post.hand_over(event)
        return event

    # --- What customers and banks do ------------------------------------------------------------

    def pay(self, session_id: str, card: str = GOOD_CARD, *, discount: int = 0) -> Object:
        """The customer fills in the hosted page: the session is complete, events are on their way.

        In mode `setup` the card is kept and nothing is paid. `discount` is what a promotion code
        takes off, in cents.
        """
        session = self.get("checkout.session", session_id)
        if session["status"] != "open":
            return session
        if session["mode"] == "setup":
            self._keep_card(session, card)
        elif session["mode"] == "subscription":
            self._subscribe(session)
        else:
            self._pay(session, discount)
        session["status"] = "complete"
        self.emit("checkout.session.completed", session)
        return session

    def pay_by_debit(self, session_id: str) -> Object:
        """The page is filled in with a bank account: `answer_debit` says days later what came."""
        session = self.get("checkout.session", session_id)
        intent = self._intent(
            session["amount_total"], session["currency"], session["customer"],
            metadata=session["intent_metadata"],
        )  # fmt: skip
        intent["status"] = "processing"
        session.update(status="complete", payment_status="unpaid", payment_intent=intent["id"])
        self.emit("checkout.session.completed", session)
        return session

    def answer_debit(self, session_id: str, *, paid: bool) -> None:
        session = self.get("checkout.session", session_id)
        intent = self.get("payment_intent", session["payment_intent"])
        if paid:
            self._succeed(intent)
            session["payment_status"] = "paid"
            self.emit("checkout.session.async_payment_succeeded", session)
        else:
            intent["status"] = "requires_payment_method"
            intent["last_payment_error"] = {"type": "card_error", "code": "debit_not_authorized"}
            self.emit("checkout.session.async_payment_failed", session)

    def _pay(self, session: Object, discount: int) -> None:
        if discount and not session["allow_promotion_codes"]:
            raise Refused(400, "This page takes no promotion codes.")
        due = session["amount_subtotal"] - discount
        rate = self.tax_percent if session["automatic_tax"]["enabled"] else 0
        tax = (due * rate + 50) // 100
        session["amount_total"] = due + tax
        session["total_details"].update(amount_discount=discount, amount_tax=tax)
        if session["amount_total"]:
            intent = self._intent(
                session["amount_total"], session["currency"], session["customer"],
                metadata=session["intent_metadata"],
            )  # fmt: skip
            self._succeed(intent)
            session.update(payment_status="paid", payment_intent=intent["id"])
        else:
            session["payment_status"] = "no_payment_required"
        if session["invoice_creation"]["enabled"]:
            invoice = self.make(
                "invoice", "in", customer=session["customer"], status="paid",
                amount_due=due + tax, amount_paid=due + tax, amount_remaining=0, parent=None,
            )  # fmt: skip
            invoice["hosted_invoice_url"] = f"{self.url}/invoice/{invoice['id']}"
            session["invoice"] = invoice["id"]

    def _keep_card(self, session: Object, card: str) -> None:
        method = self.save_card(session["customer"], card)
        if session["billing_address_collection"] == "required":
            method["billing_details"]["address"].update(country="US", postal_code="98104")
        setup = self.make(
            "setup_intent", "seti", status="succeeded", customer=session["customer"],
            payment_method=method["id"],
        )  # fmt: skip
        session.update(setup_intent=setup["id"], payment_status="no_payment_required")

    def _subscribe(self, session: Object) -> None:
        from tests.billing.stripe_double import subscriptions  # it knows this module

        made = subscriptions.begin(
            self, {"customer": session["customer"], "items": session["line_items"]}
        )
        session.update(subscription=made["id"], payment_status="paid")

    def save_card(self, customer_id: str, card: str = GOOD_CARD) -> Object:
        method = self.make("payment_method", "pm", customer=customer_id)
        method["card"]["last4"] = card
        method["billing_details"]["address"] = dict.fromkeys(method["billing_details"]["address"])
        self.emit("payment_method.attached", method)
        return method

    def remove_card(self, method_id: str) -> None:
        """As the customer does in the portal."""
        method = self.get("payment_method", method_id)
        for customer in self.all("customer"):
            if customer["invoice_settings"]["default_payment_method"] == method_id:
                customer["invoice_settings"]["default_payment_method"] = None
                self.emit("customer.updated", customer)
        method["customer"] = None
        self.emit("payment_method.detached", method)

    def expire(self, session_id: str) -> None:
        session = self.get("checkout.session", session_id)
        session["status"] = "expired"
        self.emit("checkout.session.expired", session)

    def pay_off_session(self, fields: Object) -> Object:
        """A PaymentIntent confirmed without the customer; raises Refused when the bank says no."""
        method = self.get("payment_method", fields["payment_method"])
        if method["customer"] != fields["customer"]:
            raise Refused(400, "The payment method does not belong to the customer.")
        intent = self._intent(
            int(fields["amount"]), fields["currency"], fields["customer"],
            payment_method=method["id"], metadata=fields.get("metadata", {}),
            hooks=fields.get("hooks"),
        )  # fmt: skip
        codes = {DECLINED_CARD: "card_declined", AUTHENTICATION_CARD: "authentication_required"}
        code = codes.get(method["card"]["last4"])
        if code is None:
            self._succeed(intent)
            self._post_tax(intent)
            if method["card"]["last4"] == DISPUTED_CARD:
                self.dispute(intent["id"])
            return intent
        error = {"type": "card_error", "code": code, "decline_code": code}
        intent["last_payment_error"] = {**error, "message": "Your card was declined."}
        self.emit("payment_intent.payment_failed", intent)
        raise Refused(402, "Your card was declined.", **error, payment_intent=dict(intent))

    def _post_tax(self, intent: Object) -> None:
        """Of a calculation that was sent with the payment Stripe makes a transaction."""
        if intent["hooks"]:
            calculation = self.get(
                "tax.calculation", intent["hooks"]["inputs"]["tax"]["calculation"]
            )
            if calculation["amount_total"] != intent["amount"]:
                raise Refused(400, "The amount is not the calculation's total.")
            self.make("tax.transaction", "tax", reference=intent["id"], type="transaction")

    def _intent(self, amount: int, currency: str, customer: str | None, **more: Any) -> Object:
        return self.make(
            "payment_intent", "pi", amount=amount, currency=currency, customer=customer,
            status="requires_payment_method", amount_received=0, last_payment_error=None,
            next_action=None, **more,
        )  # fmt: skip

    def _succeed(self, intent: Object) -> Object:
        charge = self.make(
            "charge", "ch", amount=intent["amount"], amount_captured=intent["amount"],
            captured=True, customer=intent["customer"], payment_intent=intent["id"],
            status="succeeded", paid=True, amount_refunded=0, refunded=False, disputed=False,
        )  # fmt: skip
        charge["receipt_url"] = f"{self.url}/receipt/{charge['id']}"
        intent.update(
            status="succeeded", amount_received=intent["amount"], latest_charge=charge["id"]
        )
        self.emit("payment_intent.succeeded", intent)
        return intent

    def refund(self, intent_id: str, amount: int | None = None, **more: Any) -> Object:
        """All that is left of a payment, or `amount` cents of it."""
        intent = self.get("payment_intent", intent_id)
        charge = self.get("charge", intent["latest_charge"] or "")
        left = charge["amount"] - charge["amount_refunded"]
        amount = left if amount is None else amount
        kept = [each for each in self.all("dispute") if each["charge"] == charge["id"]]
        if any(each["status"] != "won" for each in kept):
            raise Refused(400, "This charge has been charged back.", code="charge_disputed")
        if not 0 < amount <= left:
            raise Refused(400, "Refund amount is greater than unrefunded amount on charge.")
        charge["amount_refunded"] += amount
        refund = self.make(
            "refund", "re", amount=amount, charge=charge["id"], payment_intent=intent_id,
            currency=intent["currency"], **{"status": "succeeded", **more},
        )  # fmt: skip
        self.emit("refund.created", refund)
        self.emit("charge.refunded", charge)
        return refund

    def fail_refund(self, refund_id: str) -> None:
        """The bank sends a refund back, days later."""
        refund = self.get("refund", refund_id)
        refund.update(status="failed", failure_reason="lost_or_stolen_card")
        self.get("charge", refund["charge"])["amount_refunded"] -= refund["amount"]
        self.emit("refund.failed", refund)

    def dispute(self, intent_id: str, amount: int | None = None) -> Object:
        """The customer's bank takes a payment back: what is left of it, or `amount` cents."""
        intent = self.get("payment_intent", intent_id)
        charge = self.get("charge", intent["latest_charge"])
        charge["disputed"] = True
        dispute = self.make(
            "dispute", "dp",
            amount=amount or charge["amount"] - charge["amount_refunded"],
            charge=charge["id"], payment_intent=intent_id, currency=intent["currency"],
            status="needs_response", reason="fraudulent",
        )  # fmt: skip
        self.emit("charge.dispute.created", dispute)
        return dispute

    def close_dispute(self, dispute_id: str, *, won: bool) -> Object:
        dispute = self.get("dispute", dispute_id)
        dispute["status"] = "won" if won else "lost"
        self.emit("charge.dispute.closed", dispute)
        return dispute
