"""Which inputs run next: fair between tenants, a budget of tokens a step. Integers and lists.

The tenant that was served least goes first, input by input, so a request of one sentence does not
wait for a request of two thousand. Of a job the longest inputs go first: those of a step are then
of similar length, and the last steps are short. The queue is bounded in tokens; when it is full,
who waits with the most loses its newest job.
"""

from collections import Counter

from inference.engine.encoders.jobs import EncoderLimits, Job
from inference.engine.fairness import TenantCounters

Place = tuple[int, str]  # priority, tenant


class JobQueue:
    """Jobs with inputs that were not run yet. Changed by the loop's thread only."""

    def __init__(self, limits: EncoderLimits) -> None:
        """Begin empty."""
        self.limits = limits
        self.num_tokens = 0
        self._jobs: dict[Place, list[Job]] = {}  # by arrival
        self._counters = TenantCounters()
        self._arrivals = 0

    @property
    def jobs(self) -> list[Job]:
        """All that wait."""
        return [job for jobs in self._jobs.values() for job in jobs]

    @property
    def num_inputs(self) -> int:
        """Inputs that wait."""
        return sum(len(job.waiting) for job in self.jobs)

    def submit(self, job: Job) -> Job | None:
        """Queue a job; return the one that is refused for it, if the queue is full.

        An empty queue takes any job.
        """
        self._arrivals += 1
        job.arrival = self._arrivals
        refused = None
        if not self._has_room(job.num_tokens):
            refused = self._crowded_out((job.priority, job.tenant), job.num_tokens) or job
        if refused is not job:
            self._enqueue(job)
        if refused is not None:
            self.remove(refused)
        return refused

    def is_full_for(self, tenant: str, priority: int, num_tokens: int) -> bool:
        """Whether `submit` would refuse such a job itself.

        May be asked on any thread, and is then as true as a moment ago.
        """
        if self._has_room(num_tokens):
            return False
        return self._crowded_out((priority, tenant), num_tokens) is None

    def _has_room(self, num_tokens: int) -> bool:
        return not self._jobs or self.num_tokens + num_tokens <= self.limits.max_waiting_tokens

    def _crowded_out(self, newcomer: Place, num_tokens: int) -> Job | None:
        """Choose the newest job of whoever waits with most, of the lowest priority.

        None when that is the newcomer's own.
        """
        waiting: Counter[Place] = Counter()
        for place, jobs in list(self._jobs.items()):
            waiting[place] = sum(job.num_waiting_tokens for job in jobs)
        waiting[newcomer] += num_tokens
        last = max(priority for priority, _ in waiting)
        most = max((p for p in waiting if p[0] == last), key=lambda place: waiting[place])
        if most == newcomer:
            return None
        # What has begun is not refused: something was computed for it.
        fresh = [job for job in self._jobs.get(most, ()) if len(job.waiting) == len(job.rows)]
        return fresh[-1] if fresh else None

    def _enqueue(self, job: Job) -> None:
        active = {tenant for _, tenant in self._jobs}
        self._counters.lift(job.tenant, active)
        job.waiting = sorted(range(len(job.rows)), key=lambda i: len(job.rows[i].token_ids))
        self._jobs.setdefault((job.priority, job.tenant), []).append(job)
        self.num_tokens += job.num_tokens

    def remove(self, job: Job) -> None:
        """Take out what is left of a job; nothing happens if none is."""
        place = (job.priority, job.tenant)
        jobs = self._jobs.get(place, [])
        if job in jobs:
            self.num_tokens -= job.num_waiting_tokens
            job.waiting.clear()
            jobs.remove(job)
            if not jobs:
                del self._jobs[place]

    def take(self) -> list[tuple[Job, int]]:
        """Take the inputs of the next step, (job, input), within the budget of tokens."""
        taken: list[tuple[Job, int]] = []
        room = self.limits.token_budget
        while self._jobs:
            job = self._jobs[self._next_place()][0]
            length = len(job.rows[job.waiting[-1]].token_ids)
            if length > room:
                break
            room -= length
            taken.append((job, job.waiting.pop()))
            self.num_tokens -= length
            self._counters.charge_prompt(job.tenant, length)
            if not job.waiting:
                self.remove(job)
        return taken

    def _next_place(self) -> Place:
        return min(
            self._jobs,
            key=lambda place: (
                place[0], self._counters.served(place[1]), self._jobs[place][0].arrival,
            ),
        )  # fmt: skip
