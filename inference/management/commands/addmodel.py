"""`manage.py addmodel NAME PATH_OR_HUB_ID`: offers another model, at a price."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from billing import pricing
from inference import catalog
from inference.models import SHIPPED, ModelAlias, ModelKind, Quantization, ServedModel
from portal.lib.commands import SiteCommand
from portal.lib.money import BASIS_POINTS, format_dollars, parse_dollars

CHECK_TIMEOUT_S = 300


class Command(SiteCommand):
    help = "Check a checkpoint, register it as a model customers can call, and set its price."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what customers call it, e.g. llama-3.2-1b")
        parser.add_argument("source", help="folder of a Hugging Face checkpoint, or its hub id")
        parser.add_argument(
            "--input",
            help="dollars per million tokens of prompt (default: as before, else the starter's)",
        )
        parser.add_argument("--cached", help="the same for cached prompt (default: as --input)")
        parser.add_argument("--output", help="the same for output tokens (default: as before, …)")
        parser.add_argument("--description", default="", help="one sentence for the models page")
        parser.add_argument(
            "--max-model-len", type=int, help="default: what the model was made for"
        )
        parser.add_argument(
            "--quantize", default="", choices=Quantization.values, help="round the weights"
        )
        parser.add_argument("--base", action="store_true", help="it has no chat template")
        parser.add_argument("--position", type=int, default=100, help="lower is listed first")

    def handle(self, *args: Any, **options: Any) -> None:
        name, source = options["name"], locate(options["source"])
        self.stdout.write(f"Checking {source} …")
        facts = check_checkpoint(source)
        kind = ModelKind(facts["kind"])
        check_options(kind, options)
        prices = prices_of(name, options, kind)
        row, created = add_model(
            name,
            source,
            prices,
            kind=kind,
            description=options["description"],
            max_model_len=context_of(facts, options["max_model_len"]),
            quantization=options["quantize"],
            is_chat=kind == ModelKind.TEXT and not options["base"],
            position=options["position"],
        )
        verb = "Added" if created else "Updated"
        told = ", ".join(format_dollars(nanos) for nanos in prices)
        self.stdout.write(
            f"{verb} {row.name}: {facts.get('model_type', 'model')}{_kind(row)}, context of "
            f"{row.max_model_len:,} tokens{_weights(row)}; {told} per million tokens "
            "(input, cached, output)."
        )
        for alias in ModelAlias.objects.filter(name=row.name):
            self.stdout.write(f"{alias} no longer: that name now means this model.")
        self.stdout.write(next_step(row.name))


def locate(source: str) -> str:
    """A folder by its absolute path, since `serve` may run elsewhere; a hub id as it is."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if folder.is_absolute() or source.startswith("."):
        raise CommandError(f"{source}: there is no such folder.")
    return source


def check_options(kind: ModelKind, options: Mapping[str, Any]) -> None:
    """Raises CommandError for what means nothing to an encoder."""
    for option in ("cached", "output", "quantize"):
        if kind != ModelKind.TEXT and options[option]:
            raise CommandError(
                f"--{option}: an encoder has input alone, and its weights as they are."
            )


def prices_of(name: str, options: Mapping[str, Any], kind: ModelKind) -> list[int]:
    """Input, cached and output: what was asked for, else what it cost before, else the starter's.

    Nanos per million tokens. An encoder has one meter, its input.
    """
    before = _prices_now(name) or list(catalog.STARTER_PRICE)
    if kind != ModelKind.TEXT:
        nanos = before[0] if options["input"] is None else _price("--input", options["input"])
        return [nanos, nanos, 0]
    asked = [options["input"], options["cached"] or options["input"], options["output"]]
    return [
        nanos if dollars is None else _price(option, dollars)
        for option, dollars, nanos in zip(
            ("--input", "--cached", "--output"), asked, before, strict=True
        )
    ]


def _price(option: str, dollars: str) -> int:
    try:
        return parse_dollars(dollars)
    except ValueError as error:
        raise CommandError(f"{option}: {error}") from None


def context_of(facts: Mapping[str, Any], asked: int | None) -> int:
    """The length of the context. Raises CommandError for more than the model was made for."""
    most = int(facts["max_model_len"])
    if asked is None:
        return most
    if not 1 <= asked <= most:
        raise CommandError(f"--max-model-len: the model was made for 1 to {most:,} tokens.")
    return asked


def check_checkpoint(source: str) -> dict[str, Any]:
    """What the engine says about a checkpoint, asked in a process of its own: torch stays there.

    Raises CommandError with the engine's reason when it cannot serve it.
    """
    command = [sys.executable, "-m", "inference.engine.check", source]
    try:
        done = subprocess.run(  # noqa: S603
            command,
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(f"{source} was not read within {CHECK_TIMEOUT_S} seconds.") from None
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()
        raise CommandError(f"It cannot be served: {reason[-1] if reason else 'no reason given'}")
    facts: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return facts


@transaction.atomic
def add_model(name: str, source: str, prices: list[int], **fields: Any) -> tuple[ServedModel, bool]:
    """Register or update a model; a price that differs succeeds the old one from now on.

    Raises CommandError naming the field that is wrong.
    """
    if source == str(settings.STARTER_DIR.resolve()):
        source = SHIPPED
    known = ServedModel.objects.filter(name=name).first()
    row = known or ServedModel(name=name)
    for field, value in {"source": source, "enabled": True, **fields}.items():
        setattr(row, field, value)
    try:
        row.full_clean()
    except ValidationError as error:
        field, (problem, *_) = next(iter(error.message_dict.items()))
        raise CommandError(f"{field}: {problem}") from None
    row.save()
    if _prices_now(name) != prices:
        pricing.set_price(name, *prices, flex_multiplier_bp=_flex_now(name))
    catalog.forget()
    return row, known is None


def _prices_now(name: str) -> list[int]:
    try:
        now = pricing.current_price(name)
    except pricing.NoPrice:
        return []
    return [now.input_nanos_per_mtok, now.cached_input_nanos_per_mtok, now.output_nanos_per_mtok]


def _flex_now(name: str) -> int:
    """A new price keeps the flex tier's share of the old one; the console changes it."""
    try:
        return pricing.current_price(name).flex_multiplier_bp
    except pricing.NoPrice:
        return BASIS_POINTS


def _kind(row: ServedModel) -> str:
    return f", {row.get_kind_display()}" if row.kind != ModelKind.TEXT else ""


def _weights(row: ServedModel) -> str:
    return f", {row.quantization} weights" if row.quantization else ""


def next_step(name: str) -> str:
    if any(model == name for model, _ in settings.ENGINES):
        return "ENGINES names an engine for it: start that, and customers can call it."
    return (
        "A running `manage.py serve` starts its engine within two seconds; else start it with "
        f"`python -m inference.engine --model {name} --path … --listen …` and name it in ENGINES."
    )
