/* Tables of a repository's memo; see git_memo.h. */
#include "sync/git_memo.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cache/folder.h"
#include "core/fd.h"
#include "core/grow.h"

#define TABLES_MAX 64
#define TABLE_MAX  ((size_t)8 << 30)

struct table {
	uint64_t number;
	struct orch_map map;
	struct fmt_memo memo;
};
struct sync_git_memo {
	uint64_t seed_check;
	size_t count; /* newest first */
	struct table tables[TABLES_MAX];
	pthread_mutex_t lock; /* what is new */
	struct fmt_memo_entry *added;
	size_t added_count, added_cap;
};

static bool number_of(const char *name, uint64_t *out)
{
	char prefix[16];
	int n = snprintf(prefix, sizeof(prefix), "%u.", (unsigned)geteuid());

	return strncmp(name, prefix, (size_t)n) == 0 && cas_number_parse(name + n, out) == 0;
}

static void open_table(
    struct sync_git_memo *m, int dirfd, const char *name, uint64_t number, struct sync_task *t)
{
	struct table *x = &m->tables[m->count];
	struct orch_err err = ORCH_ERR_INIT;
	int r = orch_map_open(dirfd, name, &x->map, &err);

	if (r == -ENOENT)
		return; /* it was merged with others meanwhile */
	if (r == 0) {
		r = fmt_memo_open(x->map.addr, x->map.len, &x->memo, &err);
		if (r == 0 && x->memo.seed_check == m->seed_check) {
			x->number = number;
			m->count++;
			return;
		}
		orch_map_close(&x->map);
	}
	if (r < 0)
		sync_task_warn(t, "Git memo %s is not used: %s", name, err.msg);
}

static int newest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct table *)a)->number, y = ((const struct table *)b)->number;

	return (x < y) - (x > y);
}

static int open_tables(struct sync_git_memo *m, int dirfd, struct sync_task *t)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	uint64_t number;

	if (!dir) {
		int r = -errno;

		orch_fd_close(fd);
		return r;
	}
	for (struct dirent *e; m->count < TABLES_MAX && (e = readdir(dir));)
		if (number_of(e->d_name, &number))
			open_table(m, dirfd, e->d_name, number, t);
	closedir(dir);
	qsort(m->tables, m->count, sizeof(m->tables[0]), newest_first);
	return 0;
}

int sync_git_memo_open(
    int dirfd, uint64_t seed, struct sync_task *t, struct sync_git_memo **out, struct orch_err *err)
{
	struct sync_git_memo *m = calloc(1, sizeof(*m));
	int r = m ? 0 : -ENOMEM;

	if (m) {
		pthread_mutex_init(&m->lock, NULL);
		m->seed_check = fmt_memo_seed_check(seed);
	}
	if (r == 0 && dirfd >= 0)
		r = open_tables(m, dirfd, t);
	if (r < 0) {
		sync_git_memo_free(m);
		return orch_err_sys(err, -r, "Git memo");
	}
	*out = m;
	return 0;
}

void sync_git_memo_free(struct sync_git_memo *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->count; i++)
		orch_map_close(&m->tables[i].map);
	pthread_mutex_destroy(&m->lock);
	free(m->added);
	free(m);
}

bool sync_git_memo_find(
    const struct sync_git_memo *m, const struct fmt_memo_key *key, struct fmt_memo_entry *out)
{
	for (size_t i = 0; i < m->count; i++)
		if (fmt_memo_find(&m->tables[i].memo, key, out) == 0)
			return true;
	return false;
}

int sync_git_memo_add(struct sync_git_memo *m, const struct fmt_memo_entry *e)
{
	int r;

	pthread_mutex_lock(&m->lock);
	r = orch_grow(&m->added, &m->added_cap, m->added_count + 1, sizeof(*m->added));
	if (r == 0)
		m->added[m->added_count++] = *e;
	pthread_mutex_unlock(&m->lock);
	return r;
}

static int by_key(const void *a, const void *b)
{
	return memcmp(&((const struct fmt_memo_entry *)a)->key,
	    &((const struct fmt_memo_entry *)b)->key, sizeof(struct fmt_memo_key));
}

static int write_table(struct sync_git_memo *m, struct orch_buf *out)
{
	struct fmt_memo_writer *w = fmt_memo_writer_new(m->seed_check);
	int r = w ? 0 : -ENOMEM;

	qsort(m->added, m->added_count, sizeof(*m->added), by_key);
	for (size_t i = 0; i < m->added_count && r == 0; i++)
		if (i == 0 || by_key(&m->added[i - 1], &m->added[i]) != 0)
			r = fmt_memo_writer_add(w, &m->added[i], out);
	if (r == 0)
		r = fmt_memo_writer_end(w, out);
	fmt_memo_writer_free(w);
	return r;
}

int sync_git_memo_save(
    struct sync_git_memo *m, struct cas_quarantine *q, bool *out_saved, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf out = {.max = TABLE_MAX};
	int r;

	*out_saved = false;
	if (!m->added_count)
		return 0;
	r = write_table(m, &out);
	if (r < 0)
		return orch_err_sys(err, -r, "make the Git memo");
	r = cas_quarantine_save_memo(q, out.data, out.len, err);
	*out_saved = r == 0;
	return r;
}
