"""What every kind of engine answers: to and from token ids, and leaving."""

import asyncio
import dataclasses
import json
import logging
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from inference.engine.codec import Chat, Codec
from inference.engine.wire import engine_pb2
from inference.engine.wire.errors import CallError, Code

if TYPE_CHECKING:
    from inference.engine.listening import LoopServer

# What is encoded sooner than it is handed to a thread and back.
SHORT_PROMPT_BYTES = 1 << 10
# What has a thread of its own, so that others do not wait behind it.
LONG_PROMPT_BYTES = 1 << 14

Argument = TypeVar("Argument")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


def engine_version() -> str:
    """Return the version of this package."""
    try:
        return metadata.version("parlance")
    except metadata.PackageNotFoundError:
        return "0.1.0"


class CodecServicer:
    """Answers for one server and its tokenizer."""

    def __init__(self, listener: "LoopServer", codec: Codec, vocab_size: int) -> None:
        """Encode and decode with `codec`."""
        self._listener = listener
        self._codec = codec
        self._vocab_size = vocab_size
        self._asked_bytes = 0  # in this turn of the event loop

    def full_for_ms(self, place: engine_pb2.Place, amount: int) -> int:
        """Say when to come back; 0: so much may be submitted for this place now.

        The amount is of what the engine's queue is measured in: sequences, or tokens of inputs.
        """
        raise NotImplementedError

    async def Tokenize(  # noqa: N802  (the protocol's name)
        self, request: engine_pb2.TokenizeRequest
    ) -> engine_pb2.TokenizeReply:
        """Encode a prompt: at once, or off the event loop when that takes longer."""
        if request.HasField("place"):
            place = request.place
            if full_for_ms := self.full_for_ms(place, place.num_sequences):
                return engine_pb2.TokenizeReply(full_for_ms=full_for_ms)
        num_bytes = request.ByteSize()
        if self._is_little(num_bytes):
            return self._tokenize(request)
        return await self._aside(num_bytes, self._tokenize, request)

    def _is_little(self, num_bytes: int) -> bool:
        """Whether it is short, together with what else was asked in this turn of the event loop."""
        if not self._asked_bytes:
            asyncio.get_running_loop().call_soon(self._forget_asked)
        self._asked_bytes += num_bytes
        return self._asked_bytes <= SHORT_PROMPT_BYTES

    def _forget_asked(self) -> None:
        self._asked_bytes = 0

    def _aside(
        self, num_bytes: int, call: Callable[[Argument], Result], argument: Argument
    ) -> asyncio.Future[Result]:
        """Run it on a thread, so that the event loop turns: megabytes on one of their own."""
        listener = self._listener
        threads = listener.long_executor if num_bytes > LONG_PROMPT_BYTES else listener.executor
        return asyncio.get_running_loop().run_in_executor(threads, call, argument)

    def _tokenize(self, request: engine_pb2.TokenizeRequest) -> engine_pb2.TokenizeReply:
        """Encode one prompt. CallError; a template's refusal is the caller's mistake."""
        try:
            token_ids, tokens = self._encode(request)
        except ValueError as error:
            raise CallError(Code.INVALID_ARGUMENT, str(error)) from None
        except BaseException:  # a panic of the tokenizer, which is written in Rust, is no Exception
            logger.exception("a prompt could not be encoded")
            raise CallError(Code.INTERNAL, "The prompt could not be encoded.") from None
        return engine_pb2.TokenizeReply(token_ids=token_ids, tokens=tokens)

    def _encode(self, request: engine_pb2.TokenizeRequest) -> tuple[list[int], list[str]]:
        if request.WhichOneof("prompt") == "chat":
            token_ids = self._codec.encode_chat(chat_from_wire(request.chat))
            if request.add_special_tokens:
                first, last = self._codec.frame
                token_ids = [*first, *token_ids, *last]
        else:
            bare = request.HasField("add_special_tokens") and not request.add_special_tokens
            token_ids = self._codec.encode_text(request.text, add_special_tokens=not bare)
        spelt = token_ids if request.with_tokens else ()
        return token_ids, [self._codec.token_bytes(t).decode(errors="replace") for t in spelt]

    async def Detokenize(  # noqa: N802
        self, request: engine_pb2.DetokenizeRequest
    ) -> engine_pb2.DetokenizeReply:
        """Decode with special tokens written out."""
        token_ids = list(request.token_ids)
        worst = max(token_ids, default=0)
        if worst >= self._vocab_size:
            sentence = f"Token id {worst} is outside the vocabulary."
            raise CallError(Code.INVALID_ARGUMENT, sentence)
        text = await self._aside(request.ByteSize(), self._codec.decode, token_ids)
        return engine_pb2.DetokenizeReply(text=text)

    async def DescribeTokenizer(  # noqa: N802
        self, request: engine_pb2.DescribeTokenizerRequest
    ) -> engine_pb2.TokenizerDescription:
        """Say what the tokenizer is."""
        return engine_pb2.TokenizerDescription(**dataclasses.asdict(self._codec.describe()))

    async def Drain(self, request: engine_pb2.DrainRequest) -> engine_pb2.DrainReply:  # noqa: N802
        """Answer when the last thing that runs has ended."""
        await self._listener.drain()
        return engine_pb2.DrainReply()


def chat_from_wire(prompt: engine_pb2.ChatPrompt) -> Chat:
    """Read a conversation; ValueError when a JSON part is not what it should be."""
    messages: list[dict[str, Any]] = []
    for message in prompt.messages:
        entry: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.name:
            entry["name"] = message.name
        entry.update(_read_json(message.extra_json, dict, "extra_json"))
        messages.append(entry)
    tools = _read_json(prompt.tools_json, list, "tools_json")
    return Chat(tuple(messages), prompt.add_generation_prompt, tuple(tools))


def _read_json(text: str, kind: type, name: str) -> Any:
    value = json.loads(text) if text else kind()
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be a JSON {'object' if kind is dict else 'array'}")
    return value
