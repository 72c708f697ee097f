"""Threads that send the same Idempotency-Key at once: exactly one of them runs the request.

Run as a program against a database of its own:
    python -m tests.inference.log.race        (with DATABASE_URL or DATA_DIR set; migrates first)
"""

import os
from collections import Counter
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from accounts import flows  # noqa: E402
from accounts.models import User  # noqa: E402
from inference.log import replays  # noqa: E402
from inference.log.models import KeyedRequest  # noqa: E402
from inference.log.replays import Answer, Asked, Ours  # noqa: E402
from tests.at_once import at_once  # noqa: E402

THREADS = 50
ROUNDS = 5


def main() -> None:
    call_command("migrate", verbosity=0)
    user = User.objects.create_user("race@example.com")
    organisation_id = flows.create_organisation(user, "Race", welcome=False).id
    for number in range(ROUNDS):
        asked = replays.asked(organisation_id, f"key {number}", "/v1", b"body", "req")
        first = compete(asked)
        assert first == {"Ours": 1, "Running": THREADS - 1}, first
        # Its process dies: the lease ends, and exactly one of those who come takes over.
        KeyedRequest.objects.update(lease=0)
        second = compete(asked)
        assert second == {"Ours": 1, "Running": THREADS - 1}, second
        # The same when its day is over.
        [ours] = WINNERS[-1:]
        assert replays.keep(ours, Answer({}, b"text"))
        assert compete(asked) == {"Answer": THREADS}
        past = timezone.now() - timedelta(seconds=1)
        KeyedRequest.objects.update(expires_at=past, lease=0)
        third = compete(asked)
        assert third == {"Ours": 1, "Running": THREADS - 1}, third
        # Those who lost it change nothing.
        for loser in WINNERS[:-1]:
            assert not replays.renew(loser)
            assert not replays.keep(loser, Answer({}, b"late"))
            assert not replays.keep_too_large(loser)
            assert not replays.release(loser)
        # Released while others ask: never two at a time.
        replays.release(WINNERS[-1])
        fourth = compete(asked)
        assert fourth == {"Ours": 1, "Running": THREADS - 1}, fourth
        replays.release(WINNERS[-1])
    assert not KeyedRequest.objects.exists()
    print(f"{len(WINNERS)} of {THREADS * 4 * ROUNDS} ran")


WINNERS: list[Ours] = []


def compete(asked: Asked) -> Counter[str]:
    """What each thread was told."""
    told = at_once(THREADS, lambda _number: replays.claim(asked))
    WINNERS.extend(answer for answer in told if isinstance(answer, Ours))
    return Counter(type(answer).__name__ for answer in told)


if __name__ == "__main__":
    main()
