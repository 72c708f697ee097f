"""The home page's live answer: a real one, streamed as it is generated, and paid by the house.

An organisation of the site's own asks, with a key that nobody holds, so that a sample is generated,
counted and booked as everything else is. It is granted HOME_SAMPLE_NANOS a month; when they are
spent, or its operator revokes its key, there are no samples. Visitors choose among our questions
and write none.

The answer is a line of JSON for each gain: `text`s, then `told` (what it measured) or `error`.
"""

import json
import time
from collections.abc import AsyncIterator
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError, transaction
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from django.views.decorators.http import require_POST

from accounts import flows
from accounts.authentication import Caller
from accounts.models import ApiKey, Organisation, Scope
from accounts.signals import organisation_created
from billing import ledger
from billing.months import month_of
from inference import catalog, service
from inference.engine.params import SamplingParams
from inference.errors import ServiceError
from inference.generation import Generation
from inference.models import ModelKind
from inference.spec import ChatMessage, ChatPrompt, GenerationSpec, Summary
from portal.lib.db import db
from portal.templatetags.parlance import ms, nanos, number, rate

HOUSE = "org_homepage"
NDJSON = "application/x-ndjson"
MAX_TOKENS = 160
REQUESTS_PER_MINUTE = 30  # of all visitors together
QUESTIONS = (
    gettext_lazy("Tell me a short story about a robot who learns to paint."),
    gettext_lazy("What can I do with this service?"),
    gettext_lazy("Explain in three sentences what a token is."),
)


def model_to_show() -> str:
    """The first model that chats and is switched on; nothing when there is none, or no budget."""
    if not settings.HOME_SAMPLE_NANOS:
        return ""
    entries = catalog.models_offered_to(None)
    chatting = (e for e in entries if e.is_chat and e.kind == ModelKind.TEXT and not e.paused)
    return next((entry.name for entry in chatting), "")


@require_POST
async def live_sample(request: HttpRequest) -> HttpResponseBase:
    """Answer the question whose number is `question`."""
    arrived = time.monotonic()
    asked = request.POST.get("question", "")
    if asked not in map(str, range(len(QUESTIONS))):
        return JsonResponse({"error": _("There is no such question.")}, status=400)
    try:
        caller = await db(house_caller)
        await catalog.refresh()
        if caller is None or not (model := model_to_show()):
            return only(_("There is no sample at the moment."))
        spec = spec_of(model, str(QUESTIONS[int(asked)]))
        generation = await service.prepare(spec, caller, arrived=arrived)
    except (ServiceError, DatabaseError):
        return only(_("The model is busy. Try again in a moment."))
    lines = spell(generation, translation.get_language() or settings.LANGUAGE_CODE)
    answer = StreamingHttpResponse(lines, content_type=NDJSON)
    answer["Cache-Control"] = "no-store"
    answer["X-Accel-Buffering"] = "no"  # a proxy must not collect it
    return answer


def only(message: str) -> HttpResponse:
    """An answer that never began: no failure of the page, which is why its status is 200."""
    return HttpResponse(line(error=message), content_type=NDJSON)


def spec_of(model: str, question: str) -> GenerationSpec:
    return GenerationSpec(
        model=model,
        prompts=(ChatPrompt((ChatMessage("user", question),)),),
        sampling=SamplingParams(max_tokens=MAX_TOKENS, temperature=0.7),
        max_tokens=MAX_TOKENS,
        face="playground",
        endpoint="chat.completions",
        stream=True,
    )


async def spell(generation: Generation, language: str) -> AsyncIterator[str]:
    """When the visitor leaves, the generation ends."""
    try:
        async for event in service.stream(generation):
            if isinstance(event, Summary):
                with translation.override(language):
                    yield line(told=told(event))
            elif event.text:
                yield line(text=event.text)
    except ServiceError:
        with translation.override(language):
            yield line(error=_("The answer was interrupted."))
    finally:
        generation.cancel()


def line(**gain: str) -> str:
    return json.dumps(gain, ensure_ascii=False) + "\n"


def told(summary: Summary) -> str:
    facts = [
        _("first token after %(time)s") % {"time": ms(summary.ttft_ms)},
        _("%(tokens)s tokens") % {"tokens": number(summary.completion_tokens)},
        _("%(cost)s, on us") % {"cost": nanos(summary.cost_nanos)},
    ]
    if summary.tokens_per_s is not None:
        speed = rate(summary.tokens_per_s)
        facts.insert(1, _("%(rate)s tokens per second") % {"rate": speed})
    return " · ".join(facts)


def house_caller() -> Caller | None:
    """Who asks and pays; None when an operator has switched it off."""
    house = house_organisation()
    live = house.api_keys.filter(revoked_at=None, scope=Scope.INFERENCE)
    key: ApiKey | None = live.order_by("created_at").first()
    if key is None or house.suspended_at is not None:
        return None
    grant_this_month(house, timezone.now())
    return Caller(
        organisation_id=house.pk,
        multiplier_bp=house.multiplier_bp,
        api_key_id=key.pk,
        user_id=None,
        session_key=None,
        scope=Scope.INFERENCE,
        allowed_models=tuple(key.allowed_models),
        monthly_cap_nanos=key.monthly_cap_nanos,
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
    )


@transaction.atomic
def house_organisation() -> Organisation:
    """Made at the first question, with its account and its key."""
    house, created = Organisation.objects.get_or_create(
        pk=HOUSE, defaults={"name": gettext_noop("Samples on the home page")}
    )
    if created:
        organisation_created.send(Organisation, organisation=house, welcome=False)
        flows.create_key(house, None, "Home page", requests_per_minute=REQUESTS_PER_MINUTE)
    return house


def grant_this_month(house: Organisation, now: datetime) -> None:
    """Once a month (UTC), whoever comes first."""
    ledger.grant(
        house.pk,
        settings.HOME_SAMPLE_NANOS,
        reference=f"grant:home:{month_of(now):%Y-%m}",
        description=gettext_noop("Samples on the home page"),
    )
