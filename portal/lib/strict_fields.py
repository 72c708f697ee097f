"""Serializers that take JSON as it is: no number for a text, no text for a number, no unknown name.

Django REST framework's own fields read `"5"` as 5, 5 as `"5"` and `"yes"` as true, and its
serializers pass over what they do not know: a misspelt limit would be none.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from django.db import models
from rest_framework import serializers

Row = TypeVar("Row", bound=models.Model)


class StrictChar(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


class StrictInteger(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:  # a boolean is an int in Python
            self.fail("invalid")
        return int(super().to_internal_value(data))


class StrictBoolean(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class KnownFieldsOnly(serializers.Serializer[Any]):
    """Refuses a body with fields that it does not take, by the name of the first."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            taken = {name for name, field in self.fields.items() if not field.read_only}
            if others := sorted(data.keys() - taken):
                told = "this cannot be set." if others[0] in self.fields else "unknown field."
                raise serializers.ValidationError({others[0]: [told]})
        return super().to_internal_value(data)


class StrictModelSerializer(KnownFieldsOnly, serializers.ModelSerializer[Row]):
    """A serializer whose fields for texts, whole numbers and booleans are the ones above."""

    serializer_field_mapping: ClassVar = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: StrictChar,
        models.TextField: StrictChar,
        models.BooleanField: StrictBoolean,
        models.BigIntegerField: StrictInteger,
        models.IntegerField: StrictInteger,
        models.PositiveIntegerField: StrictInteger,
        models.PositiveSmallIntegerField: StrictInteger,
    }
