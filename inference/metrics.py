"""The Prometheus metrics of inference; names follow OpenTelemetry's GenAI conventions where they
have one (dots as underscores). No label holds anything a caller can choose freely.
"""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from inference.engine.wire import engine_pb2 as wire

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

TIME_TO_FIRST_TOKEN = Histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "From the request's arrival to the first token that its reader could have.",
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
_ENGINE = ["gen_ai_request_model", "engine"]
QUEUE = Gauge("parlance_engine_waiting_sequences", "Sequences waiting, as last polled.", _ENGINE)
QUEUE_SECONDS = Gauge(
    "parlance_engine_queue_seconds", "Until what waits now has begun, as estimated.", _ENGINE
)
CACHE_USED = Gauge(
    "parlance_engine_cache_used_ratio", "Blocks of the key-value cache held by sequences.", _ENGINE
)
CACHE_HITS = Gauge(
    "parlance_engine_prefix_cache_hit_ratio",
    "Prompt tokens found in the cache instead of computed, since the engine's start.",
    _ENGINE,
)
SETTLE_RETRIES = Counter(
    "parlance_settle_retries", "Attempts to settle that failed and were tried again."
)

# What `labels` finds, found once: it takes a lock and spells every label at each call.
tokens = cache(TOKENS.labels)
request_duration = cache(REQUEST_DURATION.labels)
time_to_first_token = cache(TIME_TO_FIRST_TOKEN.labels)
time_per_output_token = cache(TIME_PER_OUTPUT_TOKEN.labels)
responses = cache(RESPONSES.labels)


def report_engine(model: str, address: str, stats: wire.EngineStats) -> None:
    """Show what an engine last said about itself."""
    QUEUE.labels(model, address).set(stats.num_waiting)
    QUEUE_SECONDS.labels(model, address).set(stats.queue_ms / 1000)
    CACHE_USED.labels(model, address).set(stats.kv_blocks_used / max(stats.kv_blocks_total, 1))
    prompts = stats.cached_prompt_tokens + stats.prompt_tokens
    CACHE_HITS.labels(model, address).set(stats.cached_prompt_tokens / max(prompts, 1))


def forget_engine(model: str, address: str) -> None:
    """Show nothing of an engine that is no longer used."""
    for gauge in (QUEUE, QUEUE_SECONDS, CACHE_USED, CACHE_HITS):
        gauge.remove(model, address)
