"""Presets: what may be kept under a name, and how a version is added."""

from typing import Annotated, Any, Literal

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils.translation import gettext_lazy as _
from pydantic import Field

from accounts.models import User
from inference.errors import invalid
from inference.sentences import Sentence
from playground.messages import Message
from playground.models import Preset, PresetVersion
from playground.parameters import Parameters
from playground.protocol import MAX_MESSAGES
from playground.strict import Part

MAX_NAME_CHARS = 80
MAX_PRESETS = 100  # of a person in an organisation
MAX_VERSIONS = 50  # of a preset; the oldest goes then
MAX_VARIABLES = 100
VariableName = Annotated[str, Field(min_length=1, max_length=64)]


class Content(Part):
    """What a pane asks with. `messages` of a completion are its text alone."""

    mode: Literal["chat", "completion"] = "chat"
    model: Annotated[str, Field(max_length=200)]
    messages: Annotated[list[Message], Field(max_length=MAX_MESSAGES)] = []
    parameters: Parameters = Parameters()
    variables: Annotated[dict[VariableName, str], Field(max_length=MAX_VARIABLES)] = {}


class Saving(Part):
    name: Annotated[str, Field(pattern=r"\S", max_length=MAX_NAME_CHARS)]
    content: Content


def presets(user_id: int, organisation_id: str) -> QuerySet[Preset]:
    """Those of one person in one organisation, by name."""
    mine = Preset.objects.filter(user_id=user_id, organisation_id=organisation_id)
    return mine.annotate(version=Max("versions__number")).order_by("name")


def save(user_id: int, organisation_id: str, saving: Saving) -> PresetVersion:
    """A new preset, or the next version of the one with this name; the last one if it is equal.

    Raises ServiceError (400) for one too many.
    """
    content = saving.content.model_dump(by_alias=True, exclude_defaults=True)
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user_id)  # one after the other
        mine = Preset.objects.filter(user_id=user_id, organisation_id=organisation_id)
        preset, created = mine.get_or_create(
            user_id=user_id, organisation_id=organisation_id, name=saving.name.strip()
        )
        if created and mine.count() > MAX_PRESETS:
            said = Sentence(_("You have %(most)s presets; delete one first."), most=MAX_PRESETS)
            raise invalid(said, "name", "too_many_presets")
        last = preset.versions.first()
        if last is not None and last.content == content:
            return last
        number = last.number + 1 if last is not None else 1
        preset.versions.filter(number__lte=number - MAX_VERSIONS).delete()
        return preset.versions.create(number=number, content=content)


def as_json(version: PresetVersion) -> dict[str, Any]:
    preset = version.preset
    return {
        "id": preset.id,
        "name": preset.name,
        "number": version.number,
        "versions": [
            {"number": each.number, "created_at": each.created_at.isoformat()}
            for each in preset.versions.all()
        ],
        "content": {"mode": "chat", "messages": [], "parameters": {}} | version.content,
    }
