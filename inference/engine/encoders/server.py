"""The face of an encoder: what stands behind it, and how it listens."""

from dataclasses import dataclass

from inference.engine.encoders.codec import EncoderCodec
from inference.engine.encoders.jobs import Encoder, EncoderLimits
from inference.engine.encoders.loop import EncoderLoop
from inference.engine.encoders.service import EncoderServicer
from inference.engine.listening import LoopServer
from inference.engine.wire.answering import Stream


@dataclass(frozen=True, slots=True)
class ServedEncoder:
    """An encoder, ready to run. `kind`: embeddings or fill_mask."""

    kind: str
    model: str
    revision: str
    device: str
    dtype: str
    vocab_size: int
    dimensions: int  # of embeddings; 0 where there are none
    codec: EncoderCodec
    encoder: Encoder
    limits: EncoderLimits


class EncoderServer(LoopServer):
    """One encoder behind one listening address."""

    def __init__(self, served: ServedEncoder) -> None:
        """Prepare; `start` does the rest. Must be called where an event loop runs."""
        self.served = served
        self.loop = EncoderLoop(served.encoder, served.limits, served.vocab_size)
        super().__init__(self.loop)
        self.streams: set[Stream] = set()
        self.serve(EncoderServicer(self))

    @property
    def num_streams(self) -> int:
        """Clients that are connected."""
        return len(self.streams)

    async def stop(self, grace_s: float = 5.0) -> None:
        """End every stream, then stop listening."""
        for stream in list(self.streams):
            stream.end()
        await super().stop(grace_s)
