"""Kept bodies: sealed, bounded, and their organisation's alone."""

from datetime import timedelta

from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import Organisation, User
from inference.log import bodies
from inference.log.bodies import Bodies
from inference.models import KeptBodies

REQUEST, ANSWER = b'{"prompt": "my secret"}', b'{"text": "an answer"}'
WHOLE = Bodies(REQUEST, ANSWER, len(REQUEST), len(ANSWER))


def test_what_is_kept_is_read_again(keeper: Organisation) -> None:
    bodies.keep(keeper.id, "req_1", WHOLE)
    bodies.keep(keeper.id, "req_1", Bodies(b"x", b"y", 1, 1))  # the first one stays
    assert bodies.read(keeper.id, "req_1") == WHOLE
    assert bodies.read(keeper.id, "req_2") is None


def test_no_row_holds_a_text(keeper: Organisation) -> None:
    bodies.keep(keeper.id, "req_1", WHOLE)
    row = KeptBodies.objects.get()
    assert b"secret" not in bytes(row.sealed_request)
    assert b"answer" not in bytes(row.sealed_answer)


def test_it_is_nobody_elses(keeper: Organisation, charlie: User) -> None:
    other = charlie.memberships.get().organisation
    Organisation.objects.update(keeps_bodies=True)
    bodies.keep(keeper.id, "req_1", WHOLE)
    assert bodies.read(other.id, "req_1") is None
    KeptBodies.objects.update(organisation=other)  # a row that was moved does not open
    assert bodies.read(other.id, "req_1") is None


def test_what_is_too_large_is_cut_and_says_so(keeper: Organisation, settings: Settings) -> None:
    settings.KEPT_BODY_MAX_BYTES = 10
    bodies.keep(keeper.id, "req_1", WHOLE)
    found = bodies.read(keeper.id, "req_1")
    assert found == Bodies(REQUEST[:10], ANSWER[:10], len(REQUEST), len(ANSWER))


def test_what_is_over_is_not_read_though_it_is_still_there(keeper: Organisation) -> None:
    bodies.keep(keeper.id, "req_1", WHOLE)
    KeptBodies.objects.update(created_at=timezone.now() - timedelta(days=7, seconds=1))
    assert bodies.read(keeper.id, "req_1") is None
    KeptBodies.objects.update(created_at=timezone.now() - timedelta(days=6, hours=23))
    assert bodies.read(keeper.id, "req_1") == WHOLE
    Organisation.objects.update(keeps_bodies=False)
    assert bodies.read(keeper.id, "req_1") is None


def test_a_lost_key_is_no_crash(keeper: Organisation, settings: Settings) -> None:
    bodies.keep(keeper.id, "req_1", WHOLE)
    settings.SECRET_KEY = "another one"
    assert bodies.read(keeper.id, "req_1") is None
