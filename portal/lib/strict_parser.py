"""Lets Django REST framework read JSON as strictly as the inference API does.

Its own parser answers 500 to deep nesting and reads a body of any size.
"""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework import exceptions, status
from rest_framework.parsers import BaseParser

from portal.lib import strict_json


class BodyTooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "body_too_large"


class StrictJSONParser(BaseParser):  # not a JSONParser: that one is handed bodies of any size
    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The object in the body; 400 with a sentence, or 413."""
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0
        raw = stream.read(most + 1)
        if len(raw) > most:
            raise BodyTooLarge
        try:
            return strict_json.parse_object(raw)
        except strict_json.StrictJSONError as error:
            field = {error.param: [error.message]} if error.param else {"detail": error.message}
            raise exceptions.ValidationError(field, code="invalid_json") from None
