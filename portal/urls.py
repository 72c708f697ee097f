"""Every address of the Django side; `portal.asgi` says what does not come here."""

from django.contrib import admin
from django.urls import include, path

from portal.languages import choose_language

handler400 = "portal.failures.bad_request"
handler403 = "portal.failures.forbidden"
handler404 = "portal.failures.not_found"
handler500 = "portal.failures.server_error"

urlpatterns = [
    path("", include("portal.pages.urls")),
    path("", include("accounts.urls")),
    path("accounts/", include("allauth.urls")),
    path("", include("billing.urls")),
    path("playground/", include("playground.urls")),
    path("operator/", admin.site.urls),
    path("api/", include("portal.api_urls")),
    path("language/", choose_language, name="set_language"),
]
