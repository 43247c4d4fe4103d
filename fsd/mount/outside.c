/* Who else may write. See outside.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/proc_map.h"
#include "core/proc_stat.h"
#include "core/size.h"
#include "fsd/mount/outside.h"

#define KERNEL_THREAD 0x00200000u /* PF_KTHREAD of /proc/PID/stat */

struct key { /* one way to name a file */
	dev_t dev;
	uint64_t ino;
	struct mnt_outside_file *file;
};

struct look {
	const int32_t *inside;
	size_t inside_count;
	struct mnt_outside_file *files;
	size_t count;
	struct key *keys;
	size_t key_count;
	uint64_t since_ticks; /* when the mount was made */
};

static int by_key(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static int by_number(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return x < y ? -1 : x > y;
}

static void note(struct look *l, dev_t dev, uint64_t ino)
{
	struct key key = {.dev = dev, .ino = ino};
	struct key *k = bsearch(&key, l->keys, l->key_count, sizeof(key), by_key);

	if (k)
		k->file->found = true;
}

/* What can't be looked into: is it a process that may have a descriptor of the mount at all? */
static bool may_have_one(int process, uint64_t since_ticks)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	struct orch_proc_stat s;

	if (orch_file_load(process, "stat", &text, NULL) < 0 || !text.data)
		return false; /* it has ended */
	if (orch_proc_stat_parse((const char *)text.data, &s) < 0)
		return true;
	return s.state != 'Z' && s.state != 'X' && !(s.flags & KERNEL_THREAD) &&
	       s.start_ticks >= since_ticks;
}

static void note_unseen(struct look *l, int process)
{
	if (!may_have_one(process, l->since_ticks))
		return;
	for (size_t i = 0; i < l->count; i++)
		l->files[i].found = true;
}

/* -errno of a process, or of one of its descriptors: is it gone, or can't it be seen? */
static bool is_gone(int code)
{
	return code == ENOENT || code == ESRCH;
}

/* The link of a descriptor shows by its mode whether one may write through it. */
static bool may_write(int fds, const char *name)
{
	struct stat st;

	return fstatat(fds, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? !is_gone(errno)
								: (st.st_mode & S_IWUSR) != 0;
}

static void look_at_descriptor(struct look *l, int process, int fds, const char *name)
{
	struct statx st;

	if (!may_write(fds, name))
		return;
	/* DONT_SYNC: the kernel answers, no file system is asked */
	if (statx(fds, name, AT_STATX_DONT_SYNC, 0, &st) == 0)
		note(l, makedev(st.stx_dev_major, st.stx_dev_minor), st.stx_ino);
	else if (!is_gone(errno))
		note_unseen(l, process);
}

static void look_at_descriptors(struct look *l, int process)
{
	int fd = openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (!is_gone(errno))
			note_unseen(l, process);
		orch_fd_close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			look_at_descriptor(l, process, dirfd(d), e->d_name);
	closedir(d);
}

/* A shared mapping that may not be written now can become one that may, so all of them count. */
static void look_at_mappings(struct look *l, int process)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	int r = orch_file_load(process, "maps", &text, NULL);
	const char *p = (const char *)text.data;
	struct orch_proc_map m;

	if (r < 0) {
		if (!is_gone(-r))
			note_unseen(l, process);
		return;
	}
	while (p && *p)
		if (orch_proc_map_parse(&p, &m) == 0 && m.shared && m.ino > 0)
			note(l, makedev(m.major, m.minor), m.ino);
}

static bool is_meant(const struct look *l, int32_t pid)
{
	if (pid == (int32_t)getpid())
		return false;
	return l->inside_count == 0 ||
	       !bsearch(&pid, l->inside, l->inside_count, sizeof(pid), by_number);
}

static void look_at_process(struct look *l, int proc, const char *name)
{
	orch_auto(fd) int process = -1;

	if (name[0] < '1' || name[0] > '9' || !is_meant(l, (int32_t)strtol(name, NULL, 10)))
		return;
	process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (process < 0)
		return;
	look_at_descriptors(l, process);
	look_at_mappings(l, process);
}

static int keys_make(struct look *l)
{
	size_t bytes;

	if (orch_size_mul(l->count, 2 * sizeof(struct key), &bytes) < 0 ||
	    !(l->keys = malloc(bytes ? bytes : 1)))
		return -ENOMEM;
	for (size_t i = 0; i < l->count; i++) {
		struct mnt_outside_file *f = &l->files[i];

		l->keys[l->key_count++] = (struct key){f->dev, f->ino, f};
		l->keys[l->key_count++] = (struct key){f->private_dev, f->private_ino, f};
	}
	if (l->key_count > 1)
		qsort(l->keys, l->key_count, sizeof(*l->keys), by_key);
	return 0;
}

int mnt_outside_find(
    const int32_t *inside, size_t inside_count, struct mnt_outside_file *files, size_t count)
{
	struct look l = {
	    .inside = inside, .inside_count = inside_count, .files = files, .count = count};
	DIR *proc = opendir("/proc");
	struct dirent *e;
	int r = proc ? keys_make(&l) : -errno;
	struct orch_proc_id self;

	if (r == 0)
		r = orch_proc_id_get((int32_t)getpid(), &self);
	if (r == 0)
		l.since_ticks = self.start_ticks;
	while (r == 0 && (e = readdir(proc)))
		look_at_process(&l, dirfd(proc), e->d_name);
	if (proc)
		closedir(proc);
	free(l.keys);
	return r;
}
