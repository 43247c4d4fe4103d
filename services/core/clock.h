/* Monotonic nanoseconds everywhere; wall time only where it is named so. */
#ifndef ORCH_CORE_CLOCK_H
#define ORCH_CORE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include "core/compiler.h"

#define ORCH_NS_PER_S  UINT64_C(1000000000)
#define ORCH_NS_PER_MS UINT64_C(1000000)
#define ORCH_FOREVER   UINT64_MAX

uint64_t orch_clock_ns(void); /* CLOCK_MONOTONIC */
int64_t orch_wall_ns(void);   /* CLOCK_REALTIME, since 1970 */
int64_t orch_timespec_ns(const struct timespec *ts) ORCH_NONNULL(1); /* saturates */
struct timespec orch_ns_timespec(int64_t ns); /* tv_nsec always 0..999,999,999, also before 1970 */
/* Milliseconds left until deadline for poll(2): 0 when passed, -1 for ORCH_FOREVER, rounded up. */
int orch_deadline_poll_ms(uint64_t deadline_ns);
/* now + ms, saturating. */
uint64_t orch_deadline_in_ms(uint64_t ms);

#define ORCH_RFC3339_BYTES 36
/* "2026-11-23T17:46:50.123456789Z" */
void orch_wall_format(int64_t wall_ns, char out[ORCH_RFC3339_BYTES]) ORCH_NONNULL(2);

/* A process that may be compared across pid reuse and reboots. */
struct orch_proc_id {
	int32_t pid;
	uint64_t start_ticks; /* field 22 of /proc/<pid>/stat */
};
int orch_proc_id_get(int32_t pid, struct orch_proc_id *out) ORCH_NONNULL(2) ORCH_WUR;
/* 1: that very process lives; 0: it is gone or another has its pid; -errno: it can't be told now
 * (no descriptor is free, say): who would act on its end does nothing then. */
int orch_proc_id_alive(const struct orch_proc_id *id) ORCH_NONNULL(1);
/* The kernel's boot id, 36 characters and a NUL. */
int orch_boot_id(char out[37]) ORCH_WUR;

#endif
