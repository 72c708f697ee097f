"""Conversations as files: one, or all of a member's in an organisation."""

import json
from typing import Any

from asgiref.sync import async_to_sync
from django.db import connection
from django.http import HttpResponse
from django.test import Client

from playground.models import Conversation, new_conversation_id

JSON, MARKDOWN = "/playground/conversations.json", "/playground/conversations.md"


def read(answer: HttpResponse) -> list[str]:
    """Its pieces, as a server sends them."""

    async def pieces() -> list[str]:
        return [piece.decode() async for piece in answer]  # type: ignore[attr-defined]

    return async_to_sync(pieces)()


def test_the_whole_history_is_exported_and_nobody_elses(
    alice_client: Client, bob_client: Client, charlie_client: Client, kept: Conversation
) -> None:
    exported = alice_client.get(JSON)
    assert 'filename="conversations.json"' in exported["Content-Disposition"]
    [whole] = json.loads("".join(read(exported)))["conversations"]
    assert whole == alice_client.get(f"/playground/conversations/{kept.id}.json").json()
    assert whole["created_at"] == kept.created_at.isoformat()
    assert "## Assistant\n\n<b>No</b>, 100% dry\n" in "".join(read(alice_client.get(MARKDOWN)))
    for other in (bob_client, charlie_client):
        assert json.loads("".join(read(other.get(JSON)))) == {"conversations": []}
        assert "".join(read(other.get(MARKDOWN))) == ""


def test_it_is_read_and_sent_bit_by_bit(alice_client: Client, kept: Conversation) -> None:
    """It may be larger than what the process has room for."""
    for _ in range(24):
        kept.pk = new_conversation_id()
        kept.save(force_insert=True)
    queries: list[str] = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        queries.append(sql)
        return execute(sql, *rest)

    exported = alice_client.get(JSON)
    with connection.execute_wrapper(note):
        pieces = read(exported)
    assert len(json.loads("".join(pieces))["conversations"]) == 25
    assert len(pieces) > 25
    assert len([sql for sql in queries if "playground_message" in sql]) == 3, "ten at a time"
    whole = [sql for sql in queries if "playground_conversation" in sql and "title" in sql]
    assert len(whole) == 3, "none stays open while somebody reads what came of it"


def test_a_conversation_is_exported_in_both_forms(
    alice_client: Client, bob_client: Client, kept: Conversation
) -> None:
    path = f"/playground/conversations/{kept.id}"
    exported = alice_client.get(f"{path}.json")
    assert json.loads(exported.content)["messages"][1]["measured"]["cost_nanos"] == 7
    assert f'filename="{kept.id}.json"' in exported["Content-Disposition"]
    text = alice_client.get(f"{path}.md").content.decode()
    assert text.startswith("# Rain in Zug\n")
    assert "## Assistant\n\n<b>No</b>, 100% dry\n" in text
    assert alice_client.get(f"{path}.pdf").status_code == 404
    for form in ("json", "md"):
        assert bob_client.get(f"{path}.{form}").status_code == 404
