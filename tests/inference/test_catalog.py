"""Models, aliases and addresses; the command that adds a model."""

import subprocess
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError
from django.test import Client
from pytest_django.fixtures import Settings

from accounts.authentication import Caller
from accounts.models import User
from billing import pricing
from inference import catalog
from inference.errors import ServiceError
from inference.management.commands import addmodel
from inference.models import ModelAlias, ServedModel


def test_the_starter_is_registered_once_and_an_edit_stays(db: None) -> None:
    catalog.ensure_starter()
    ModelAlias.objects.filter(name="gpt-4o-mini").delete()
    ServedModel.objects.update(description="ours")
    catalog.ensure_starter()
    starter = ServedModel.objects.get()
    assert (starter.name, starter.position, starter.description) == ("starter", 0, "ours")
    assert set(ModelAlias.objects.values_list("name", flat=True)) == {
        "text-davinci-003", "gpt-3.5-turbo-instruct", "gpt-3.5-turbo",
    }  # fmt: skip
    price = pricing.current_price("starter")
    assert (price.input_nanos_per_mtok, price.output_nanos_per_mtok) == (10**8, 4 * 10**8)


def test_every_model_has_its_own_short_socket() -> None:
    names = ["starter", "a/b", "a-b", "x" * 200, "x" * 199 + "y", "模型", "../../etc"]
    addresses = [catalog.local_address(name) for name in names]
    assert len(set(addresses)) == len(names)
    folder = f"unix:{settings.ENGINE_SOCKET_DIR}/"
    for address in addresses:
        assert address.startswith(folder)
        assert "/" not in address.removeprefix(folder)
        assert len(address.removeprefix(folder)) < 80


def test_engines_elsewhere_replace_local_ones(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog.ensure_starter()
    ServedModel.objects.create(name="big", source="")
    monkeypatch.setattr(settings, "ENGINES", [("big", "gpu1:1"), ("big", "gpu2:1")])
    catalog.forget()
    assert catalog.engine_addresses() == [
        ("big", "gpu1:1"), ("big", "gpu2:1"), ("starter", catalog.local_address("starter")),
    ]  # fmt: skip
    catalog.forget()


CALLER = Caller(
    organisation_id="org_1", multiplier_bp=10_000, api_key_id=None, user_id=None,
    session_key="s", scope="inference",
)  # fmt: skip


def test_a_model_goes_before_an_alias_of_its_name(db: None) -> None:
    catalog.ensure_starter()
    assert catalog.resolve("gpt-4o-mini", CALLER).name == "starter"
    ServedModel.objects.create(name="gpt-4o-mini", source="x")
    pricing.ensure_price("gpt-4o-mini", 1, 1, 1)
    catalog.forget()
    assert catalog.resolve("gpt-4o-mini", CALLER).name == "gpt-4o-mini"
    assert catalog.resolve("text-davinci-003", CALLER).name == "starter"
    catalog.forget()


async def test_a_snapshot_that_grows_old_after_its_refresh_still_answers(
    models: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    await catalog.refresh()
    monkeypatch.setattr(catalog, "SNAPSHOT_S", 0.0)
    assert catalog.resolve("starter", CALLER).name == "starter"
    catalog.forget()  # by an operator's page, in another thread
    assert catalog.resolve("starter", CALLER).name == "starter"
    assert [name for name, _ in catalog.engine_addresses()] == ["starter", "slow"]


def test_a_change_while_the_tables_are_read_is_not_missed(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = catalog._read_snapshot
    catalog.ensure_starter()

    def overtaken() -> catalog._Snapshot:
        """Another thread adds a model after this one has read the tables."""
        monkeypatch.setattr(catalog, "_read_snapshot", read)
        snapshot = read()
        pricing.ensure_price("late", 1, 1, 1)
        ServedModel.objects.create(name="late", source="x")
        catalog.forget()
        return snapshot

    monkeypatch.setattr(catalog, "_read_snapshot", overtaken)
    assert [entry.name for entry in catalog.models_offered_to(None)] == ["starter"]
    assert [entry.name for entry in catalog.models_offered_to(None)] == ["starter", "late"]
    catalog.forget()


async def test_a_slow_read_does_not_replace_a_later_one(
    models: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = catalog._read_snapshot

    def slow() -> catalog._Snapshot:
        monkeypatch.setattr(catalog, "_read_snapshot", read)
        snapshot = read()
        ServedModel.objects.filter(name="slow").delete()
        catalog.forget()
        catalog.models_offered_to(None)  # as another thread does
        return snapshot

    monkeypatch.setattr(catalog, "_read_snapshot", slow)
    catalog.forget()
    await catalog.refresh()
    assert [name for name, _ in catalog.engine_addresses()] == ["starter"]


async def test_without_a_database_the_catalogue_is_unavailable_not_broken(
    models: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(catalog, "_read_snapshot", away)
    catalog.forget()
    with pytest.raises(ServiceError) as refusal:
        await catalog.refresh()
    assert refusal.value.status == 503
    assert "retry-after" in refusal.value.headers


@pytest.fixture
def checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        addmodel,
        "check_checkpoint",
        lambda _: {"max_model_len": 4096, "model_type": "llama", "kind": "text"},
    )


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"max_model_len": 256, "model_type": "bert", "kind": "embeddings"}
    monkeypatch.setattr(addmodel, "check_checkpoint", lambda _: facts)


def add(*args: str) -> str:
    out = StringIO()
    call_command("addmodel", *args, stdout=out)
    catalog.forget()
    return out.getvalue()


def test_a_model_is_added_with_its_price(db: None, checkpoint: None) -> None:
    told = add("mine", "owner/mine", "--input", "0.50", "--cached", "0.05", "--output", "1.5")
    assert "Added mine: llama, context of 4,096 tokens; $0.50, $0.05, $1.50" in told
    assert "serve" in told
    [entry] = catalog.models_offered_to(None)
    assert (entry.name, entry.max_model_len, entry.is_chat) == ("mine", 4096, True)
    assert entry.price.cached_input_nanos_per_mtok == 50_000_000
    add("mine", "owner/mine", "--input", "0.50", "--output", "2", "--base")
    [entry] = catalog.models_offered_to(None)
    assert not entry.is_chat
    assert entry.price.output_nanos_per_mtok == 2 * 10**9
    assert entry.price.cached_input_nanos_per_mtok == entry.price.input_nanos_per_mtok


def test_a_model_may_be_added_with_rounded_weights(db: None, checkpoint: None) -> None:
    prices = ["--input", "1", "--output", "2"]
    assert "int8 weights" in add("mine", "owner/mine", *prices, "--quantize", "int8")
    assert ServedModel.objects.get().quantization == "int8"
    add("mine", "owner/mine", *prices)
    assert ServedModel.objects.get().quantization == ""
    with pytest.raises(IntegrityError):
        ServedModel.objects.update(quantization="int3")


def test_an_encoder_is_added_by_its_kind_with_one_price(db: None, encoder: None) -> None:
    told = add("vectors", "owner/vectors", "--input", "0.02")
    assert "Added vectors: bert, embeddings, context of 256 tokens; $0.02, $0.02, $0.00" in told
    [entry] = catalog.models_offered_to(None)
    assert (entry.kind, entry.is_chat, entry.capabilities) == ("embeddings", False, ("embeddings",))
    assert entry.price.cached_input_nanos_per_mtok == 20_000_000
    assert "$0.02, $0.02, $0.00" in add("vectors", "owner/vectors")


@pytest.mark.parametrize(
    "option", [("--output", "1"), ("--cached", "1"), ("--quantize", "int8")], ids=lambda o: o[0]
)
def test_what_means_nothing_to_an_encoder_is_refused(
    db: None, encoder: None, option: tuple[str, str]
) -> None:
    with pytest.raises(CommandError, match=f"^{option[0]}: "):
        add("vectors", "owner/vectors", *option)
    assert not ServedModel.objects.exists()


@pytest.mark.parametrize(
    "change", [{"kind": "images"}, {"is_chat": True}, {"quantization": "int8"}], ids=str
)
def test_the_database_knows_what_encoders_are(
    db: None, encoder: None, change: dict[str, object]
) -> None:
    add("vectors", "owner/vectors")
    with pytest.raises(IntegrityError):
        ServedModel.objects.update(**change)


def test_the_same_price_is_not_written_twice(db: None, checkpoint: None) -> None:
    for _ in range(2):
        add("mine", "owner/mine", "--input", "1", "--output", "2")
    from billing.models import Price

    assert Price.objects.count() == 1


def test_a_model_without_a_price_costs_what_the_starter_does_and_then_what_it_did(
    db: None, checkpoint: None
) -> None:
    assert "$0.10, $0.05, $0.40" in add("mine", "owner/mine")
    assert "$0.10, $0.05, $3.00" in add("mine", "owner/mine", "--output", "3")
    assert "$0.10, $0.05, $3.00" in add("mine", "owner/mine")


def test_a_folder_is_kept_by_its_absolute_path(
    db: None, checkpoint: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llama").mkdir()
    monkeypatch.chdir(tmp_path)
    add("mine", "llama")
    assert ServedModel.objects.get().source == str(tmp_path / "llama")
    with pytest.raises(CommandError, match="no such folder"):
        add("other", "./nothing")


def test_the_shipped_model_is_found_where_the_code_is_now(
    db: None, checkpoint: None, tmp_path: Path, settings: Settings
) -> None:
    catalog.ensure_starter()
    add("again", str(settings.STARTER_DIR))
    ServedModel.objects.create(name="old", source="/before/it/moved/inference/starter")
    ServedModel.objects.create(name="mine", source="/before/it/moved/mine")
    import_module("inference.migrations.0005_shipped_starter").name_it(apps, None)
    settings.STARTER_DIR = tmp_path
    places = {row.name: row.location for row in ServedModel.objects.all()}
    here = str(tmp_path)
    assert places == {"starter": here, "again": here, "old": here, "mine": "/before/it/moved/mine"}


def test_a_model_may_take_the_name_of_an_alias_and_says_so(db: None, checkpoint: None) -> None:
    catalog.ensure_starter()
    assert "gpt-4o-mini → starter no longer" in add("gpt-4o-mini", "owner/mine")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["", "owner/mine"], "name"),
        (["my model", "owner/mine"], "name"),
        (["/mine", "owner/mine"], "name"),
        (["m" * 201, "owner/mine"], "name"),
        (["mine", "owner/mine", "--max-model-len=-5"], "--max-model-len"),
        (["mine", "owner/mine", "--max-model-len=0"], "--max-model-len"),
        (["mine", "owner/mine", "--max-model-len=4097"], "--max-model-len"),
        (["mine", "o/" * 251], "source"),
    ],
)
def test_what_is_wrong_with_a_model_is_named(
    db: None, checkpoint: None, arguments: list[str], field: str
) -> None:
    with pytest.raises(CommandError, match=rf"^{field}: "):
        add(*arguments)
    assert not ServedModel.objects.exists()


@pytest.mark.parametrize("amount", ["-1", "free", "1e3", ""])
def test_a_price_must_be_an_amount(db: None, checkpoint: None, amount: str) -> None:
    with pytest.raises(CommandError, match="--input"):
        add("mine", "owner/mine", f"--input={amount}", "--output", "1")
    assert not ServedModel.objects.exists()


def test_what_the_engine_cannot_serve_is_not_added(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "Traceback…\nit has no attention layers\n")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(CommandError, match="it has no attention layers"):
        add("mine", "owner/mine", "--input", "1", "--output", "1")
    assert not ServedModel.objects.exists()


@pytest.mark.slow
def test_the_engine_is_really_asked(db: None) -> None:
    with pytest.raises(CommandError, match="cannot be served"):
        add("mine", "nowhere/at.all/", "--input", "1", "--output", "1")


def test_operators_see_prices_beside_models(db: None, alice: User) -> None:
    catalog.ensure_starter()
    ServedModel.objects.create(name="unpriced", source="x")
    User.objects.filter(pk=alice.pk).update(is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    page = client.get("/operator/inference/servedmodel/").content.decode()
    assert "$0.10 / $0.05 / $0.40" in page
    assert "none: it is not offered" in page
    catalog.forget()
