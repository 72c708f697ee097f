"""One end of a connection: frames in, frames out, and how it ends.

What arrives is read, parsed and handed on in one go, without a task or a queue; what is written in
one turn of the event loop leaves together. `connection_lost` is called exactly once.
"""

import asyncio
from typing import cast

from inference.engine.wire.errors import CallError, ProtocolError
from inference.engine.wire.frames import HELLO, Frame, Reader, pack_error

# How long a connection that is to end waits for the other side to take what was written.
GOODBYE_S = 10.0


class Connection(asyncio.Protocol):
    """What both ends have in common."""

    def __init__(self) -> None:
        """Made before there is a connection; `connection_made` gives it one."""
        self.events = asyncio.get_running_loop()
        self.writable = True  # False: what is written now waits in this process
        self.ending = False  # nothing that still arrives is looked at
        self.lost: asyncio.Future[None] = self.events.create_future()
        self._reader = Reader()
        self._num_written = 0  # bytes
        self._goodbye: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what is spoken here."""
        self._transport = cast("asyncio.Transport", transport)
        self.send(HELLO)

    def data_received(self, data: bytes) -> None:
        """Take every frame that is complete."""
        try:
            for frame in self._reader.feed(data):
                if self.ending:
                    return
                self.on_frame(frame)
        except ProtocolError as error:
            self.on_nonsense(error)

    def on_frame(self, frame: Frame) -> None:
        """Take one frame. ProtocolError when it makes no sense."""
        raise NotImplementedError

    def on_nonsense(self, error: ProtocolError) -> None:
        """What arrived makes no sense: the connection ends."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Write frames; what is written to a connection that ends is dropped."""
        if not self.ending:
            self._num_written += len(data)
            self._transport.write(data)

    @property
    def num_sent(self) -> int:
        """Bytes that the system has taken."""
        return self._num_written - self._transport.get_write_buffer_size()

    def pause_writing(self) -> None:
        """The other side is behind with reading."""
        self.writable = False

    def resume_writing(self) -> None:
        """The other side has caught up."""
        self.writable = True

    def finish(self, error: CallError | None = None) -> None:
        """End when what was written has been taken, or has not for `GOODBYE_S`."""
        if self.ending:
            return
        if error is not None:
            self.send(pack_error(0, error))
        self.ending = True
        self._transport.close()
        self._goodbye = self.events.call_later(GOODBYE_S, self._transport.abort)

    def abort(self) -> None:
        """End at once."""
        self.ending = True
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended, whoever ended it."""
        self.ending = True
        if self._goodbye is not None:
            self._goodbye.cancel()
        self.lost.set_result(None)
