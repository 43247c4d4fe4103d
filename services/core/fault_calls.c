/*
 * Points of failure, caught by the linker: with --enable-fault-injection each program is linked with
 * -Wl,--wrap=NAME for the functions of this file (FAULT_WRAPS in room.mk), so that every call from our
 * code and from static libraries comes here first. No code has to name its points. Any thread.
 */
#include "core/fault.h"

#ifdef ORCH_FAULT_INJECTION

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* The head of one function: the linker makes every `name` __wrap_name, and the one of libc __real_name. */
#define POINT(type, name, params)  \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params
/* Whether this call shall fail; errno is set then. */
#define FAILS(kind) fails(ORCH_FAULT_##kind, __builtin_return_address(0))

static bool fails(enum orch_fault_kind kind, const void *caller)
{
	int code = orch_fault_from(kind, caller);

	if (code)
		errno = code;
	return code != 0;
}

/* ---- memory ---- */

POINT(void *, malloc, (size_t n))
{
	return FAILS(ALLOC) ? NULL : __real_malloc(n);
}

POINT(void *, calloc, (size_t count, size_t n))
{
	return FAILS(ALLOC) ? NULL : __real_calloc(count, n);
}

POINT(void *, realloc, (void *p, size_t n))
{
	return FAILS(ALLOC) ? NULL : __real_realloc(p, n);
}

POINT(void *, reallocarray, (void *p, size_t count, size_t n))
{
	return FAILS(ALLOC) ? NULL : __real_reallocarray(p, count, n);
}

POINT(void *, aligned_alloc, (size_t alignment, size_t n))
{
	return FAILS(ALLOC) ? NULL : __real_aligned_alloc(alignment, n);
}

POINT(char *, strdup, (const char *s))
{
	return FAILS(ALLOC) ? NULL : __real_strdup(s);
}

POINT(char *, strndup, (const char *s, size_t n))
{
	return FAILS(ALLOC) ? NULL : __real_strndup(s, n);
}

POINT(int, vasprintf, (char **out, const char *format, va_list ap))
{
	return FAILS(ALLOC) ? -1 : __real_vasprintf(out, format, ap);
}

POINT(int, __vasprintf_chk, (char **out, int flag, const char *format, va_list ap))
{
	return FAILS(ALLOC) ? -1 : __real_vasprintf(out, format, ap);
}

POINT(int, asprintf, (char **out, const char *format, ...))
{
	va_list ap;
	int n = -1;

	if (FAILS(ALLOC))
		return n;
	va_start(ap, format);
	n = __real_vasprintf(out, format, ap);
	va_end(ap);
	return n;
}

POINT(int, __asprintf_chk, (char **out, int flag, const char *format, ...))
{
	va_list ap;
	int n = -1;

	if (FAILS(ALLOC))
		return n;
	va_start(ap, format);
	n = __real_vasprintf(out, format, ap);
	va_end(ap);
	return n;
}

POINT(void *, mmap, (void *addr, size_t n, int prot, int flags, int fd, off_t at))
{
	return FAILS(MMAP) ? MAP_FAILED : __real_mmap(addr, n, prot, flags, fd, at);
}

/* ---- contents ---- */

/* The counters of eventfd and the like are memory, which no kernel fails to read or write. */
static bool is_counter(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == 0;
}

POINT(ssize_t, read, (int fd, void *p, size_t n))
{
	return !is_counter(fd) && FAILS(READ) ? -1 : __real_read(fd, p, n);
}

POINT(ssize_t, pread, (int fd, void *p, size_t n, off_t at))
{
	return FAILS(READ) ? -1 : __real_pread(fd, p, n, at);
}

POINT(ssize_t, write, (int fd, const void *p, size_t n))
{
	return !is_counter(fd) && FAILS(WRITE) ? -1 : __real_write(fd, p, n);
}

POINT(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at))
{
	return FAILS(WRITE) ? -1 : __real_pwrite(fd, p, n, at);
}

POINT(ssize_t, copy_file_range,
    (int from, off64_t *in, int to, off64_t *out, size_t n, unsigned flags))
{
	return FAILS(WRITE) ? -1 : __real_copy_file_range(from, in, to, out, n, flags);
}

POINT(int, ftruncate, (int fd, off_t size))
{
	return FAILS(WRITE) ? -1 : __real_ftruncate(fd, size);
}

POINT(int, fallocate, (int fd, int mode, off_t at, off_t n))
{
	return FAILS(WRITE) ? -1 : __real_fallocate(fd, mode, at, n);
}

POINT(int, posix_fallocate, (int fd, off_t at, off_t n))
{
	return FAILS(WRITE) ? errno : __real_posix_fallocate(fd, at, n);
}

POINT(int, fsync, (int fd))
{
	return FAILS(FSYNC) ? -1 : __real_fsync(fd);
}

POINT(int, fdatasync, (int fd))
{
	return FAILS(FSYNC) ? -1 : __real_fdatasync(fd);
}

POINT(int, syncfs, (int fd))
{
	return FAILS(FSYNC) ? -1 : __real_syncfs(fd);
}

/* ---- names ---- */

POINT(int, rename, (const char *from, const char *to))
{
	return FAILS(RENAME) ? -1 : __real_rename(from, to);
}

POINT(int, renameat, (int fromdir, const char *from, int todir, const char *to))
{
	return FAILS(RENAME) ? -1 : __real_renameat(fromdir, from, todir, to);
}

POINT(int, renameat2, (int fromdir, const char *from, int todir, const char *to, unsigned flags))
{
	return FAILS(RENAME) ? -1 : __real_renameat2(fromdir, from, todir, to, flags);
}

POINT(int, linkat, (int fromdir, const char *from, int todir, const char *to, int flags))
{
	return FAILS(RENAME) ? -1 : __real_linkat(fromdir, from, todir, to, flags);
}

POINT(int, unlink, (const char *path))
{
	return FAILS(UNLINK) ? -1 : __real_unlink(path);
}

POINT(int, unlinkat, (int dir, const char *path, int flags))
{
	return FAILS(UNLINK) ? -1 : __real_unlinkat(dir, path, flags);
}

POINT(int, rmdir, (const char *path))
{
	return FAILS(UNLINK) ? -1 : __real_rmdir(path);
}

/* The mode that open has when it may make a file. */
static mode_t mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, mode_t) : 0;
}

POINT(int, open, (const char *path, int flags, ...))
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return FAILS(OPEN) ? -1 : __real_open(path, flags, mode);
}

POINT(int, openat, (int dir, const char *path, int flags, ...))
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return FAILS(OPEN) ? -1 : __real_openat(dir, path, flags, mode);
}

POINT(DIR *, opendir, (const char *path))
{
	return FAILS(OPEN) ? NULL : __real_opendir(path);
}

POINT(DIR *, fdopendir, (int fd))
{
	return FAILS(OPEN) ? NULL : __real_fdopendir(fd);
}

POINT(int, mkdir, (const char *path, mode_t mode))
{
	return FAILS(OPEN) ? -1 : __real_mkdir(path, mode);
}

POINT(int, mkdirat, (int dir, const char *path, mode_t mode))
{
	return FAILS(OPEN) ? -1 : __real_mkdirat(dir, path, mode);
}

POINT(int, symlinkat, (const char *target, int dir, const char *path))
{
	return FAILS(OPEN) ? -1 : __real_symlinkat(target, dir, path);
}

/* ---- descriptors, sockets, threads, processes ---- */

POINT(int, pipe2, (int *fds, int flags))
{
	return FAILS(FD) ? -1 : __real_pipe2(fds, flags);
}

POINT(int, eventfd, (unsigned value, int flags))
{
	return FAILS(FD) ? -1 : __real_eventfd(value, flags);
}

POINT(int, epoll_create1, (int flags))
{
	return FAILS(FD) ? -1 : __real_epoll_create1(flags);
}

POINT(int, signalfd, (int fd, const sigset_t *mask, int flags))
{
	return FAILS(FD) ? -1 : __real_signalfd(fd, mask, flags);
}

POINT(int, timerfd_create, (int clock, int flags))
{
	return FAILS(FD) ? -1 : __real_timerfd_create(clock, flags);
}

POINT(int, memfd_create, (const char *name, unsigned flags))
{
	return FAILS(FD) ? -1 : __real_memfd_create(name, flags);
}

POINT(int, socket, (int domain, int type, int protocol))
{
	return FAILS(FD) ? -1 : __real_socket(domain, type, protocol);
}

POINT(int, socketpair, (int domain, int type, int protocol, int *fds))
{
	return FAILS(FD) ? -1 : __real_socketpair(domain, type, protocol, fds);
}

POINT(int, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags))
{
	return FAILS(FD) ? -1 : __real_accept4(fd, addr, len, flags);
}

POINT(int, connect, (int fd, const struct sockaddr *addr, socklen_t len))
{
	return FAILS(SOCK) ? -1 : __real_connect(fd, addr, len);
}

POINT(int, bind, (int fd, const struct sockaddr *addr, socklen_t len))
{
	return FAILS(SOCK) ? -1 : __real_bind(fd, addr, len);
}

POINT(int, listen, (int fd, int backlog))
{
	return FAILS(SOCK) ? -1 : __real_listen(fd, backlog);
}

POINT(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags))
{
	return FAILS(SOCK) ? -1 : __real_sendmsg(fd, m, flags);
}

POINT(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags))
{
	return FAILS(SOCK) ? -1 : __real_recvmsg(fd, m, flags);
}

POINT(int, pthread_create,
    (pthread_t * out, const pthread_attr_t *attributes, void *(*start)(void *), void *priv))
{
	return FAILS(THREAD) ? errno : __real_pthread_create(out, attributes, start, priv);
}

POINT(pid_t, fork, (void))
{
	return FAILS(FORK) ? -1 : __real_fork();
}

#else
/* ISO C wants one declaration in a file. */
typedef int orch_fault_calls_are_compiled_out;
#endif
