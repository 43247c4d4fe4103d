/* One pass over /proc: a table of all processes, marked, then signalled by pidfd. No state. */
#include "core/proctree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/grow.h"
#include "core/proc_stat.h"

struct proc {
	struct orch_proc_id id;
	pid_t parent, group, session;
	bool dead; /* a zombie */
	bool ours; /* comes from the root */
};

struct table {
	struct proc *v;
	size_t count, cap;
};

static bool proc_read(int proc, const char *pid, struct proc *out)
{
	orch_auto(fd) int fd = -1;
	char path[64], text[ORCH_PROC_STAT_BYTES];
	struct orch_proc_stat s;
	ssize_t n;

	snprintf(path, sizeof(path), "%.20s/stat", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	if (orch_proc_stat_parse(text, &s) < 0)
		return false;
	*out = (struct proc){
	    .id = {.pid = (int32_t)strtol(pid, NULL, 10), .start_ticks = s.start_ticks},
	    .parent = s.parent,
	    .group = s.group,
	    .session = s.session,
	    .dead = s.state == 'Z' || s.state == 'X',
	};
	return true;
}

static int table_add(struct table *t, const struct proc *p)
{
	int r = orch_grow(&t->v, &t->cap, t->count + 1, sizeof(*t->v));

	if (r == 0)
		t->v[t->count++] = *p;
	return r;
}

static int table_fill(struct table *t, DIR *proc)
{
	struct dirent *d;

	while ((d = readdir(proc))) {
		struct proc p;
		int r;

		if (!isdigit((unsigned char)d->d_name[0]) || !proc_read(dirfd(proc), d->d_name, &p))
			continue;
		r = table_add(t, &p);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether the environment that the process was started with holds the mark. */
static bool carries(int proc, pid_t pid, const char *mark)
{
	orch_auto(buf) struct orch_buf env = ORCH_BUF_INIT;
	size_t len = strlen(mark);
	char path[64];
	const char *p, *end;

	snprintf(path, sizeof(path), "%d/environ", pid);
	if (orch_file_load(proc, path, &env, NULL) < 0 || !env.data)
		return false;
	p = (const char *)env.data;
	for (end = p + env.len; p < end; p += strlen(p) + 1)
		if (strncmp(p, mark, len) == 0 && p[len] == '\0')
			return true;
	return false;
}

static bool parent_is_ours(const struct table *t, pid_t parent)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->v[i].id.pid == parent)
			return t->v[i].ours;
	return false;
}

/* Descendants of what is marked already, however deep. */
static void mark_descendants(struct table *t)
{
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < t->count; i++) {
			if (t->v[i].ours || !parent_is_ours(t, t->v[i].parent))
				continue;
			t->v[i].ours = true;
			again = true;
		}
	}
}

/* 0 when the root is not in the table. */
static uint64_t start_of(const struct table *t, pid_t root)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->v[i].id.pid == root)
			return t->v[i].id.start_ticks;
	return 0;
}

static void mark_ours(struct table *t, int proc, pid_t root, const char *mark)
{
	uint64_t start = start_of(t, root);

	for (size_t i = 0; i < t->count; i++) {
		struct proc *p = &t->v[i];

		p->ours = p->id.pid == root || p->group == root || p->session == root;
		/* Who is older than the root can't come from it: most environments stay closed. */
		if (!p->ours && !p->dead && mark && p->id.start_ticks >= start)
			p->ours = carries(proc, p->id.pid, mark);
	}
	mark_descendants(t);
}

/* By pidfd and a second look, so that a number that was reused in between is not hit. */
static void signal_one(const struct proc *p, int signal)
{
	int fd = (int)syscall(SYS_pidfd_open, p->id.pid, 0);

	if (fd < 0)
		return;
	if (orch_proc_id_alive(&p->id) == 1)
		(void)!syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
	close(fd);
}

int orch_proctree_signal(pid_t root, const char *mark, int signal)
{
	struct table t = {.v = NULL};
	DIR *proc = opendir("/proc");
	int count = 0;
	int r;

	if (!proc)
		return -errno;
	r = table_fill(&t, proc);
	if (r == 0)
		mark_ours(&t, dirfd(proc), root, mark);
	for (size_t i = 0; r == 0 && i < t.count; i++) {
		if (!t.v[i].ours || t.v[i].dead || t.v[i].id.pid == getpid())
			continue;
		count++;
		if (signal != 0)
			signal_one(&t.v[i], signal);
	}
	closedir(proc);
	free(t.v);
	return r < 0 ? r : count;
}
