"""Which inputs run next: fair between tenants, a budget of tokens a step. Integers and lists.

The tenant that was served least goes first, input by input, so a request of one sentence does not
wait for a request of two thousand. Of a job the longest inputs go first: those of a step are then
of similar length, and the last steps are short. The queue is bounded in tokens; when it is full,
who waits with the most loses its newest job.
"""

from inference.engine.encoders.jobs import EncoderLimits, Job
from inference.engine.fairness import TenantCounters

Place = tuple[int, str]  # priority, tenant


class JobQueue:
    """Jobs with inputs that were not run yet. Used by the loop's thread only."""

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
        job.waiting = sorted(range(len(job.rows)), key=lambda i: len(job.rows[i].token_ids))
        active = {tenant for _, tenant in self._jobs}
        self._counters.lift(job.tenant, active)
        self._jobs.setdefault((job.priority, job.tenant), []).append(job)
        self.num_tokens += job.num_tokens
        if self.num_tokens <= self.limits.max_waiting_tokens or len(self.jobs) == 1:
            return None
        refused = self._crowded_out(job)
        self.remove(refused)
        return refused

    def _crowded_out(self, newcomer: Job) -> Job:
        """Choose the newest job of whoever waits with most, of the lowest priority."""
        last = max(priority for priority, _ in self._jobs)
        waiting = {
            tenant: sum(job.num_waiting_tokens for job in jobs)
            for (priority, tenant), jobs in self._jobs.items()
            if priority == last
        }
        most = max(waiting, key=lambda tenant: waiting[tenant])
        # What has begun is not refused: something was computed for it.
        fresh = [job for job in self._jobs[last, most] if len(job.waiting) == len(job.rows)]
        return fresh[-1] if fresh else newcomer

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
