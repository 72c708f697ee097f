"""The socket at `/ws/playground/`: credentials, frames in, a task for each generation.

Channels hands over one frame after the other, so nothing here waits for a generation; that is why
`cancel` works at any moment. When the socket goes, every generation of it is cancelled.
"""

import asyncio
import contextlib
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.utils.translation import gettext_lazy as _

from inference.database import ask_database
from inference.errors import ServiceError, invalid
from inference.sentences import Sentence
from playground import protocol
from playground.admission import (
    NOT_A_MEMBER,
    Credentials,
    KeyCredentials,
    admit,
    member_credentials,
    session_ended,
)
from playground.answering import Answering
from playground.crowd import Place

MAX_GENERATIONS = 8
AUTH_TIMEOUT_S = 10.0
# A client that takes nothing for this long is given up.
STALLED_CLIENT_S = 30.0
# How long a closed socket waits for its generations to be settled.
SETTLE_S = 10.0
# Close codes: 4xxx are ours, 1013 is "try again later".
UNAUTHORIZED, STALLED, TOO_MANY, UNAVAILABLE = 4401, 4408, 4429, 1013


class PlaygroundConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.credentials: Credentials | None = None
        self.answering: dict[str, Answering] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.patience: asyncio.Task[None] | None = None  # with a program that has to send its key
        self.gone = False
        self.place = Place()
        # Frames of several generations wait for a slow client in turn: one each, never a queue.
        self.sending = asyncio.Lock()

    async def __call__(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().__call__(*args, **kwargs)
        finally:
            self._cancel_everything()
            self.place.give_up()

    # --- Coming ----------------------------------------------------------------------------------

    async def connect(self) -> None:
        await self.accept()
        try:
            credentials = await self._credentials()
            if credentials is not None:
                await self._welcome(credentials)
            else:
                self.place.take_for_address(remote_ip(self.scope))
                self.patience = asyncio.create_task(self._expect_auth())
        except ServiceError as refusal:
            await self._turn_away(refusal)

    async def _credentials(self) -> Credentials | None:
        """Those of the handshake; None for a program that may still send a key."""
        headers = {name: value.decode("latin-1") for name, value in self.scope["headers"]}
        scheme, _, secret = headers.get(b"authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return KeyCredentials(secret.strip(), remote_ip(self.scope))
        user, session = self.scope["user"], self.scope["session"]
        if user.is_authenticated:
            chosen = dict(session.items())
            return await ask_database(member_credentials, user.pk, session.session_key, chosen)
        if b"origin" in headers:  # a page: it has no key to send
            raise session_ended()
        return None

    async def _welcome(self, credentials: Credentials) -> None:
        caller = await ask_database(admit, credentials)
        self.place.take_for(caller)
        self.credentials = credentials
        await self.say(protocol.ready(caller.organisation_id, MAX_GENERATIONS))

    async def _expect_auth(self) -> None:
        await asyncio.sleep(AUTH_TIMEOUT_S)
        message = "No key was sent: send an auth frame first, or an Authorization header."
        await self._turn_away(unauthorized(message))

    async def _turn_away(self, refusal: ServiceError) -> None:
        await self.say(protocol.error(refusal))
        code = UNAVAILABLE if refusal.status >= 500 else UNAUTHORIZED
        await self._hang_up(TOO_MANY if refusal.status == 429 else code)

    # --- Frames ----------------------------------------------------------------------------------

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.gone:
            return
        try:
            if text_data is None:
                raise protocol.BadFrame(invalid("Frames are text, not binary.", None))
            await self._handle(protocol.parse(text_data))
        except protocol.BadFrame as bad:
            await self.say(protocol.error(bad.error, bad.id))
        except ServiceError as refusal:
            await self._turn_away(refusal)

    async def _handle(self, frame: protocol.ClientFrame) -> None:
        """Raises ServiceError when the socket has to be closed."""
        if isinstance(frame, protocol.Auth):
            await self._authenticate(frame)
        elif self.credentials is None:
            raise unauthorized("Send an auth frame first.")
        elif isinstance(frame, protocol.Run):
            self._begin(frame, self.credentials)
        elif isinstance(frame, protocol.Cancel):
            if frame.id in self.answering:  # it may just have ended
                self.answering[frame.id].cancel()
        else:
            await self.say(protocol.pong())

    async def _authenticate(self, frame: protocol.Auth) -> None:
        if self.credentials is not None:
            raise protocol.BadFrame(invalid("This socket is authenticated already.", "type"))
        if self.patience is not None:
            self.patience.cancel()
        await self._welcome(KeyCredentials(frame.key, remote_ip(self.scope)))

    def _begin(self, frame: protocol.Run, credentials: Credentials) -> None:
        if frame.id in self.answering:
            refusal = invalid("A generation with this id is running.", "id", "duplicate_id")
            raise protocol.BadFrame(refusal, frame.id)
        if len(self.answering) >= MAX_GENERATIONS:
            message = Sentence(
                _("At most %(most)s generations may run on one connection at once."),
                most=MAX_GENERATIONS,
            )
            refusal = ServiceError(429, "rate_limit_error", "too_many_generations", message)
            raise protocol.BadFrame(refusal, frame.id)
        answering = Answering(frame, credentials, self.say)
        self.answering[frame.id] = answering
        task = asyncio.create_task(self._answer(answering), name=f"answer {answering.request_id}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, answering: Answering) -> None:
        try:
            error = await answering.run()
        finally:
            self.answering.pop(answering.frame.id, None)
        if error is not None and (error.status == 401 or error.code == NOT_A_MEMBER):
            await self._turn_away(await self._what_ended(error))

    async def _what_ended(self, error: ServiceError) -> ServiceError:
        """An answer that was broken off has only heard that its credentials ended, not why."""
        if error.code == "access_withdrawn" and self.credentials is not None:
            try:
                await ask_database(admit, self.credentials)
            except ServiceError as refusal:
                return refusal
        return error

    # --- Speaking and going ----------------------------------------------------------------------

    async def say(self, frame: protocol.ServerFrame) -> None:
        """Send one frame; waits for a slow client, gives up a stalled one, is silent to none."""
        async with self.sending:
            if self.gone:
                return
            try:
                async with asyncio.timeout(STALLED_CLIENT_S):
                    await self.send(text_data=protocol.encode(frame))
                return
            except TimeoutError:
                code = STALLED
            except OSError:  # it hung up; the disconnect is on its way
                code = None
        await self._hang_up(code)

    async def _hang_up(self, code: int | None) -> None:
        if self.gone:
            return
        self.gone = True
        self._cancel_everything()
        if code is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(STALLED_CLIENT_S):
                    await self.close(code)

    async def disconnect(self, code: int) -> None:
        self.gone = True
        self._cancel_everything()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=SETTLE_S)

    def _cancel_everything(self) -> None:
        for answering in list(self.answering.values()):
            answering.cancel()
        # It may be the one that hangs up.
        if self.patience is not None and self.patience is not asyncio.current_task():
            self.patience.cancel()


def unauthorized(message: str) -> ServiceError:
    return ServiceError(401, "invalid_request_error", "not_authenticated", message)


def remote_ip(scope: dict[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
