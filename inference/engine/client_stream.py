"""The sequences of one client stream, and when their news is told.

Telling of a token costs a web process and its reader as much as a small model needs to make one,
and nobody reads text five milliseconds at a time. So the texts of a web process share a number of
deltas a second: a single one is told token by token, each of a crowd a few tokens at a time. Other
engines call that a stream interval, and count it in tokens. The first text and the end wait for
nothing.
"""

from collections.abc import Hashable

from inference.engine.codec import Codec
from inference.engine.request import Sequence
from inference.engine.wire import engine_pb2
from inference.engine.wire.messages import logprobs_to_wire, write_end

# How long a text waits for each other one of its web process: soon as long as a screen's frame,
# which nobody sees, and longer where a delta's 45 µs of a web process would take more than a fifth
# of a core.
WAIT_S = 0.001
FRAME_S = 0.016
DELTA_S = 0.00025


def interval_s(num_texts: int) -> float:
    """Return how often each of so many texts of a web process is told, in seconds."""
    others = num_texts - 1
    return max(min(others * WAIT_S, FRAME_S), others * DELTA_S)


class ClientStream:
    """One client's live sequences and what it has not been told of them. Of the loop's thread."""

    def __init__(self, handle: Hashable) -> None:
        """Begin without any."""
        self.handle = handle
        self.sequences: dict[int, Sequence] = {}  # by the client's number
        self.held = False  # until its client has taken what was sent
        self._news: dict[int, engine_pb2.SequenceDelta] = {}  # by the client's number, too
        self._told_at: dict[int, float] = {}  # of the live ones that have begun to say something

    def news(self, sequence: Sequence, codec: Codec) -> engine_pb2.SequenceDelta:
        """Return the delta that takes a sequence's news.

        The first one carries what is said once about the prompt.
        """
        number = sequence.sequence_id
        delta = self._news.get(number)
        if delta is not None:
            return delta
        delta = self._news[number] = engine_pb2.SequenceDelta(sequence_id=number)
        if sequence.num_deltas == 0:
            delta.cached_tokens = sequence.num_cached or 0
            delta.prompt_logprobs.extend(
                logprobs_to_wire(entry, codec.token_bytes) for entry in sequence.prompt_logprobs
            )
            sequence.prompt_logprobs.clear()
        sequence.num_deltas += 1
        return delta

    def add_end(self, sequence: Sequence, codec: Codec) -> None:
        """Add to a sequence's news that it has ended, and why."""
        write_end(
            self.news(sequence, codec),
            sequence.finish_reason,
            error=sequence.error,
            stop_reason=sequence.stop_reason,
            retry_after_s=sequence.retry_after_s,
        )

    def take(self, step: int, now: float) -> engine_pb2.StepFrame | None:
        """Return the news that are to be told now; None: none are."""
        latest = now - interval_s(len(self._told_at))
        due = [delta for delta in self._news.values() if self._is_due(delta, latest)]
        if not due:
            return None
        for delta in due:
            self._note_told(delta, now)
        return engine_pb2.StepFrame(step=step, deltas=due)

    def _is_due(self, delta: engine_pb2.SequenceDelta, latest: float) -> bool:
        if delta.finish_reason != engine_pb2.FINISH_NONE:
            return True
        told_at = self._told_at.get(delta.sequence_id)
        return told_at is None or told_at <= latest

    def _note_told(self, delta: engine_pb2.SequenceDelta, now: float) -> None:
        number = delta.sequence_id
        del self._news[number]
        if delta.finish_reason != engine_pb2.FINISH_NONE:
            self._told_at.pop(number, None)
        elif delta.text:
            self._told_at[number] = now
