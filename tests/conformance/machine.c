/* Preloaded into a site's processes: a disk that is full and a clock that is wrong, when a test says
 * so. Each process maps its own file $MACHINE_DIR/PID, in which the test sets two numbers.
 *
 * A full disk is one without room for anything below $DATA_DIR, also not in the place of what is
 * there, as on a file system that copies on write. Reading goes on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

struct machine {
    volatile int64_t disk_is_full;
    volatile int64_t clock_is_ahead_s;
};

static struct machine right;
static struct machine *machine = &right;

static void find_machine(void) {
    const char *folder = getenv("MACHINE_DIR");
    char path[4096];
    machine = &right; /* a fork has a file of its own */
    if (!folder) return;
    snprintf(path, sizeof path, "%s/%d", folder, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    if (ftruncate(fd, sizeof(struct machine)) == 0) {
        void *mapped = mmap(NULL, sizeof(struct machine), PROT_READ, MAP_SHARED, fd, 0);
        if (mapped != MAP_FAILED) machine = mapped;
    }
    close(fd);
}

__attribute__((constructor)) static void begin(void) {
    find_machine();
    pthread_atfork(NULL, NULL, find_machine);
}

/* --- The clock --------------------------------------------------------------------------------- */


int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += machine->clock_is_ahead_s;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *stored) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (stored) *stored = now.tv_sec;
    return now.tv_sec;
}

/* --- The disk ---------------------------------------------------------------------------------- */

static int has_no_room(int fd) {
    if (!machine->disk_is_full) return 0;
    const char *folder = getenv("DATA_DIR");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || !folder || strncmp(path, folder, strlen(folder)) != 0) return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    return has_no_room(fd) ? -1 : real(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    return has_no_room(fd) ? -1 : real(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL(pwrite);
    return has_no_room(fd) ? -1 : real(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    REAL(pwrite64);
    return has_no_room(fd) ? -1 : real(fd, bytes, count, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
    REAL(fallocate);
    return has_no_room(fd) ? -1 : real(fd, mode, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length) {
    REAL(posix_fallocate);
    return has_no_room(fd) ? ENOSPC : real(fd, offset, length);
}
