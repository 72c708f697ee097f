"""A person's presets: the list, saving a version, one of them, its end."""

from typing import Any, TypeVar

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from pydantic import ValidationError

from accounts.permissions import member_required
from inference.errors import ServiceError, invalid
from playground import presets, protocol
from playground.admission import SPENDERS
from playground.models import PresetVersion
from playground.strict import Part
from portal.lib.strict_json import StrictJSONError, parse_object

Body = TypeVar("Body", bound=Part)


@require_http_methods(["GET", "POST"])
@member_required(*SPENDERS)
def preset_list(request: HttpRequest) -> JsonResponse:
    """Their names and newest versions; a POST saves one."""
    if request.method == "POST":
        return _save(request)
    mine = presets.presets(*who(request))
    listed = [{"id": each.id, "name": each.name, "number": each.version} for each in mine]  # type: ignore[attr-defined]
    return JsonResponse({"presets": listed})


def _save(request: HttpRequest) -> JsonResponse:
    try:
        saving = read_body(request, presets.Saving)
        version = presets.save(*who(request), saving)
    except ServiceError as bad:
        return JsonResponse(protocol.error(bad), status=bad.status)
    return JsonResponse(presets.as_json(version), status=201)


@require_safe
@member_required(*SPENDERS)
def preset(request: HttpRequest, preset_id: str) -> JsonResponse:
    """One with its content: the newest version, or the one that `?version=` names."""
    return JsonResponse(presets.as_json(own_version(request, preset_id)))


@require_POST
@member_required(*SPENDERS)
def delete_preset(request: HttpRequest, preset_id: str) -> HttpResponse:
    """With all its versions."""
    own_version(request, preset_id).preset.delete()
    return HttpResponse(status=204)


def own_version(request: HttpRequest, preset_id: str) -> PresetVersion:
    """Of the member's own preset; raises Http404 for any other."""
    wanted: dict[str, Any] = {}
    if asked := request.GET.get("version"):
        if not (asked.isascii() and asked.isdigit() and len(asked) < 9):
            raise Http404
        wanted["number"] = int(asked)
    if "\0" in preset_id:
        raise Http404
    preset = get_object_or_404(presets.presets(*who(request)), pk=preset_id)
    version = preset.versions.filter(**wanted).first()
    if version is None:
        raise Http404
    return version


def read_body(request: HttpRequest, form: type[Body]) -> Body:
    """The request's JSON. Raises ServiceError (400, 413) naming the field that is wrong."""
    body = raw_body(request)
    if len(body) > protocol.MAX_FRAME_BYTES:
        raise protocol.too_large()
    try:
        return form.model_validate(parse_object(body))
    except StrictJSONError as error:
        raise invalid(error.message, error.param, "invalid_json") from None
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise protocol.from_validation(problems) from None


def raw_body(request: HttpRequest) -> bytes:
    """What should be JSON; nothing of a form, which has been taken apart by now."""
    return b"" if request.content_type == "multipart/form-data" else request.body


def who(request: HttpRequest) -> tuple[int, str]:
    assert request.user.pk is not None
    return request.user.pk, request.organisation.id  # type: ignore[attr-defined]
