/*
 * Points of failure for tests (configure --enable-fault-injection); nothing at all otherwise.
 *
 *   ORCH_FAULT=kind:n[+][:errno][,...]     write:3:ENOSPC   alloc:100+   fsync:1
 *
 * The n-th call (from 1) of that kind in this process fails with that errno (by name or number;
 * ENOMEM for alloc, EMFILE for descriptors, EAGAIN for threads and processes, EIO for the others
 * when it is not given); with '+' all later ones do, too. "KILL" for the errno ends the process just
 * before that call, as kill -9 would. The kinds:
 *
 *   alloc   malloc and its like, strdup, asprintf; jansson's memory; digests of OpenSSL
 *   read    read, pread                    write   write, pwrite, copy_file_range, ftruncate, fallocate
 *   fsync   fsync, fdatasync, syncfs       rename  rename and its like, linkat
 *   open    open, opendir, mkdir, symlink  unlink  unlink and its like, rmdir
 *   mmap    mmap                           fd      pipe2, eventfd, epoll_create1, socket, accept4 and the like
 *   sock    connect, bind, listen, sendmsg, recvmsg
 *   thread  pthread_create                 fork    fork, vfork
 *   openat2 it is refused once             clone   a reflink is refused
 *
 * Almost all of them are caught where the program is linked (fault_calls.c), so no code names them.
 *
 * ORCH_FAULT_FILE=path (which wins) is a file of at least FAULT_FILE_BYTES that all processes map: what
 * is to fail is written there while they run, by name of program if it shall be one of them, the count is
 * over all of them, and which calls were met can be read (struct fault_table; tests/lib/faults.py writes it).
 */
#ifndef ORCH_CORE_FAULT_H
#define ORCH_CORE_FAULT_H

#include <stdbool.h>
#include <stdint.h>
#include "core/compiler.h"

enum orch_fault_kind {
	ORCH_FAULT_ALLOC,
	ORCH_FAULT_READ,
	ORCH_FAULT_WRITE,
	ORCH_FAULT_FSYNC,
	ORCH_FAULT_RENAME,
	ORCH_FAULT_OPENAT2,
	ORCH_FAULT_CLONE,
	ORCH_FAULT_OPEN,
	ORCH_FAULT_UNLINK,
	ORCH_FAULT_MMAP,
	ORCH_FAULT_FD,
	ORCH_FAULT_SOCK,
	ORCH_FAULT_THREAD,
	ORCH_FAULT_FORK,
	ORCH_FAULT_KINDS
};

#ifdef ORCH_FAULT_INJECTION
/* 0, or the positive errno with which this call has to fail. Counts the call. Thread-safe. */
int orch_fault(enum orch_fault_kind kind);
/* The same, said to be met at `caller`, a return address. */
int orch_fault_from(enum orch_fault_kind kind, const void *caller);
/* Replaces what the environment said and starts counting again; NULL: nothing fails. -EINVAL. */
int orch_fault_set(const char *spec) ORCH_WUR;
/* Whether any call has failed since then: a test that counts up stops when none does. */
bool orch_fault_was_met(void);
/* How many calls of that kind there were since then. */
uint64_t orch_fault_calls(enum orch_fault_kind kind);
#else
static inline int orch_fault(enum orch_fault_kind kind)
{
	(void)kind;
	return 0;
}
#endif

#endif
