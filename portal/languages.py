"""Which language a page is in: that of the cookie, else the browser's first that we have.

The management API is English whatever its client's headers say: programs match its words. What
a signed-in person chooses is also kept with them, since their mails are written when no browser
asks (`accounts.languages`).
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponseBadRequest, HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_POST
from django.views.i18n import set_language
from starlette.types import ASGIApp, Receive, Scope, Send

from accounts.models import User

FOR_PROGRAMS = "/api/"
FOR_PEOPLE = "/api/reference/"


class LanguageMiddleware(LocaleMiddleware):
    def process_request(self, request: HttpRequest) -> None:
        if request.path == FOR_PEOPLE or not request.path.startswith(FOR_PROGRAMS):
            super().process_request(request)
            return
        translation.activate(settings.LANGUAGE_CODE)
        request.LANGUAGE_CODE = settings.LANGUAGE_CODE

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        response = super().process_response(request, response)
        # Django names Accept-Language alone, and the cookie goes before it.
        patch_vary_headers(response, ("Cookie",))
        return response


class SocketLanguage:
    """What a page hears on its socket is in the page's language; programs hear English."""

    def __init__(self, inner: ASGIApp) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with translation.override(language_of_socket(scope)):
            await self.inner(scope, receive, send)


def language_of_socket(scope: Scope) -> str:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if b"origin" not in headers:  # which browsers always send
        return settings.LANGUAGE_CODE
    handshake = HttpRequest()
    handshake.COOKIES = scope["cookies"]
    handshake.META["HTTP_ACCEPT_LANGUAGE"] = headers.get(b"accept-language", "")
    return translation.get_language_from_request(handshake)


@require_POST
def choose_language(request: HttpRequest) -> HttpResponseBase:
    """Set the cookie and lead back to the page; of a signed-in person keep it for their mails."""
    language = request.POST.get("language")
    if language not in dict(settings.LANGUAGES):
        return HttpResponseBadRequest("language: there is no such language here.")
    if request.user.is_authenticated:
        User.objects.filter(pk=request.user.pk).update(language=language)
    return set_language(request)
