"""System checks: combinations of settings that would lose money or leak secrets are refused."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register

from portal.lib import env

SECRET_LENGTH = 50


@register()
def check_stripe(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Without a webhook secret anyone could tell us that they paid."""
    if settings.STRIPE_SECRET_KEY and not settings.STRIPE_WEBHOOK_SECRET:
        return [
            Error(
                "STRIPE_SECRET_KEY is set but STRIPE_WEBHOOK_SECRET is not.",
                hint="Set STRIPE_WEBHOOK_SECRET to the signing secret of your webhook endpoint.",
                id="parlance.E001",
            )
        ]
    wrong = [
        name
        for name, beginnings in {
            "STRIPE_SECRET_KEY": ("sk_", "rk_"), "STRIPE_WEBHOOK_SECRET": ("whsec_",),
        }.items()
        if getattr(settings, name) and not getattr(settings, name).startswith(beginnings)
    ]  # fmt: skip
    return [
        Error(
            f"{name} is another kind of key: Stripe would refuse it, or we what Stripe sends.",
            hint="A secret key begins with sk_ or rk_, a webhook endpoint's secret with whsec_.",
            id="parlance.E007",
        )
        for name in wrong
    ]


@register()
def check_production(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if not settings.PRODUCTION:
        return []
    problems: list[CheckMessage] = []
    if len(env.text("SECRET_KEY")) < SECRET_LENGTH:
        problems.append(
            Error(
                "PRODUCTION needs a long SECRET_KEY; a generated one differs between machines.",
                hint="Set SECRET_KEY to at least 50 random characters.",
                id="parlance.E002",
            )
        )
    if settings.DEBUG:
        problems.append(Error("DEBUG must be off in production.", id="parlance.E003"))
    if not settings.DATABASE_URL:
        problems.append(
            Error(
                "PRODUCTION needs DATABASE_URL: SQLite serves one machine.",
                hint="Set DATABASE_URL=postgres://user:password@host:5432/name.",
                id="parlance.E004",
            )
        )
    if not settings.REDIS_URL:
        problems.append(
            Error(
                "PRODUCTION needs REDIS_URL: in memory, limits stay within one process.",
                hint="Set REDIS_URL=redis://host:6379/0.",
                id="parlance.E005",
            )
        )
    if not settings.BASE_URL.startswith("https://"):
        problems.append(
            checks.Warning(
                "BASE_URL is not https: cookies are sent in clear and passkeys do not work.",
                id="parlance.W001",
            )
        )
    elif not settings.TRUST_FORWARDED_FOR:
        problems.append(
            checks.Warning(
                "TRUST_FORWARDED_FOR is off: behind a proxy all visitors have its address, so that"
                " they share the limits of sign-in and keys' address ranges fit nobody.",
                hint="Set TRUST_FORWARDED_FOR=true where your proxy sets X-Forwarded-For.",
                id="parlance.W002",
            )
        )
    return problems


@register()
def check_several_processes(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if env.integer("WEB_CONCURRENCY", 1) > 1 and not settings.REDIS_URL:
        return [
            Error(
                "WEB_CONCURRENCY is above 1 but REDIS_URL is not set.",
                hint="Several web processes share their limits through Redis.",
                id="parlance.E006",
            )
        ]
    return []
