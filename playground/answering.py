"""One generation of a socket, from the run frame to the frame that ends it.

It ends with exactly one `finished` or `error` frame, and whatever text was paid for is saved, also
when nobody listens any more: the task outlives the socket until the generation is settled.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from django.db import Error as DatabaseError

from accounts.authentication import Caller
from inference import errors, service
from inference.database import ask_database
from inference.errors import ServiceError
from inference.generation import Generation
from inference.spec import Summary
from playground import history, protocol
from playground.admission import Credentials, MemberCredentials, admit
from playground.telling import Telling
from portal.lib.db import db
from portal.lib.ids import new_id

logger = structlog.get_logger(__name__)

Say = Callable[[protocol.ServerFrame], Awaitable[None]]


class Answering:
    """Runs once. `cancel` may be called at any moment, from `__init__` on."""

    def __init__(self, frame: protocol.Run, credentials: Credentials, say: Say) -> None:
        self.frame = frame
        self.credentials = credentials
        self.say = say
        self.request_id = new_id("req")
        self.conversation = ""
        self._generation: Generation | None = None
        self._cancelled = False
        self._telling: Telling | None = None

    def cancel(self) -> None:
        """Stop generating; what came is kept and said."""
        self._cancelled = True
        if self._generation is not None:
            self._generation.cancel()

    async def run(self) -> ServiceError | None:
        """Answer; returns the error that was said, when there was one."""
        try:
            summary = await self._generate()
            measured = self._measured(summary)
            kept_in = await self._save(measured)
            await self.say(protocol.finished(self.frame.id, measured, kept_in))
        except ServiceError as error:
            await self._fail(error)
            return error
        except Exception:
            logger.exception("an answer crashed", request_id=self.request_id)
            crash = errors.crashed(self.request_id)
            await self.say(protocol.error(crash, self.frame.id))
            return crash
        return None

    async def _generate(self) -> Summary:
        arrived = time.monotonic()
        caller = await ask_database(self._admit)
        generation = await service.prepare(
            self.frame.to_spec(), caller, request_id=self.request_id, arrived=arrived
        )
        self._generation = generation
        if self._cancelled:
            generation.cancel()
        try:
            return await self._stream(generation)
        finally:
            generation.cancel()

    def _admit(self) -> Caller:
        """Who pays, and whether the conversation is theirs: before anything costs."""
        caller = admit(self.credentials)
        if self.frame.conversation:
            if not isinstance(self.credentials, MemberCredentials):
                message = "Conversations belong to people: only a session saves them, not a key."
                raise errors.invalid(message, "conversation")
            self.conversation = history.choose(
                self.frame, self.credentials.user_id, caller.organisation_id
            )
        return caller

    async def _stream(self, generation: Generation) -> Summary:
        started = protocol.started(
            self.frame.id,
            request_id=generation.request_id,
            model=generation.model,
            prompt_tokens=generation.prompt_tokens,
            conversation=self.conversation,
        )
        await self.say(started)
        self._telling = Telling(generation)
        async for event in service.stream(generation):
            if isinstance(event, Summary):
                return event
            gain = self._telling.gain(event)
            if gain is not None:
                # While this waits for a slow client, the service merges what comes.
                await self.say(protocol.delta(self.frame.id, gain))
        raise AssertionError("a stream ends with its summary")

    async def _fail(self, error: ServiceError) -> None:
        """A refusal, or a generation that was broken off and is settled."""
        if error.summary is None:
            await self.say(protocol.error(error, self.frame.id))
            return
        measured = self._measured(error.summary)
        kept_in = await self._save(measured | {"error": error.message})
        place = {"conversation": kept_in} if kept_in else {}
        await self.say(protocol.error(error, self.frame.id, summary=measured, **place))

    def _measured(self, summary: Summary) -> dict[str, Any]:
        told = self._telling.measured() if self._telling is not None else {}
        return protocol.measured(summary, self.frame.parameters.seed, **told)

    async def _save(self, measured: dict[str, Any]) -> str:
        """Keep what was said; the conversation that has it now, or nothing.

        A failure here costs the history, not the answer.
        """
        if not self.conversation or not isinstance(self.credentials, MemberCredentials):
            return ""
        said = self._telling
        text, calls = (said.text, said.tool_calls) if said is not None else ("", [])
        answer = history.Answer(self.request_id, text, calls, measured)
        who = self.credentials
        try:
            return await db(
                history.save,
                self.conversation,
                who.user_id,
                who.organisation_id,
                self.frame,
                answer,
            )
        except DatabaseError:
            logger.exception("a conversation was not saved", request_id=self.request_id)
            return ""
