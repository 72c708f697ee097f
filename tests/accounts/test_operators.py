"""The operator's one-time link, the command line, and the console."""

from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command
from django.db.models import signals
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts import flows, operators
from accounts.authentication import authenticate_key
from accounts.models import ApiKey, Organisation, OutgoingMail, User
from billing import closing, ledger
from billing.models import Price, Transfer
from portal.lib.money import NANOS_PER_DOLLAR

pytestmark = pytest.mark.django_db


def link_path() -> str:
    address = operators.make_link()
    return address[address.index("/operator-link/") :]


@pytest.fixture
def operator(client: Client) -> Client:
    client.post(link_path())
    return client


def test_a_link_signs_in_once(client: Client) -> None:
    path = link_path()
    assert client.get(path).status_code == 200, "looking does not use it up"
    assert client.post(path)["Location"] == reverse("admin:index")
    assert client.get(reverse("admin:index")).status_code == 200
    other = Client()
    assert other.post(path)["Location"] == reverse("account_login")


def test_an_old_link_does_not_sign_in(client: Client) -> None:
    path = link_path()
    operators.OperatorLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = client.post(path, follow=True)
    assert answer.redirect_chain == [(reverse("account_login"), 302)]
    assert "`manage.py operatorlink` makes another" in answer.content.decode()


def test_links_share_one_operator() -> None:
    operators.make_link()
    operators.make_link()
    assert User.objects.filter(is_superuser=True).count() == 1


def test_the_command_prints_the_link() -> None:
    printed = StringIO()
    call_command("operatorlink", stdout=printed)
    assert "/operator-link/" in printed.getvalue()


def test_the_link_leads_to_where_serve_said_it_is(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.BASE_URL, settings.ADDRESS_FILE = "http://localhost:8000", tmp_path / "address"
    assert operators.make_link().startswith("http://localhost:8000/operator-link/")
    settings.ADDRESS_FILE.write_text("http://localhost:9000")
    assert operators.make_link().startswith("http://localhost:9000/operator-link/")
    monkeypatch.setenv("PORT", "8000")
    assert operators.make_link().startswith("http://localhost:8000/operator-link/")


def issue(**options: str) -> str:
    printed = StringIO()
    call_command("issuekey", **{"email": "n@example.com", "name": "k", **options}, stdout=printed)
    return printed.getvalue()


def test_issuekey_prints_a_working_key_alone_and_grants_exactly_its_credit() -> None:
    printed = issue(credit="5.00")
    caller = authenticate_key(printed.strip(), "", "inference")
    assert printed == f"{printed.strip()}\n"
    assert ledger.balance(caller.organisation_id).posted_nanos == 5 * NANOS_PER_DOLLAR
    issue(credit="0.000000001")
    assert User.objects.filter(email="n@example.com").count() == 1
    assert ledger.balance(caller.organisation_id).posted_nanos == 5 * NANOS_PER_DOLLAR + 1


@pytest.mark.parametrize(
    ("option", "value"), [("email", "nope"), ("credit", "-1"), ("credit", "x"), ("name", " ")]
)
def test_issuekey_names_a_bad_option(option: str, value: str) -> None:
    with pytest.raises(CommandError, match=f"--{option}"):
        issue(**{option: value})
    assert not ApiKey.objects.exists()


def test_a_member_does_not_enter_the_console(alice_client: Client) -> None:
    assert alice_client.get(reverse("admin:index")).status_code == 302


CONSOLE = [
    "admin:accounts_user_changelist", "admin:accounts_organisation_changelist",
    "admin:accounts_apikey_changelist", "admin:accounts_outgoingmail_changelist",
    "admin:billing_price_changelist", "admin:billing_price_add", "admin:billing_account_changelist",
    "admin:billing_transfer_changelist", "admin:billing_hold_changelist",
    "admin:billing_usagerecord_changelist", "admin:billing_webhookdelivery_changelist",
    "admin:billing_topup_changelist", "admin:billing_grant", "admin:billing_audit",
    "admin:inference_servedmodel_changelist",
]  # fmt: skip


@pytest.mark.parametrize("name", CONSOLE)
def test_every_page_of_the_console_works(
    name: str, operator: Client, organisation: Organisation
) -> None:
    assert operator.get(reverse(name)).status_code == 200


def test_every_list_of_the_console_can_be_searched(
    operator: Client, organisation: Organisation
) -> None:
    """Also those of packages, whose people have other names than ours."""
    for model, shown in admin.site._registry.items():
        page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        asked = RequestFactory().get(page)
        asked.user = User.objects.get(is_superuser=True)
        if shown.get_search_fields(asked):
            for query in ("alice", "1", "2026-02-30"):
                assert operator.get(page, {"q": query}).status_code == 200, page


def test_a_session_that_an_operator_deletes_has_ended(
    operator: Client, alice_client: Client, alice: User
) -> None:
    assert alice_client.get(reverse("overview")).status_code == 200
    session = UserSession.objects.create(
        user=alice, session_key=alice_client.session.session_key, ip="127.0.0.1", user_agent="A"
    )
    page = reverse("admin:usersessions_usersession_delete", args=[session.pk])
    assert operator.post(page, {"post": "yes"}).status_code == 302
    assert alice_client.get(reverse("overview")).status_code == 302


def test_what_codes_are_made_from_is_not_shown(operator: Client, alice: User) -> None:
    factor = Authenticator.objects.create(user=alice, type="totp", data={"secret": "HUSHHUSH"})
    page = operator.get(reverse("admin:mfa_authenticator_change", args=[factor.pk]))
    assert alice.email in page.content.decode()
    assert "HUSH" not in page.content.decode()


def test_a_grant_needs_a_reason_and_is_posted_once(
    operator: Client, organisation: Organisation
) -> None:
    page = reverse("admin:billing_grant")
    fields = {"organisation": organisation.id, "amount": "3", "reason": "Sorry", "form_token": "t"}
    for missing in ("organisation", "amount", "reason"):
        answer = operator.post(page, {**fields, missing: ""})
        assert answer.context["form"].errors.keys() == {missing}
    for _ in range(2):
        assert operator.post(page, fields).status_code == 302
    transfer = Transfer.objects.get(reference="grant:console:t")
    assert (transfer.description, transfer.actor) == ("Sorry", operators.FIRST_OPERATOR)
    assert ledger.balance(organisation.id).posted_nanos == 13 * NANOS_PER_DOLLAR


def test_the_same_grant_again_is_asked_first(operator: Client, organisation: Organisation) -> None:
    page = reverse("admin:billing_grant")
    fields = {"organisation": organisation.id, "amount": "3", "reason": "Sorry", "form_token": "t"}
    operator.post(page, fields)
    back = {**fields, "form_token": "u"}  # the page is made anew, what was typed is there still
    answer = operator.post(page, back)
    assert answer.context["form"].errors.keys() == {"again"}
    assert '<input type="checkbox" name="again"' in answer.content.decode()
    assert ledger.balance(organisation.id).posted_nanos == 13 * NANOS_PER_DOLLAR
    for changed in ({**back, "again": "on"}, {**fields, "form_token": "v", "reason": "Thanks"}):
        assert operator.post(page, changed).status_code == 302
    assert ledger.balance(organisation.id).posted_nanos == 19 * NANOS_PER_DOLLAR


def test_a_grant_of_more_than_an_account_takes_is_refused(
    operator: Client, organisation: Organisation
) -> None:
    fields = {"organisation": organisation.id, "amount": "999999999", "reason": "Much"}
    page = reverse("admin:billing_grant")
    answers = [
        operator.post(page, {**fields, "form_token": str(number), "again": "on"})
        for number in range(4)
    ]
    assert [answer.status_code for answer in answers] == [302, 302, 302, 200]
    assert answers[-1].context["form"].errors.keys() == {"amount"}


def test_a_grant_form_that_was_sent_takes_no_other_amount(
    operator: Client, organisation: Organisation
) -> None:
    page = reverse("admin:billing_grant")
    fields = {"organisation": organisation.id, "amount": "3", "reason": "Sorry", "form_token": "t"}
    operator.post(page, fields)
    answer = operator.post(page, {**fields, "amount": "30"})
    assert "has already granted $3.00" in answer.content.decode()
    assert ledger.balance(organisation.id).posted_nanos == 13 * NANOS_PER_DOLLAR


@pytest.mark.parametrize(
    ("page", "more"),
    [("billing_grant", {"amount": "3", "reason": "Sorry", "form_token": "t"}),
     ("billing_credit_line", {"line": "3"})],
)  # fmt: skip
def test_a_deleted_organisation_gets_no_credit(
    operator: Client, organisation: Organisation, page: str, more: dict[str, str]
) -> None:
    closing.ask(organisation, "alice@example.com")
    answer = operator.post(reverse(f"admin:{page}"), {"organisation": organisation.pk, **more})
    assert answer.context["form"].errors.keys() == {"organisation"}


def test_a_flex_tier_above_the_price_is_refused_by_its_field(operator: Client) -> None:
    fields = {
        "model": "m", "input_nanos_per_mtok": "1", "cached_input_nanos_per_mtok": "1",
        "output_nanos_per_mtok": "1", "flex_multiplier_bp": "10001",
        "effective_from": "2026-01-01 00:00:00",
    }  # fmt: skip
    answer = operator.post(reverse("admin:billing_price_add"), fields)
    assert answer.context["adminform"].form.errors.keys() == {"flex_multiplier_bp"}


def test_a_price_is_written_and_shown_in_dollars(operator: Client) -> None:
    page = reverse("admin:billing_price_add")
    fields = {
        "model": "m", "input_nanos_per_mtok": "0.10", "cached_input_nanos_per_mtok": "0.05",
        "output_nanos_per_mtok": "0.4", "flex_multiplier_bp": "5000",
        "effective_from": "2026-01-01 00:00:00",
    }  # fmt: skip
    assert operator.post(page, {**fields, "output_nanos_per_mtok": ""}).status_code == 200
    assert operator.post(page, fields).status_code == 302
    price = Price.objects.get(model="m")
    assert (price.input_nanos_per_mtok, price.output_nanos_per_mtok) == (10**8, 4 * 10**8)
    shown = operator.get(reverse("admin:billing_price_change", args=[price.pk])).content.decode()
    assert "$0.40" in shown
    assert "50 %" in shown


def test_an_organisation_without_an_account_cannot_be_made(operator: Client) -> None:
    assert operator.get(reverse("admin:accounts_organisation_add")).status_code == 403


def test_suspending_from_the_console(operator: Client, organisation: Organisation) -> None:
    page = reverse("admin:accounts_organisation_changelist")
    operator.post(page, {"action": "suspend", "_selected_action": [organisation.pk]})
    organisation.refresh_from_db()
    assert organisation.suspended_at is not None
    operator.post(page, {"action": "resume", "_selected_action": [organisation.pk]})
    organisation.refresh_from_db()
    assert organisation.suspended_at is None


def organisation_form(client: Client, organisation: Organisation) -> dict[str, str]:
    """What a browser sends back of the console's form, untouched."""
    page = client.get(reverse("admin:accounts_organisation_change", args=[organisation.pk]))
    boxes = page.context["adminform"].form
    return {box.html_name: str(box.value()) for box in boxes if box.value() is not None}


def test_the_form_says_what_its_fields_mean(operator: Client, organisation: Organisation) -> None:
    address = reverse("admin:accounts_organisation_change", args=[organisation.pk])
    page = operator.get(address).content.decode()
    assert "What it pays of the list price, in ten-thousandths" in page
    assert "While a time stands here" in page


def test_an_old_form_does_not_undo_a_suspension_or_a_choice_made_meanwhile(
    operator: Client, organisation: Organisation
) -> None:
    sent = organisation_form(operator, organisation)
    flows.suspend(organisation)
    suspended = Organisation.objects.get().suspended_at
    address = reverse("admin:accounts_organisation_change", args=[organisation.pk])
    assert operator.post(address, {**sent, "name": "New"}).status_code == 302
    organisation.refresh_from_db()
    assert (organisation.name, organisation.suspended_at) == ("New", suspended)


def test_the_form_writes_what_it_changed_and_nothing_else(
    operator: Client, organisation: Organisation
) -> None:
    sent = organisation_form(operator, organisation)

    def suspended_meanwhile(*_args: object, **_kwargs: object) -> None:
        flows.suspend(organisation)

    signals.pre_save.connect(suspended_meanwhile, Organisation, dispatch_uid="meanwhile")
    try:
        address = reverse("admin:accounts_organisation_change", args=[organisation.pk])
        assert operator.post(address, {**sent, "name": "New"}).status_code == 302
    finally:
        signals.pre_save.disconnect(sender=Organisation, dispatch_uid="meanwhile")
    organisation.refresh_from_db()
    assert organisation.name == "New"
    assert organisation.suspended_at is not None


def test_too_large_a_multiplier_is_refused_by_its_field(
    operator: Client, organisation: Organisation
) -> None:
    sent = {**organisation_form(operator, organisation), "multiplier_bp": "100001"}
    address = reverse("admin:accounts_organisation_change", args=[organisation.pk])
    errors = operator.post(address, sent).context["adminform"].form.errors
    assert errors.keys() == {"multiplier_bp"}
    assert "100000" in str(errors)
    assert operator.post(address, {**sent, "multiplier_bp": "100000"}).status_code == 302


def test_revoking_from_the_console(operator: Client, api_key: tuple[ApiKey, str]) -> None:
    page = reverse("admin:accounts_apikey_changelist")
    operator.post(page, {"action": "revoke", "_selected_action": [str(api_key[0].pk)]})
    api_key[0].refresh_from_db()
    assert api_key[0].revoked_at is not None


def test_the_outbox_shows_mails_with_their_links(operator: Client) -> None:
    mail = OutgoingMail.objects.create(
        subject="Hi", sender="a@b.co", recipients=["x@example.com"],
        text="See http://localhost:8000/x/ <script>alert(1)</script>",
    )  # fmt: skip
    page = operator.get(reverse("admin:accounts_outgoingmail_change", args=[mail.pk]))
    assert 'href="http://localhost:8000/x/"' in page.content.decode()
    assert "<script>alert" not in page.content.decode()


def test_a_lost_mailbox_is_no_way_in_any_more(
    operator: Client, verified: User, mailoutbox: list[EmailMessage]
) -> None:
    """An operator gives somebody another address; their old one gets no new password."""
    page = reverse("admin:accounts_user_change", args=[verified.pk])
    form = {
        "email": "Alice@new.example.com", "time_zone": "UTC", "is_active": "on", "groups": [],
    }  # fmt: skip
    assert operator.post(page, form).status_code == 302
    for address in ("alice@example.com", "alice@new.example.com"):
        Client().post(reverse("account_reset_password"), {"email": address})
    led_in = [mail.to for mail in mailoutbox if "/password/reset/key/" in str(mail.body)]
    assert led_in == [["alice@new.example.com"]]
    address = EmailAddress.objects.get(user=verified)
    assert (address.email, address.verified) == ("alice@new.example.com", False), "not yet proved"
    assert operator.post(page, {**form, "email": address.email, "name": "A"}).status_code == 302
    assert EmailAddress.objects.get(user=verified) == address
