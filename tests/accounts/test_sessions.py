"""What is kept of sessions, and for how long."""

from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import tasks
from accounts.models import User


def test_from_where_somebody_signed_in_is_forgotten_with_the_session(
    alice: User, alice_client: Client, bob_client: Client
) -> None:
    """Also when they never look at the list of their sessions, with which the library forgets."""
    week_ago = timezone.now() - timedelta(days=7)
    for key, since in (
        (alice_client.session.session_key, week_ago),
        (bob_client.session.session_key, week_ago),
        ("over", week_ago),
        ("beginning", timezone.now()),
    ):
        UserSession.objects.create(
            session_key=key, created_at=since, user=alice, ip="192.0.2.1", user_agent="A"
        )
    expired = Session.objects.filter(session_key=bob_client.session.session_key)
    expired.update(expire_date=timezone.now())
    with CaptureQueriesContext(connection) as asked:
        tasks.forget_what_is_over()
    assert not [each for each in asked if "IN (SELECT" in each["sql"]], "PostgreSQL takes hours"
    kept = set(UserSession.objects.values_list("session_key", flat=True))
    assert kept == {alice_client.session.session_key, "beginning"}
