"""Every setting of the web side, one line per knob; each comes from the environment.

With nothing set, this is the embedded default: SQLite, a broker in memory, one engine child
process. `portal.checks` refuses combinations that are unsafe in production.
"""

import shlex
import tempfile
import zlib
from email.headerregistry import Address
from pathlib import Path
from urllib.parse import urlparse

import allauth
import django_stubs_ext
from csp.constants import NONE, SELF

from portal.lib import addresses, env
from portal.lib.money import parse_dollars

django_stubs_ext.monkeypatch()  # lets annotations such as ModelAdmin[User] run

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / "data"))).expanduser().resolve()

# --- The site ---------------------------------------------------------------------------------
SITE_NAME = env.text("SITE_NAME", "Parlance")
PORT = env.integer("PORT", 8000, 1, 65_535)
BASE_URL = env.parsed("BASE_URL", f"http://localhost:{PORT}", addresses.site)
ADDRESS_FILE = DATA_DIR / "address"  # BASE_URL of the last `serve`, for commands beside it
PRODUCTION = env.flag("PRODUCTION", default=False)
DEBUG = env.flag("DEBUG", default=False)
SECRET_KEY = env.secret("SECRET_KEY", DATA_DIR / "secret_key")
SECRET_KEY_FALLBACKS = env.secrets_of("SECRET_KEY_FALLBACKS")  # they open, and never seal
_base_host = urlparse(BASE_URL).hostname or "localhost"
if ":" in _base_host:
    _base_host = f"[{_base_host}]"  # as browsers and mails write it
ALLOWED_HOSTS = env.words(
    "ALLOWED_HOSTS", f"{_base_host},localhost,127.0.0.1,[::1]", addresses.host
)
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", BASE_URL, addresses.site)
SUPPORT_EMAIL = env.text("SUPPORT_EMAIL")

# --- The API ----------------------------------------------------------------------------------
API_MAX_BODY_BYTES = env.integer("API_MAX_BODY_BYTES", 4 * 1024 * 1024, 1)
API_MAX_SEQUENCES = env.integer("API_MAX_SEQUENCES", 128, 1)  # n x prompts of one request
REQUEST_DEADLINE_S = env.integer("REQUEST_DEADLINE_S", 3600, 0, 2_592_000)  # 0: none
KEPT_BODY_MAX_BYTES = env.integer("KEPT_BODY_MAX_BYTES", 256 * 1024)  # each, for who keeps bodies
REPLAY_MAX_BYTES = env.integer("REPLAY_MAX_BYTES", 1024 * 1024)  # kept by an Idempotency-Key
API_CORS_ORIGINS = env.words("API_CORS_ORIGINS", check=addresses.origin)
API_KEY_CACHE_S = 2.0  # a revoked key is refused after at most this long
# NAME:DOLLARS:REQUESTS:TOKENS of each tier: whoever has paid so much in may do so much a minute
# (0: no limit). The lowest lets 64 benchmark clients run at full speed.
RATE_LIMIT_TIERS = env.words(
    "RATE_LIMIT_TIERS",
    "start:0:30000:20000000,build:50:60000:50000000,scale:500:120000:200000000",
)
MANAGEMENT_REQUESTS_PER_MINUTE = env.integer("MANAGEMENT_REQUESTS_PER_MINUTE", 600)  # 0: no limit
RATE_LIMIT_TIER_CACHE_S = 10.0  # a payment or an operator's choice shows after at most this long
TRUST_FORWARDED_FOR = env.flag("TRUST_FORWARDED_FOR", default=False)  # behind your own proxy only

# --- Engines ----------------------------------------------------------------------------------
# NAME=ADDRESS pairs of engines that run elsewhere; without them `serve` starts its own.
ENGINES = env.pairs("ENGINES", addresses.engine)
ENGINE_FAKE = env.flag("ENGINE_FAKE", default=False)  # the site without torch
ENGINE_DEVICE = env.choice("ENGINE_DEVICE", "auto", ("auto", "cpu", "cuda"))
ENGINE_ARGS = env.parsed("ENGINE_ARGS", "", shlex.split)  # more for `python -m inference.engine`
STARTER_DIR = BASE_DIR / "inference" / "starter"
# A unix socket's path holds 107 bytes at most; a deep DATA_DIR gets a short folder of its own.
ENGINE_SOCKET_DIR = (
    DATA_DIR / "run"
    if len(str(DATA_DIR)) < 60
    else Path(tempfile.gettempdir()) / f"parlance-{zlib.crc32(str(DATA_DIR).encode()):08x}"
)

# --- Money (nanos are 1e-9 US dollars) ---------------------------------------------------------
STRIPE_SECRET_KEY = env.text("STRIPE_SECRET_KEY")
STRIPE_WEBHOOK_SECRET = env.text("STRIPE_WEBHOOK_SECRET")
STRIPE_API_BASE = env.text("STRIPE_API_BASE")  # another address for Stripe's API, for tests
# Tax is Stripe Tax's to work out; promotion codes are made in Stripe's dashboard.
STRIPE_AUTOMATIC_TAX = env.flag("STRIPE_AUTOMATIC_TAX", default=False)
STRIPE_PROMOTION_CODES = env.flag("STRIPE_PROMOTION_CODES", default=False)
TOP_UP_MIN_CENTS = env.integer("TOP_UP_MIN_CENTS", 500, 1)
TOP_UP_MAX_CENTS = env.integer("TOP_UP_MAX_CENTS", 1_000_000, TOP_UP_MIN_CENTS)
TOP_UP_CENTS = [
    cents
    for cents in env.integers("TOP_UP_CENTS", "500,1000,2500,10000")
    if TOP_UP_MIN_CENTS <= cents <= TOP_UP_MAX_CENTS  # what would be refused is not offered
]
REFUND_DAYS = env.integer("REFUND_DAYS", 14, 0, 36_500)  # for customers, of unused credit; 0: none
# Whether customers' alerts may be posted into this site's own network, and without TLS.
WEBHOOKS_TO_PRIVATE_ADDRESSES = env.flag("WEBHOOKS_TO_PRIVATE_ADDRESSES", default=False)
WELCOME_CREDIT_NANOS = env.parsed(
    "WELCOME_CREDIT", "0" if STRIPE_SECRET_KEY else "5.00", parse_dollars
)
# What the live answers on the home page may cost a month; 0: there are none.
HOME_SAMPLE_NANOS = env.parsed("HOME_SAMPLE_BUDGET", "1.00", parse_dollars)
HOLD_LEASE_S = 20
HOLD_RENEW_S = 5
HOLD_SWEEP_S = 5
HOLD_WINDOW_TOKENS = env.integer("HOLD_WINDOW_TOKENS", 256, 1)  # when max_tokens is left out

# --- Django -----------------------------------------------------------------------------------


def _social_provider(name: str) -> str:
    """The application of allauth's provider of this name."""
    folder = Path(allauth.__file__).parent / "socialaccount" / "providers" / name
    if not name.isidentifier() or not (folder / "urls.py").exists():
        raise ValueError(f"allauth has no provider {name!r}")
    return f"allauth.socialaccount.providers.{name}"


INSTALLED_APPS = [
    "portal",
    "accounts",
    "billing",
    "inference",
    "playground",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    *env.words("SOCIAL_PROVIDERS", check=_social_provider),
    "auditlog",
    "channels",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "portal.middleware.RequestIdMiddleware",
    "portal.middleware.slash_is_optional",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "portal.middleware.CompressPages",
    "portal.middleware.nobody_keeps_what_is_private",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "portal.languages.LanguageMiddleware",
    "portal.middleware.foreign_host_is_refused",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "accounts.middleware.social_sign_in_may_leave",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "accounts.middleware.AuditMiddleware",
    "accounts.middleware.OrganisationMiddleware",
]

ROOT_URLCONF = "portal.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context_processors.site",
            ],
            "builtins": ["portal.templatetags.parlance", "portal.templatetags.frame"],
        },
    }
]


def _database(url: str) -> dict[str, object]:
    """Django's settings of one database from `postgres://user:password@host:port/name`."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "parlance.sqlite3",
            # Opening it for every call took a quarter of the database threads' time. Not for ever:
            # a file that was put back from a backup has to be noticed.
            "CONN_MAX_AGE": 60,
            # A file, since an in-memory database cannot be shared by threads under load.
            "TEST": {"NAME": DATA_DIR / "test.sqlite3"},
            "OPTIONS": {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                # FULL: what was answered to a customer survives a power cut.
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    return {
        "ENGINE": "django.db.backends.postgresql",
        **addresses.postgres(url),
        # While the server is away a request waits for `timeout` before it is refused. An attempt to
        # connect that is given up soon lets the next request make a new one: the pool's own pauses
        # between attempts grow with the outage.
        "OPTIONS": {
            **addresses.parameters(url),
            "pool": {
                "min_size": 1,
                "max_size": DB_THREADS + 8,
                "timeout": 3,
                "reconnect_timeout": 2,
            },
        },
    }


DB_THREADS = env.integer("DB_THREADS", 8, 1)
DATABASE_URL = env.text("DATABASE_URL")
DATABASES = {"default": env.parsed("DATABASE_URL", "", _database)}
REDIS_URL = env.parsed("REDIS_URL", "", addresses.redis)
REDIS_CONNECTIONS = {"socket_timeout": 5, "socket_connect_timeout": 5}  # else for ever
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": REDIS_CONNECTIONS,
    }
    if REDIS_URL
    else {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        # Limits of sign-in live here: above Django's 300 entries, strangers would push them out.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "portal" / "locale"]
FORMAT_MODULE_PATH = "portal.formats"
LANGUAGE_COOKIE_AGE = 365 * 86_400
LANGUAGE_COOKIE_SAMESITE = "Lax"
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "portal.static.ManifestStorage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# --- Security ---------------------------------------------------------------------------------
_https = BASE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = env.integer("SECURE_HSTS_SECONDS", 31_536_000 if _https else 0)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUST_FORWARDED_FOR else None
# Of `check --deploy`: whether a whole domain is https is its owner's to say; proxies redirect.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        # A form's redirect counts too: topping up leads to Stripe's pages.
        "form-action": [
            SELF,
            *(
                [STRIPE_API_BASE]
                if STRIPE_API_BASE
                else ["https://checkout.stripe.com", "https://billing.stripe.com"]
            ),
        ],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- Sign-in (django-allauth) -------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]  # fmt: skip
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "overview"
ACCOUNT_SIGNUP_REDIRECT_URL = "welcome"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # to change by which addresses and accounts one signs in
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_MAX_EMAIL_ADDRESSES = 10
ACCOUNT_FORMS = {"login": "accounts.forms.SignInForm", "signup": "accounts.forms.SignUpForm"}
# Each of these is a mail to whatever address somebody typed in: so many a day, beside allauth's
# own limits of a minute.
ACCOUNT_RATE_LIMITS = {
    "signup": "20/m/ip,500/d/ip",
    "reset_password": "20/m/ip,200/d/ip,5/m/key,20/d/key",
    "confirm_email": "1/180s/key,20/d/key",
    "manage_email": "10/m/user,30/d/user",
}
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "accounts.adapters.SocialAccountAdapter"
ACCOUNT_LOGOUT_REDIRECT_URL = "home"
MFA_ADAPTER = "accounts.second_factors.MFAAdapter"
MFA_FORMS = {
    "activate_totp": "accounts.forms.NewAppForm",
    "add_webauthn": "accounts.forms.NewPasskeyForm",
    "edit_webauthn": "accounts.forms.PasskeyNameForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = SITE_NAME
# Browsers allow passkeys on http://localhost alone; anywhere else https is needed.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = _base_host == "localhost"
USERSESSIONS_TRACK_ACTIVITY = False
SIGNUP_OPEN = env.flag("SIGNUP_OPEN", default=True)

# --- Mail: rows first, then a task sends them ----------------------------------------------------
EMAIL_BACKEND = "accounts.mail.OutboxBackend"
EMAIL_HOST = env.parsed("EMAIL_HOST", "", addresses.mail_server)
EMAIL_PORT = env.integer("EMAIL_PORT", 587, 1, 65_535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS", default=True)
EMAIL_TIMEOUT = 10
MAIL_TRANSPORT = (
    "django.core.mail.backends.smtp.EmailBackend" if EMAIL_HOST else "accounts.mail.TerminalBackend"
)
DEFAULT_FROM_EMAIL = env.parsed(
    "DEFAULT_FROM_EMAIL", str(Address(SITE_NAME, "no-reply", _base_host)), addresses.sender
)

# --- Celery -----------------------------------------------------------------------------------
CELERY_BROKER_URL = env.parsed(
    "CELERY_BROKER_URL", REDIS_URL or "memory://localhost", addresses.broker
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = addresses.broker_options(CELERY_BROKER_URL, REDIS_CONNECTIONS)
CELERY_TASK_IGNORE_RESULT = True
# A job whose worker died is handed out again: by the broker, which Redis does an hour later, and
# long before by beat, which looks for rows that nobody has done. Every job may run twice.
CELERY_TASK_ACKS_LATE = CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# The schedule holds nothing worth keeping over a restart: every job picks up rows.
CELERY_BEAT_SCHEDULER = "portal.beat:SteadyScheduler"

# --- The management API ---------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.ManagementKeyAuthentication"],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.throttling.ManagementThrottle"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["portal.lib.strict_parser.StrictJSONParser"],
    "URL_FORMAT_OVERRIDE": None,  # `?format=xml` is nobody's to read: it was an address of nothing
    "EXCEPTION_HANDLER": "portal.lib.rest_errors.answer",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "portal.lib.pagination.NewestFirst",
    "PAGE_SIZE": 100,
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": f"{SITE_NAME} API",
    "DESCRIPTION": (
        "Language models under `/v1`, with inference keys, as OpenAI's clients call them; the "
        "organisation under `/api`, with management keys. Money is in nano-US-dollars (1e-9 $)."
    ),
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVERS": [{"url": BASE_URL}],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "portal.openapi.complete",
    ],
}

# --- Logs -------------------------------------------------------------------------------------
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOG_JSON = env.flag("LOG_JSON", default=PRODUCTION)
LOGGING_CONFIG = "portal.logs.configure"
LOGGING = {"level": LOG_LEVEL, "json": LOG_JSON}
