"""Tokens that were sampled and that no usage record tells of: ours to pay."""

from billing.models import LateWaiver


def note(request_id: str, tokens: int, *, model: str) -> None:
    """Idempotent by request id."""
    waiver = LateWaiver(request_id=request_id, model=model, tokens=tokens)
    LateWaiver.objects.bulk_create([waiver], ignore_conflicts=True)
