"""A model that is offered to chosen organisations: nobody else sees it, or learns that it is."""

import pytest
from django.test import Client

from accounts import flows
from accounts.authentication import Caller
from accounts.models import Organisation, User
from billing import pricing
from inference import catalog
from inference.errors import ServiceError
from inference.models import ModelAlias, ServedModel
from tests.conftest import make_user, signed_in
from tests.portal.records import offer_starter

pytestmark = pytest.mark.django_db
SECRET = "acme-secret"


@pytest.fixture
def private(organisation: Organisation) -> ServedModel:
    """For Alice's organisation alone."""
    offer_starter()
    model = ServedModel.objects.create(name=SECRET, source="x", is_public=False)
    model.organisations.add(organisation)
    ModelAlias.objects.create(name="acme-latest", target=model)
    pricing.ensure_price(SECRET, 1, 1, 1)
    catalog.forget()
    return model


def caller(organisation_id: str, *allowed: str) -> Caller:
    return Caller(organisation_id, 10_000, None, 1, "session", "inference", tuple(allowed))


def names(organisation_id: str) -> list[str]:
    return [entry.name for entry in catalog.models_for(caller(organisation_id))]


def test_others_neither_list_nor_call_it(private: ServedModel, organisation: Organisation) -> None:
    assert names(organisation.id) == ["starter", SECRET]
    assert catalog.resolve("acme-latest", caller(organisation.id)).name == SECRET
    assert names("org_other") == ["starter"]
    for name in (SECRET, "acme-latest"):
        with pytest.raises(ServiceError) as refused:
            catalog.resolve(name, caller("org_other"))
        with pytest.raises(ServiceError) as unknown:
            catalog.resolve("nothing", caller("org_other"))
        assert refused.value.status == 404
        assert refused.value.message == unknown.value.message.replace("nothing", name)


def test_a_key_that_names_it_opens_nothing(private: ServedModel) -> None:
    with pytest.raises(ServiceError) as refused:
        catalog.resolve(SECRET, caller("org_other", SECRET))
    assert refused.value.status == 404


@pytest.mark.parametrize(
    "path",
    ["/", "/models/", "/status/", "/docs/models/", "/docs/models.md", "/playground/",
     "/portal/keys/new/", "/docs/moving-from-openai/"],
)  # fmt: skip
def test_pages_show_it_to_its_members_alone(
    client: Client, alice_client: Client, charlie_client: Client, private: ServedModel, path: str
) -> None:
    assert SECRET in alice_client.get(path).content.decode()
    for other in (client, charlie_client):
        assert SECRET not in other.get(path, follow=True).content.decode()


@pytest.mark.parametrize(
    ("kind", "path"),
    [("text", "/"), ("text", "/docs/quickstart/"), ("embeddings", "/docs/embeddings/")],
)
def test_no_sample_names_it_though_there_is_no_other(
    client: Client, private: ServedModel, kind: str, path: str
) -> None:
    ServedModel.objects.exclude(pk=private.pk).update(enabled=False)
    ServedModel.objects.filter(pk=private.pk).update(kind=kind, is_chat=kind == "text")
    catalog.forget()
    assert SECRET not in client.get(path).content.decode()


def test_its_own_page_is_not_there_for_others(
    client: Client, alice_client: Client, charlie_client: Client, private: ServedModel
) -> None:
    statuses = [c.get(f"/models/{SECRET}/").status_code for c in (alice_client, client)]
    assert statuses == [200, 404]
    assert charlie_client.get(f"/models/{SECRET}/").status_code == 404


def test_without_its_last_organisation_it_is_nobodys(
    private: ServedModel, organisation: Organisation
) -> None:
    private.organisations.remove(organisation)
    catalog.forget()
    assert [entry.name for entry in catalog.models_offered_to(None)] == ["starter"]
    assert names(organisation.id) == ["starter"]


def test_a_deleted_organisation_is_offered_nothing(
    private: ServedModel, organisation: Organisation
) -> None:
    flows.suspend(organisation)
    flows.erase(organisation)
    assert not private.organisations.exists()


def test_an_operator_chooses_who_sees_it(private: ServedModel, organisation: Organisation) -> None:
    user = make_user("operator@example.com", "Operator")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    operator = signed_in(User.objects.get(pk=user.pk))
    address = f"/operator/inference/servedmodel/{private.pk}/change/"
    shown = operator.get(address).context["adminform"].form.initial
    posted = {name: value for name, value in shown.items() if value not in (None, False)}
    aliases = {"aliases-TOTAL_FORMS": 0, "aliases-INITIAL_FORMS": 0}
    other = Organisation.objects.create(name="Others")
    answer = operator.post(address, posted | aliases | {"organisations": [other.pk]})
    assert answer.status_code == 302
    assert names(other.id) == ["starter", SECRET]
    assert names(organisation.id) == ["starter"]
