"""How a call fails: a code for programs, a sentence for people."""

import enum


class Code(enum.IntEnum):
    """The usual codes, with their usual numbers."""

    INVALID_ARGUMENT = 3  # the caller's mistake; the sentence is for the caller
    DEADLINE_EXCEEDED = 4
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9  # the two ends do not speak of the same: protocol, or model
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


class CallError(Exception):
    """A call that was not answered as it should."""

    def __init__(self, code: Code, sentence: str) -> None:
        """Say why."""
        super().__init__(f"{code.name}: {sentence}")
        self.code = code
        self.sentence = sentence


class ProtocolError(Exception):
    """What came is not this protocol; the connection ends."""
