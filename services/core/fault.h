/*
 * Named points of failure for tests (configure --enable-fault-injection); nothing at all otherwise.
 *
 *   ORCH_FAULT=kind:n[+][:errno][,...]     write:3:ENOSPC   alloc:100+   fsync:1
 *
 * The n-th call (from 1) of that kind in this process fails with that errno (by name or number;
 * ENOMEM for alloc, EIO for the others when it is not given); with '+' all later ones do, too.
 * Kinds: alloc read write fsync rename openat2 clone.
 */
#ifndef ORCH_CORE_FAULT_H
#define ORCH_CORE_FAULT_H

#include <stdbool.h>
#include "core/compiler.h"

enum orch_fault_kind {
	ORCH_FAULT_ALLOC,
	ORCH_FAULT_READ,
	ORCH_FAULT_WRITE,
	ORCH_FAULT_FSYNC,
	ORCH_FAULT_RENAME,
	ORCH_FAULT_OPENAT2,
	ORCH_FAULT_CLONE,
	ORCH_FAULT_KINDS
};

#ifdef ORCH_FAULT_INJECTION
/* 0, or the positive errno with which this call has to fail. Counts the call. Thread-safe. */
int orch_fault(enum orch_fault_kind kind);
/* Replaces what the environment said and starts counting again; NULL: nothing fails. -EINVAL. */
int orch_fault_set(const char *spec) ORCH_WUR;
/* Whether any call has failed since then: a test that counts up stops when none does. */
bool orch_fault_was_met(void);
#else
static inline int orch_fault(enum orch_fault_kind kind)
{
	(void)kind;
	return 0;
}
#endif

#endif
