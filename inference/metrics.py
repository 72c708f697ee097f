"""The Prometheus metrics of inference; names follow OpenTelemetry's GenAI conventions where they
have one (dots as underscores). No label holds anything a caller can choose freely.
"""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

TIME_TO_FIRST_TOKEN = Histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "From the request's arrival to its first sampled token.",
    ["gen_ai_request_model"],
    buckets=_SECONDS,
)
REQUEST_DURATION = Histogram(
    "gen_ai_server_request_duration_seconds",
    "From the request's arrival until it was settled.",
    ["gen_ai_request_model", "outcome"],
    buckets=_SECONDS,
)
TIME_PER_OUTPUT_TOKEN = Histogram(
    "gen_ai_server_time_per_output_token_seconds",
    "Time per output token after the first.",
    ["gen_ai_request_model"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
TOKENS = Counter(
    "gen_ai_client_token_usage",
    "Tokens by kind: input, cached_input, output, waived.",
    ["gen_ai_request_model", "gen_ai_token_type"],
)
RESPONSES = Counter(
    "parlance_api_responses",
    "Answers of the REST API.",
    ["endpoint", "status"],
)
IGNORED_FIELDS = Counter(
    "parlance_api_ignored_fields",
    "Unknown request fields that were accepted and ignored.",
)
RUNNING = Gauge("parlance_generations_running", "Generations that are not settled yet.")
ENGINES_HEALTHY = Gauge("parlance_engines_healthy", "Engines that answer and take requests.")
QUEUE = Gauge(
    "parlance_engine_waiting_sequences",
    "Sequences waiting in the engines, as last polled.",
    ["gen_ai_request_model"],
)
SETTLE_RETRIES = Counter(
    "parlance_settle_retries", "Attempts to settle that failed and were tried again."
)
