/* Threads that work on one step together.
 *
 * One parallel region lasts for the whole step, because waking a sleeping thread takes longer than
 * most phases do. The work of a phase is taken piece by piece, and the phase is over when all its
 * pieces are done, whoever did them: a thread whose core is needed elsewhere delays the others by no
 * more than the piece it has in hand.
 */

#ifndef TEAM_H
#define TEAM_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

/* About a tenth of a millisecond; then somebody else may need the core. */
#define SPINS 2000

struct team {
    int64_t size;
    _Atomic int64_t *taken, *done; /* pieces of each phase of a step, all zero at its start */
    char *room;                    /* this thread's own working memory */
};

/* The number of the next piece of this phase that nobody has. */
static inline int64_t take(struct team *team, int64_t phase) {
    return atomic_fetch_add_explicit(&team->taken[phase], 1, memory_order_relaxed);
}

/* A piece that was taken is done. */
static inline void finish(struct team *team, int64_t phase) {
    atomic_fetch_add_explicit(&team->done[phase], 1, memory_order_acq_rel);
}

/* Returns when all pieces of this phase are done. */
static inline void await(struct team *team, int64_t phase, int64_t pieces) {
    _Atomic int64_t *done = &team->done[phase];
    for (int spins = 0; atomic_load_explicit(done, memory_order_acquire) < pieces; spins++) {
        if (spins > SPINS) sched_yield();
#if defined(__x86_64__)
        else __builtin_ia32_pause();
#endif
    }
}

#endif
