"""From token bytes to text that is decided.

Owns two kinds of waiting: bytes that may be the start of a character, and characters that may be
the start of a stop string. Tokens are fed as bytes, so the work is linear in the text whatever the
tokenizer does, and the outcome does not depend on how the text was cut into tokens: the generation
stops at the first position where any stop string ends, and the longest one ending there is cut
off. In calls of tools there are no stop strings: half a call is of no use to anybody. Bytes that
are not UTF-8 become U+FFFD exactly as `bytes.decode(errors="replace")` does it.
"""

import codecs
from collections import deque

from inference.engine.tool_formats import Lead, ToolFormat


class StopAutomaton:
    """Finds any of several strings in one pass (Aho and Corasick, 1975)."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        """Build the trie of `stops`, its failure links and the match at every node."""
        self.goto: list[dict[str, int]] = [{}]
        self.depth: list[int] = [0]  # length of the longest stop prefix the text ends with
        self.match: list[str] = [""]  # longest stop string ending here
        self.fail: list[int] = [0]
        for stop in stops:
            self._insert(stop)
        self._link()

    def _insert(self, stop: str) -> None:
        node = 0
        for char in stop:
            child = self.goto[node].get(char)
            if child is None:
                child = len(self.goto)
                self.goto[node][char] = child
                self.goto.append({})
                self.depth.append(self.depth[node] + 1)
                self.match.append("")
                self.fail.append(0)
            node = child
        self.match[node] = stop

    def _link(self) -> None:
        queue = deque(self.goto[0].values())
        while queue:
            node = queue.popleft()
            for char, child in self.goto[node].items():
                queue.append(child)
                self.fail[child] = self.advance(self.fail[node], char)
            if not self.match[node]:
                self.match[node] = self.match[self.fail[node]]

    def advance(self, node: int, char: str) -> int:
        """Return the node after reading `char` in `node`; amortised constant time."""
        goto, fail = self.goto, self.fail
        while char not in goto[node]:
            if node == 0:
                return 0
            node = fail[node]
        return goto[node][char]


class Detokenizer:
    """Incremental text of one sequence."""

    def __init__(self, stops: tuple[str, ...] = (), form: ToolFormat | None = None) -> None:
        """Start with no text; `stops` end it, but no call of a tool that is written in `form`."""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._stops = StopAutomaton(stops) if any(stops) else None
        self._lead = Lead(form) if form is not None else None
        self._node = 0
        self._spared = 0  # characters of the lead's that came when nothing could stop
        self._held = ""  # decoded, but possibly the start of a stop string
        self.stop_reason = ""  # the stop string that matched; no text comes after it

    @property
    def in_call(self) -> bool:
        """Whether a call of a tool has begun: nothing ends it but its own end."""
        return self._lead is not None and self._lead.called

    def feed(self, data: bytes, *, may_stop: bool = True) -> str:
        """Take the bytes of the next token; return the text that became decided.

        With `may_stop` False (fewer than `min_tokens` generated) stop strings are plain text.
        """
        return self._accept(self._decode(data), may_stop)

    def flush(self) -> str:
        """Return what was still held back; half a character becomes U+FFFD. Nothing may follow."""
        text = self._accept(self._decode(b"", True), may_stop=True, last=True)
        return text + self._held

    def _accept(self, text: str, may_stop: bool, last: bool = False) -> str:
        if self.stop_reason or not (text or last):
            return ""
        if self._stops is None:
            if self._lead is not None:
                self._lead.feed(text)
            return text
        said, calls = (text, "") if self._lead is None else self._lead.feed(text)
        if last and self._lead is not None:
            said += self._lead.flush()
        if not may_stop:
            decided, self._held, self._node = self._held + said + calls, "", 0
            self._spared = 0 if self._lead is None else self._lead.num_held
            return decided
        spared, said = said[: self._spared], said[self._spared :]
        self._spared -= len(spared)
        decided = spared + self._search(self._stops, said)
        if calls and not self.stop_reason:
            decided += self._held + calls
            self._held = ""
        return decided

    def _search(self, stops: StopAutomaton, text: str) -> str:
        node = self._node
        for index, char in enumerate(text):
            node = stops.advance(node, char)
            if stops.match[node]:
                self.stop_reason = stops.match[node]
                seen = self._held + text[: index + 1]
                self._held = ""
                return seen[: len(seen) - len(self.stop_reason)]
        self._node = node
        seen = self._held + text
        keep = stops.depth[node]
        self._held = seen[len(seen) - keep :]
        return seen[: len(seen) - keep]
