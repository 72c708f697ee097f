"""The methods of the protocol, as the `service` block of `engine.proto` has them."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from inference.engine.wire import engine_pb2 as wire

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[Q, R]):
    """What it takes and what it answers."""

    name: str
    request: type[Q]
    reply: type[R]
    streams: bool = False  # any number of both, in any order


INFO = Method("Info", wire.InfoRequest, wire.EngineInfo)
TOKENIZE = Method("Tokenize", wire.TokenizeRequest, wire.TokenizeReply)
DETOKENIZE = Method("Detokenize", wire.DetokenizeRequest, wire.DetokenizeReply)
DESCRIBE_TOKENIZER = Method(
    "DescribeTokenizer", wire.DescribeTokenizerRequest, wire.TokenizerDescription
)
TOKENIZE_ALL = Method("TokenizeAll", wire.TokenizeAllRequest, wire.TokenizeAllReply)
CHECK_GRAMMAR = Method("CheckGrammar", wire.CheckGrammarRequest, wire.CheckGrammarReply)
GENERATE = Method("Generate", wire.ClientFrame, wire.StepFrame, streams=True)
EMBED = Method("Embed", wire.EmbedRequest, wire.EmbedReply)
FILL_MASK = Method("FillMask", wire.FillMaskRequest, wire.FillMaskReply)
FIND_TOKENS = Method("FindTokens", wire.FindTokensRequest, wire.FindTokensReply)
DRAIN = Method("Drain", wire.DrainRequest, wire.DrainReply)

METHODS: dict[str, Method[Any, Any]] = {
    method.name: method
    for method in (
        INFO, TOKENIZE, DETOKENIZE, DESCRIBE_TOKENIZER, TOKENIZE_ALL, CHECK_GRAMMAR, GENERATE,
        EMBED, FILL_MASK, FIND_TOKENS, DRAIN,
    )
}  # fmt: skip
