"""The websocket's protocol: what a client's frame may say, and how the server's are spelt.

Every frame is one JSON object with a `type`. A client's frame is read strictly: unknown types and
unknown fields are refused by name, so nothing a client writes can set a price or choose another
organisation. `docs/websocket.md` describes the protocol for programs.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from inference.errors import ServiceError, invalid
from inference.spec import ChatPrompt, GenerationSpec, Summary, TextPrompt
from inference.tool_choice import form_of_text
from playground.messages import Message
from playground.parameters import Parameters
from playground.strict import Part
from portal.lib.strict_json import StrictJSONError, parse_object, spell_path

# Below what the server takes off the wire (1 MiB), so that the refusal is a sentence.
MAX_FRAME_BYTES = 768 * 1024
MAX_MESSAGES = 1024
# What a completion gets that names no limit, as in the REST API; a chat gets what fits.
COMPLETION_MAX_TOKENS = 16

FrameId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class BadFrame(Exception):  # noqa: N818  it is the frame that is bad
    """A refused frame; `id` is the request it belongs to, when it says so legibly."""

    def __init__(self, error: ServiceError, id: str | None = None) -> None:  # noqa: A002
        super().__init__(error.message)
        self.error = error
        self.id = id


class Run(Part):
    """Generate; exactly one of `messages` (chat) and `prompt` (completion) is there.

    `conversation` is the id of a conversation of the member's to save into, or `new`; left out,
    nothing is kept. `after` is the request of the last answer in it that the sender knows of.
    """

    type: Literal["run"]
    id: FrameId
    model: Annotated[str, Field(min_length=1, max_length=200)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    prompt: Annotated[str, Field(min_length=1)] | None = None
    parameters: Parameters = Parameters()
    conversation: Annotated[str, Field(pattern=r"^[a-z]+(_[A-Za-z0-9]+)?$", max_length=40)] = ""
    after: Annotated[str, Field(pattern=r"^(req_[A-Za-z0-9]+)?$", max_length=40)] = ""

    def to_spec(self) -> GenerationSpec:
        """Raises ServiceError naming the field that does not fit the others."""
        parameters = self.parameters
        max_tokens = parameters.max_tokens
        tools, tool_use = parameters.tool_use()
        constraint = form_of_text(parameters.constraint(), tool_use)
        if self.messages is None:
            parameters.check_completion()
            prompt: ChatPrompt | TextPrompt = TextPrompt(self.prompt or "")
            max_tokens = max_tokens or COMPLETION_MAX_TOKENS
        else:
            places = enumerate(self.messages)
            messages = tuple(m.to_chat_message(f"messages[{place}]") for place, m in places)
            prompt = ChatPrompt(messages, tools)
        return GenerationSpec(
            model=self.model,
            prompts=(prompt,),
            sampling=parameters.to_sampling(max_tokens),
            max_tokens=max_tokens,
            face="playground",
            endpoint="completions" if self.messages is None else "chat.completions",
            stream=True,
            constraint=constraint,
            tool_use=tool_use,
        )


class Cancel(Part):
    type: Literal["cancel"]
    id: FrameId


class Ping(Part):
    type: Literal["ping"]


class Auth(Part):
    """The first frame of a program that could not send an `Authorization` header."""

    type: Literal["auth"]
    key: Annotated[str, Field(min_length=1, max_length=200)]


ClientFrame = Run | Cancel | Ping | Auth
_FRAMES: dict[str, type[ClientFrame]] = {"run": Run, "cancel": Cancel, "ping": Ping, "auth": Auth}


def parse(text: str) -> ClientFrame:
    """The client's frame. Raises BadFrame naming the field that is wrong."""
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) > MAX_FRAME_BYTES:
        raise BadFrame(too_large())
    try:
        body = parse_object(raw)
    except StrictJSONError as error:
        raise BadFrame(invalid(error.message, error.param, "invalid_json")) from None
    claimed = body.get("id")
    frame_id = claimed if isinstance(claimed, str) and 0 < len(claimed) <= 64 else None
    kind = body.get("type")
    model = _FRAMES.get(kind) if isinstance(kind, str) else None
    if model is None:
        message = f"'type' must be one of {', '.join(_FRAMES)}."
        raise BadFrame(invalid(message, "type", "unknown_type"), frame_id)
    try:
        frame = model.model_validate(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise BadFrame(from_validation(problems), frame_id) from None
    if isinstance(frame, Run) and (frame.messages is None) == (frame.prompt is None):
        message = "Exactly one of 'messages' and 'prompt' is needed."
        raise BadFrame(invalid(message, "messages"), frame_id)
    if isinstance(frame, Run):
        try:
            frame.to_spec()  # what fits together is seen here alone
        except ServiceError as problem:
            raise BadFrame(problem, frame_id) from None
    return frame


def too_large() -> ServiceError:
    message = f"A frame holds at most {MAX_FRAME_BYTES:,} bytes."
    return ServiceError(413, "invalid_request_error", "frame_too_large", message)


def from_validation(problems: Sequence[ErrorDetails]) -> ServiceError:
    """The first thing that is wrong, by the name of its field; the value is not repeated."""
    # An unknown field says more about a mistake than the field it was meant to be.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    param = spell_path(problem["loc"])
    if problem["type"] == "extra_forbidden":
        return invalid(f"Unknown field: '{param}'.", param, "unknown_field")
    if problem["type"] == "missing":
        return invalid(f"Missing field: '{param}'.", param, "missing_field")
    reason = problem["msg"][:1].lower() + problem["msg"][1:]
    return invalid(f"Invalid value for '{param}': {reason}.", param, "invalid_value")


# --- What the server says -------------------------------------------------------------------------

ServerFrame = dict[str, Any]


def encode(frame: ServerFrame) -> str:
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def ready(organisation_id: str, max_generations: int) -> ServerFrame:
    return {"type": "ready", "organisation": organisation_id, "max_generations": max_generations}


def started(
    frame_id: str, *, request_id: str, model: str, prompt_tokens: int, conversation: str
) -> ServerFrame:
    frame: ServerFrame = {
        "type": "started",
        "id": frame_id,
        "request_id": request_id,
        "model": model,
        "prompt_tokens": prompt_tokens,
    }
    return frame | {"conversation": conversation} if conversation else frame


def delta(frame_id: str, gain: dict[str, Any]) -> ServerFrame:
    """`gain` holds `text`, and `tool_calls` and `logprobs` where there are any."""
    return {"type": "delta", "id": frame_id, **gain}


def finished(frame_id: str, measured: dict[str, Any], conversation: str) -> ServerFrame:
    frame: ServerFrame = {"type": "finished", "id": frame_id, "summary": measured}
    return frame | {"conversation": conversation} if conversation else frame


def pong() -> ServerFrame:
    return {"type": "pong"}


def error(problem: ServiceError, frame_id: str | None = None, **rest: Any) -> ServerFrame:
    """`rest` may hold the `summary` of a generation that had begun: it is settled then. It may hold
    the `conversation` in which what came is kept."""
    body: dict[str, Any] = {
        "message": problem.message,
        "type": problem.type,
        "param": problem.param,
        "code": problem.code,
        "status": problem.status,
    }
    if problem.details:
        body["details"] = problem.details
    if (wait_ms := problem.headers.get("retry-after-ms")) is not None:
        body["retry_after_ms"] = int(wait_ms)
    frame: ServerFrame = {"type": "error", "error": body, **rest}
    return frame | {"id": frame_id} if frame_id is not None else frame


def measured(summary: Summary, seed: int | None, **rest: Any) -> dict[str, Any]:
    """What was counted and is billed, as a page shows it under the answer.

    `rest`: what only the text tells, such as an end for calls of tools.
    """
    return {
        "request_id": summary.request_id,
        "model": summary.model,
        "prompt_tokens": summary.prompt_tokens,
        "cached_tokens": summary.cached_tokens,
        "completion_tokens": summary.completion_tokens,
        "cost_nanos": summary.cost_nanos,
        "balance_nanos": summary.balance_nanos,
        "ttft_ms": summary.ttft_ms,
        "tokens_per_s": summary.tokens_per_s,
        "duration_ms": summary.duration_ms,
        "finish_reason": summary.finish_reason,
        "outcome": summary.outcome,
        "seed": seed,
        **rest,
    }
