"""Which tokens of which sequences run in the next step.

Owns the waiting and the running sequences and every block they hold. Integers and lists only.

One step, one token budget. Running sequences go first, in order of priority and arrival: a
decoding one takes a token, one in prefill takes a chunk of what the decodes leave over (chunked
prefill), as far as that does not hold up the decoding ones (`pace.py`); a long one leaves a part to
other tenants. What is left admits waiting sequences: lowest priority number first, then the tenant
that was served least (`fairness.py`), then by arrival (`waiting.py`); before prompts of a lower
priority they begin at once. A sequence is admitted only when the blocks of its whole prompt are
there, so only decoding can run the pool dry; then the last running sequence gives all its blocks
back and is computed again later (preemption by recompute). A tenant that holds more than an equal
share of the slots or blocks gives one up when a tenant below its share waits.
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable

from inference.engine.block_pool import BlockPool
from inference.engine.crowd import Places, who_gives_way
from inference.engine.fairness import (
    TenantCounters,
    leaves_room,
    left_to_others,
    who_has_too_much,
)
from inference.engine.limits import SchedulerLimits
from inference.engine.pace import Pace
from inference.engine.plan import Plan, Row
from inference.engine.prefixes import Prefixes
from inference.engine.request import FinishReason, Sequence
from inference.engine.waiting import Waiting

# Logits of all prompt positions are kept when their log-probabilities are wanted; this bounds them.
PROMPT_LOGPROBS_CHUNK = 256


class Scheduler:
    """Continuous batching over a paged cache."""

    def __init__(self, limits: SchedulerLimits, pool: BlockPool) -> None:
        """Serve with `pool`, which must hold at least one sequence of the greatest length."""
        if pool.num_blocks * pool.block_size < limits.max_model_len:
            raise ValueError(
                f"the cache holds {pool.num_blocks * pool.block_size} tokens, fewer than one "
                f"sequence of {limits.max_model_len}"
            )
        self.limits = limits
        self.pool = pool
        self.pace = Pace(limits.max_stretch, limits.token_budget)
        self.running: list[Sequence] = []  # sorted by rank
        self._waiting = Waiting()
        self._counters = TenantCounters()
        self._prefixes = Prefixes(pool)
        self._short_of_blocks: Sequence | None = None  # whose turn it was, in vain
        self._released: list[int] = []
        self._arrivals = 0
        self._step = 0
        self.num_preemptions = 0
        self.num_cached_tokens = 0  # prompt tokens found in the cache instead of computed

    # Submitting and ending.

    def submit(self, sequence: Sequence) -> Sequence | None:
        """Queue a sequence; return the one refused for it, if the queue is full.

        The refused one is the newest of those of whom `crowd.py` says that they give way; it is
        finished with OVERLOADED.
        """
        self._arrivals += 1
        sequence.arrival = self._arrivals
        refused = self._crowded_out(sequence) if self.num_waiting >= self._room() else None
        if refused is not sequence:
            self._enqueue(sequence)
        if refused is not None:
            self.end(refused, FinishReason.OVERLOADED)
        return refused

    def is_full_for(self, tenant: str, priority: int, coming: Places) -> bool:
        """Whether `submit` would refuse this tenant's next sequence itself, after those that come.

        May be asked on any thread, and is then as true as a moment ago.
        """
        if self.num_waiting + coming.total() < self._room():
            return False
        return who_gives_way(tenant, priority, self.places() + coming) is None

    @property
    def num_waiting(self) -> int:
        """Those that wait; on any thread, too."""
        return self._waiting.num

    def places(self) -> Places:
        """Count the waiting ones; on any thread, too."""
        return self._waiting.places()

    def _room(self) -> int:
        return self.limits.max_waiting + self.limits.max_running - len(self.running)

    def _crowded_out(self, newcomer: Sequence) -> Sequence:
        place = who_gives_way(newcomer.tenant, newcomer.priority, self.places())
        if place is None:
            return newcomer
        # What has started is not refused: something was computed for it.
        fresh = [s for s in self._waiting.queue(place) if s.num_cached is None]
        return fresh[-1] if fresh else newcomer

    def _enqueue(self, sequence: Sequence) -> None:
        active = self._waiting.tenants() | {s.tenant for s in self.running}
        self._counters.lift(sequence.tenant, active)
        self._waiting.add(sequence)

    def end(self, sequence: Sequence, reason: FinishReason, *, error: str = "") -> None:
        """Take a sequence out, running or waiting, and give its blocks back."""
        sequence.finish(reason, error=error)
        if sequence in self.running:
            self.running.remove(sequence)
            self._give_back(sequence, trusted=reason is not FinishReason.ERROR)
        else:
            self._waiting.remove(sequence)
        self._released.append(sequence.key)

    def _give_back(self, sequence: Sequence, *, trusted: bool = True) -> None:
        if not trusted:
            for block in sequence.block_table:
                self.pool.forget(block)
        self.pool.release(sequence.block_table)
        sequence.block_table.clear()
        sequence.num_computed = 0
        self._prefixes.leave(sequence)

    @property
    def idle(self) -> bool:
        """Nothing runs and nothing waits."""
        return not self.running and not self.num_waiting

    # One step.

    def schedule(self) -> Plan:
        """Choose the rows of the next step; empty only when idle, or when all are paused."""
        self._make_way()
        new, num_decoding, share = self._outlook()
        turn = self._turn() if new else None
        room = self.limits.token_budget - num_decoding  # of which prompts may have their share
        # Half of a small room, or where all texts repeat themselves no prompt would ever go on.
        most_drafts = min(self.limits.max_drafts, room // 2) // max(num_decoding, 1)
        rows: list[Row] = []
        prefilled: set[str] = set()  # tenants that have had a part of this step's prompts
        index = 0
        while index < len(self.running):  # the list shrinks from its end when blocks run out
            sequence = self.running[index]
            index += 1
            if sequence.paused:
                continue
            if sequence.num_uncomputed == 1:
                if self._grow(sequence, 1):
                    drafts = self._drafts(sequence, min(most_drafts, room))
                    rows.append(sequence.row(1 + len(drafts), drafts))
                    room -= len(drafts)
                continue
            count = self._chunk(sequence, min(share, room))
            if 0 < count < sequence.num_due:  # it would take all
                behind = self._behind(sequence, index, turn)
                count -= left_to_others(sequence, behind, count, sequence.tenant in prefilled)
            if count and self._grow(sequence, count):
                prefilled.add(sequence.tenant)
                rows.append(sequence.row(count))
                share -= count
                room -= count
        rows += self._admit(min(share, room))
        if not rows:  # nobody runs an empty plan: what ended is told with the next one
            return Plan(self._step, ())
        released, self._released = tuple(self._released), []
        return Plan(self.next_step(), tuple(rows), released)

    def _make_way(self) -> None:
        """Preempt for the one whose turn it is, or start it before prompts of a lower priority.

        Not before it can begin: while those that go first take the whole step, or it would compute
        a prefix that another one is computing, a place would be taken away for nothing.
        """
        head = self._whose_turn()
        victim, self._short_of_blocks = self._giving_way(head), None
        last = self.running[-1] if self.running else None
        if head is None or last is None or (victim is None and last.priority <= head.priority):
            return
        new, _, share = self._outlook(without=victim)
        before = [s for s in new if s.priority <= head.priority]
        found = self._prefixes.find(head)
        full = sum(self._chunk(sequence, share) for sequence in before) >= share
        if found is None or (full and not all(leaves_room(each, head) for each in before)):
            return
        first = victim is not None or (bool(new) and new[-1].priority > head.priority)
        if victim is not None:
            self._preempt(victim)
        if first:
            self._short_of_blocks = None if self._start(head, found) else head

    def _whose_turn(self) -> Sequence | None:
        """Return who had the turn in vain, though others were passed over, or who has it now."""
        head, short = self._waiting.next(self._counters), self._short_of_blocks
        if head is None or short is None or short.finished:
            return head
        return short if short.priority <= head.priority else head

    def _outlook(self, without: Sequence | None = None) -> tuple[list[Sequence], int, int]:
        """Return who is in prefill, how many decode, and the tokens of prompts that may run."""
        going = [each for each in self.running if not each.paused and each is not without]
        new = [sequence for sequence in going if sequence.num_uncomputed > 1]
        num_decoding = len(going) - len(new)
        num_present = min(len(self.running) + self.num_waiting, self.limits.max_running)
        tokens = sum(len(s.tokens) - (s.num_cached or 0) for s in new) + self._waiting.num_tokens
        mean = tokens / max(len(new) + self._waiting.num, 1)
        allowance = self.pace.allowance(num_decoding, num_present, mean)
        return new, num_decoding, min(allowance, self.limits.token_budget - num_decoding)

    def next_step(self) -> int:
        """Return the number of a new step."""
        self._step += 1
        return self._step

    def _giving_way(self, sequence: Sequence | None) -> Sequence | None:
        """Return who gives way to a waiting one of a better priority, or a tenant below its share.

        If nobody did, a flood of long generations would hold every slot (or block) until they end,
        however little a newcomer asks for. Shares are equal; nobody is brought below its own by
        another of the same priority.
        """
        slots_full = len(self.running) == self.limits.max_running
        if sequence is None or not (slots_full or sequence is self._short_of_blocks):
            return None
        if self.running and self.running[-1].priority > sequence.priority:
            return self.running[-1]
        used = self._held([sequence.tenant], slots=slots_full)
        capacity = self.limits.max_running if slots_full else self.pool.num_blocks
        wanted = 1 if slots_full else self.pool.blocks_for(len(sequence.tokens))
        greedy = who_has_too_much(used, capacity, sequence.tenant, wanted)
        its = [o for o in self.running if o.tenant == greedy and o.priority >= sequence.priority]
        return its[-1] if its else None

    def _chunk(self, sequence: Sequence, spare: int) -> int:
        told = sequence.params.prompt_logprobs is not None
        return min(sequence.num_due, spare, PROMPT_LOGPROBS_CHUNK if told else spare)

    def _turn(self) -> Sequence | None:
        """Return the waiting one whose turn it is, if it can begin. Once a step: many may wait."""
        full = len(self.running) == self.limits.max_running
        turn, found = (None, []) if full else self._next(set())
        if turn is not None and not self._has_blocks(turn, found):
            self._short_of_blocks, turn = turn, None
        return turn

    def _behind(self, sequence: Sequence, index: int, turn: Sequence | None) -> list[Sequence]:
        """Return whose prompts a step has after one: those that run, and another tenant's next."""
        behind = [each for each in self.running[index:] if each.num_uncomputed > 1]
        if turn is not None and turn.tenant == sequence.tenant:
            turn = self._waiting.next(self._counters, {(sequence.priority, sequence.tenant)})
        return behind if turn is None else [*behind, turn]

    def _grow(self, sequence: Sequence, count: int) -> bool:
        """Get the blocks for the next `count` tokens; False if the sequence itself had to go."""
        length = sequence.num_computed + count
        while not self.pool.lengthen([(sequence.block_table, length)]):
            victim = self.running[-1]
            self._preempt(victim)
            if victim is sequence:
                return False
        return True

    def _preempt(self, victim: Sequence) -> None:
        self.running.remove(victim)
        self._give_back(victim)
        self._enqueue(victim)
        self.num_preemptions += 1

    def _drafts(self, sequence: Sequence, most: int) -> tuple[int, ...]:
        """Guesses to run beside a decoding sequence's next token, as far as blocks are free."""
        if most < 1 or not sequence.may_guess(sequence.num_generated):
            return ()
        left = self.longest(sequence) - len(sequence.tokens)
        drafts = sequence.drafter.guess(min(most, left - 1))
        length = len(sequence.tokens) + len(drafts)
        more = self.pool.blocks_for(length) - len(sequence.block_table)
        if more + len(self.running) > self.pool.num_free:
            return ()
        self.pool.lengthen([(sequence.block_table, length)])
        return drafts

    def _admit(self, spare: int) -> list[Row]:
        rows: list[Row] = []
        deferred: set[tuple[int, str]] = set()
        while spare > 0 and len(self.running) < self.limits.max_running:
            sequence, found = self._next(deferred)
            if sequence is None or not self._start(sequence, found):
                self._short_of_blocks = sequence
                break  # nobody overtakes the one whose turn it is
            count = self._chunk(sequence, spare)
            if count:
                rows.append(sequence.row(count))
            spare -= count
        return rows

    def _next(self, deferred: set[tuple[int, str]]) -> tuple[Sequence | None, list[int]]:
        """Return whose turn it is, and its cached blocks.

        Put off, and `deferred`, is who awaits a prefill, and who waits for its own tenant's blocks:
        others of its priority need not.
        """
        while (sequence := self._waiting.next(self._counters, deferred)) is not None:
            found = self._prefixes.find(sequence)
            if found is not None and not self._waits_for_its_own(sequence, found):
                return sequence, found
            deferred.add((sequence.priority, sequence.tenant))
            if found is not None:
                deferred |= {place for place in self.places() if place[0] > sequence.priority}
        return None, []

    def _waits_for_its_own(self, sequence: Sequence, found: list[int]) -> bool:
        """Whether it lacks blocks, no lower priority has any, and its tenant more than its share.

        As soon as that is no longer so, it keeps its turn: nobody overtakes it for ever.
        """
        if self._has_blocks(sequence, found) or self.running[-1].priority > sequence.priority:
            return False
        used = self._held(self._waiting.tenants())
        return used[sequence.tenant] > self.pool.num_blocks // len(used)

    def _held(self, tenants: Iterable[str], *, slots: bool = False) -> Counter[str]:
        """Count the blocks, or slots, of each tenant that runs, and of these."""
        used = Counter(dict.fromkeys(tenants, 0))
        for sequence in self.running:
            used[sequence.tenant] += 1 if slots else len(sequence.block_table)
        return used

    def _start(self, sequence: Sequence, found: list[int]) -> bool:
        """Move a waiting sequence to the running ones if all its blocks can be had."""
        if not self._has_blocks(sequence, found):
            return False
        needed = self.pool.blocks_for(len(sequence.tokens)) - len(found)
        self._waiting.remove(sequence)
        self.pool.hold(found)
        sequence.block_table += found
        sequence.block_table += self.pool.allocate(needed)
        sequence.num_computed = len(found) * self.pool.block_size
        if sequence.num_cached is None:
            sequence.num_cached = sequence.num_computed
            self.num_cached_tokens += sequence.num_computed
            self._counters.charge_prompt(
                sequence.tenant, len(sequence.tokens) - sequence.num_computed
            )
        self._prefixes.begin(sequence, len(found))
        insort(self.running, sequence, key=lambda running: running.rank)
        return True

    def _has_blocks(self, sequence: Sequence, found: list[int]) -> bool:
        """Whether it could begin, and not be preempted at once: each running one needs one more."""
        needed = self.pool.blocks_for(len(sequence.tokens)) - len(found)
        return needed + len(self.running) <= self.pool.num_free_without(found)

    # After the step.

    def advance(self, sequence: Sequence, num_tokens: int) -> None:
        """Record that `num_tokens` more tokens are in the cache; make full blocks findable."""
        before = sequence.num_computed // self.pool.block_size
        sequence.num_computed += num_tokens
        after = sequence.num_computed // self.pool.block_size
        if after > before:
            self._prefixes.add(sequence, before, after)

    def append(self, sequence: Sequence, token_id: int) -> None:
        """Add a sampled token and charge its tenant for it."""
        sequence.tokens.append(token_id)
        self._counters.charge_output(sequence.tenant)

    # What `lookahead.py` asks.

    def longest(self, sequence: Sequence) -> int:
        """Return the length at which a sequence ends in any case."""
        most = sequence.num_prompt_tokens + sequence.params.max_tokens
        return min(most, self.limits.max_model_len)

    def has_other_plans(self, num_ending: int) -> bool:
        """Whether the next step may be more than one token for each, once so many have ended."""
        num_left = len(self.running) - num_ending
        if self.num_waiting and (
            num_left < self.limits.max_running
            or self._giving_way(self._waiting.next(self._counters)) is not None
        ):
            return True
        return self.limits.max_drafts >= num_left and any(
            sequence.may_guess(sequence.num_generated + 1) and sequence.drafter.guess(1)
            for sequence in self.running
        )
