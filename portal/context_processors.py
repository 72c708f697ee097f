"""What every template may use."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, object]:
    return {
        "SITE_NAME": settings.SITE_NAME,
        "BASE_URL": settings.BASE_URL,
        "SUPPORT_EMAIL": settings.SUPPORT_EMAIL,
        "MAIL_ENABLED": bool(settings.EMAIL_HOST),
        "SIGNUP_OPEN": settings.SIGNUP_OPEN,
        "LANGUAGES_BY_OWN_NAME": settings.LANGUAGES,
        "STRIPE_ENABLED": bool(settings.STRIPE_SECRET_KEY),
    }
