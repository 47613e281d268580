/* Shifts the wall clock of a process: TAHOE_CLOCK="SECONDS AFTER_MS", preloaded. The monotonic clock stays as it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);
static long long seconds, after_ms, began_ms;

static long long now_ms(void) {
    struct timespec t;
    real(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

__attribute__((constructor)) static void begin(void) {
    const char *asked = getenv("TAHOE_CLOCK");
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (asked) sscanf(asked, "%lld %lld", &seconds, &after_ms);
    began_ms = now_ms();
}

int clock_gettime(clockid_t id, struct timespec *t) {
    if (!real) begin();
    int result = real(id, t);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) && now_ms() - began_ms >= after_ms)
        t->tv_sec += seconds;
    return result;
}

time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}
