"""The page and what its modules fetch."""

import json
import re
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership, Organisation, Role, User
from billing import pricing
from inference import catalog
from inference.models import ServedModel
from playground import history
from playground.models import Conversation, Message
from tests.playground.conftest import run


@pytest.fixture
def kept(alice: User, organisation: Organisation) -> Conversation:
    conversation = Conversation.objects.create(
        organisation=organisation,
        user=alice,
        title="<b>Hello</b>",
        model="starter",
        parameters={"temperature": 0.5},
    )
    Message.objects.create(conversation=conversation, position=0, role="user", content="Hello")
    return conversation


@pytest.fixture(autouse=True)
def starter(db: None) -> Iterator[None]:
    catalog.ensure_starter()
    catalog.forget()
    yield
    catalog.forget()


def test_the_page_lists_models_with_their_prices(alice_client: Client) -> None:
    page = alice_client.get("/playground/").content.decode()
    assert '<option value="starter"' in page
    assert "$0.10 / $0.40" in page
    for hook in ('id="composer"', 'data-testid="run"', 'data-testid="stop"', 'id="model"'):
        assert hook in page


def test_a_model_that_is_switched_off_for_now_says_so_and_is_not_begun_with(
    alice_client: Client,
) -> None:
    """An operator unloads the first of the list, and a new chat asks one that answers."""
    ServedModel.objects.create(name="first", position=-1, state="unloaded", max_model_len=4096)
    pricing.ensure_price("first", 1, 1, 1)
    catalog.forget()
    page = alice_client.get("/playground/").content.decode()
    options = dict(re.findall(r'<option value="(first|starter)"[^>]*>([^<]*)<', page))
    assert options == {
        "first": "first · Switched off for now",
        "starter": "starter · $0.10 / $0.40",
    }
    assert begins_with(page) == ["starter", "chat"]
    page = alice_client.get("/playground/?model=first").content.decode()
    assert begins_with(page) == ["first", "chat"]
    page = alice_client.get("/playground/?model=withdrawn").content.decode()
    assert begins_with(page) == ["starter", "chat"]


def test_a_model_without_a_chat_template_begins_with_a_completion(alice_client: Client) -> None:
    """Whoever tries it gets it, and no other model's chat; a new chat asks one that has one."""
    ServedModel.objects.create(name="base", position=-1, is_chat=False, max_model_len=4096)
    pricing.ensure_price("base", 1, 1, 1)
    catalog.forget()
    page = alice_client.get("/playground/?model=base").content.decode()
    assert begins_with(page) == ["base", "completion"]
    assert begins_with(alice_client.get("/playground/").content.decode()) == ["starter", "chat"]
    ServedModel.objects.filter(is_chat=True).delete()
    catalog.forget()
    page = alice_client.get("/playground/").content.decode()
    assert begins_with(page) == ["base", "completion"]


def begins_with(page: str) -> list[str]:
    """The model and the mode that are chosen when the page comes."""
    return re.findall(r'value="(\w+)"[^>]* (?:selected|checked)\b', page)[:2]


def test_the_page_needs_a_sign_in(client: Client) -> None:
    assert client.get("/playground/").status_code == 302


@pytest.mark.parametrize("role", [Role.BILLING, Role.VIEWER])
def test_the_page_is_for_those_who_may_spend(
    bob_client: Client, bob: User, role: str, kept: Conversation
) -> None:
    Membership.objects.filter(user=bob).update(role=role)
    assert bob_client.get("/playground/").status_code == 403
    assert bob_client.get("/playground/conversations/").status_code == 403


def test_a_conversation_opens_in_the_page(alice_client: Client, kept: Conversation) -> None:
    page = alice_client.get(f"/playground/?conversation={kept.id}")
    assert page.context["data"]["conversation"]["messages"][0]["content"] == "Hello"
    assert b"<b>Hello</b>" not in page.content


def test_a_conversation_is_its_owners_alone(
    alice_client: Client, bob_client: Client, charlie_client: Client, kept: Conversation
) -> None:
    path = f"/playground/conversations/{kept.id}/"
    assert alice_client.get(path).json()["parameters"] == {"temperature": 0.5}
    for other in (bob_client, charlie_client):
        assert other.get(path).status_code == 404
        assert other.get(f"/playground/?conversation={kept.id}").status_code == 404
        assert other.post(path + "delete/").status_code == 404
        assert b"Hello" not in other.get("/playground/conversations/").content
    assert Conversation.objects.filter(pk=kept.pk).exists()


@pytest.mark.parametrize("odd", ["%00", "conv_%00", "%F0%9F%99%82", "x" * 500])
def test_an_odd_conversation_is_not_there(alice_client: Client, odd: str) -> None:
    assert alice_client.get(f"/playground/?conversation={odd}").status_code == 404
    assert alice_client.get(f"/playground/conversations/{odd}/").status_code == 404
    assert alice_client.post(f"/playground/conversations/{odd}/delete/").status_code == 404


def test_an_answer_is_found_by_its_request_by_its_owner_alone(
    alice_client: Client, bob_client: Client, kept: Conversation
) -> None:
    assert alice_client.get("/playground/answers/req_1/").json() == {"answer": None}
    measured = {"cost_nanos": 7}
    Message.objects.create(
        conversation=kept, position=1, role="assistant", content="Hi", request_id="req_1",
        measured=measured,
    )  # fmt: skip
    found = alice_client.get("/playground/answers/req_1/").json()
    assert found == {
        "answer": {
            "conversation": kept.id, "content": "Hi", "tool_calls": [], "summary": measured
        }
    }  # fmt: skip
    assert bob_client.get("/playground/answers/req_1/").json() == {"answer": None}


def test_a_long_history_says_that_it_goes_on(alice_client: Client, kept: Conversation) -> None:
    told = "The latest 50 are shown"
    owner = {"organisation": kept.organisation, "user": kept.user}
    rows = [Conversation(**owner, title=f"robot {number}") for number in range(history.LISTED - 1)]
    Conversation.objects.bulk_create(rows)
    for path in ("/playground/", "/playground/conversations/"):
        assert told not in alice_client.get(path).content.decode()
    Conversation.objects.create(**owner, title="robot")
    for path in ("/playground/", "/playground/conversations/"):
        page = alice_client.get(path).content.decode()
        assert told in page
        assert page.count("data-conversation=") == history.LISTED
    assert told not in alice_client.get("/playground/conversations/?q=hello").content.decode()


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("path", ["/playground/", "/playground/conversations/"])
def test_the_list_reads_no_parameters(alice_client: Client, path: str) -> None:
    """Of fifty conversations with tools, which may be as large as a frame."""
    with CaptureQueriesContext(connection) as asked:
        assert "Hello" in alice_client.get(path).content.decode()
    listing = [each["sql"] for each in asked if f"LIMIT {history.LISTED + 1}" in each["sql"]]
    assert len(listing) == 1
    assert "parameters" not in listing[0]


def test_delete_means_deleted(alice_client: Client, kept: Conversation) -> None:
    path = f"/playground/conversations/{kept.id}/delete/"
    assert alice_client.get(path).status_code == 405
    assert alice_client.post(path).status_code == 204
    assert not Message.objects.exists()
    assert alice_client.post(path).status_code == 404


def test_the_list_shows_titles_as_text(alice_client: Client, kept: Conversation) -> None:
    fragment = alice_client.get("/playground/conversations/").content.decode()
    assert "&lt;b&gt;Hello&lt;/b&gt;" in fragment
    assert "<b>" not in fragment


def test_code_is_shown_for_a_run_alone(alice_client: Client, client: Client) -> None:
    def ask(client: Client, frame: object) -> int:
        body = json.dumps(frame)
        return client.post("/playground/code/", body, content_type="application/json").status_code

    assert ask(alice_client, run()) == 200
    assert ask(alice_client, {"type": "ping"}) == 400
    assert ask(alice_client, run(price=0)) == 400
    assert ask(alice_client, "nonsense") == 400
    assert ask(client, run()) == 302
    assert alice_client.get("/playground/code/").status_code == 405
