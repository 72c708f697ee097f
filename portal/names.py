"""Names of models and fields as people read them: in the operator's console and the audit log.

Django makes them of Python's names, in English: "revoked at". Here each becomes a string of the
catalogue, so that no model has to spell out what its name says already. Names that a model gives
itself stay as they are.
"""

from collections.abc import Iterator
from typing import Any

from auditlog.registry import auditlog
from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.utils.translation import override, pgettext_lazy

APPS = ("accounts", "billing", "inference", "playground", "mfa", "usersessions")
CONTEXT = "name of a model or a field"


def make_translatable() -> None:
    """Called once when all models are loaded."""
    for label in APPS:
        for model in apps.get_app_config(label).get_models():
            for owner, attribute in _made_by_django(model):
                name = getattr(owner, attribute)
                setattr(owner, attribute, pgettext_lazy(CONTEXT, name))


def to_translate() -> set[str]:
    """Those that somebody sees: of models in the console, and of what the audit log records."""
    shown = {*admin.site._registry, *auditlog.get_models()}  # noqa: SLF001
    models = [model for model in shown if model._meta.app_label in APPS]
    with override(None):
        return {str(getattr(*name)) for model in models for name in _made_by_django(model)}


def _made_by_django(model: type[Model]) -> Iterator[tuple[Any, str]]:
    """What holds each name, and by which attribute."""
    meta = model._meta
    for attribute in ("verbose_name", "verbose_name_plural"):
        if isinstance(meta.original_attrs.get(attribute, ""), str):
            yield meta, attribute
    for field in (*meta.fields, *meta.many_to_many):
        given = field.deconstruct()[3].get("verbose_name")
        if given is None and field.model is model:
            yield field, "verbose_name"
