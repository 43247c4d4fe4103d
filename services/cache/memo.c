/* Tables of Git memos: taken over, merged, removed; see memo.h. */
#include "cache/memo.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cache/mirror.h"
#include "cache/store_priv.h"
#include "core/log.h"
#include "format/memo.h"

#define TABLES_READ_MAX 64
#define MERGED_MAX	((size_t)1 << 30) /* a larger one begins anew */

/* ---- names ---- */

#define NAME_BYTES 40

static void table_name(uid_t uid, uint64_t number, char out[NAME_BYTES])
{
	snprintf(out, NAME_BYTES, "%u.%" PRIu64, (unsigned)uid, number);
}

struct tables { /* of one user */
	uid_t uid;
	size_t count;
	uint64_t last;
	uint64_t v[TABLES_READ_MAX];
};

static int see_table(void *priv, int dirfd, const char *name)
{
	struct tables *t = priv;
	char prefix[16];
	uint64_t number;
	int n = snprintf(prefix, sizeof(prefix), "%u.", (unsigned)t->uid);

	(void)dirfd;
	if (strncmp(name, prefix, (size_t)n) != 0 || cas_number_parse(name + n, &number) < 0)
		return 0;
	if (t->count < TABLES_READ_MAX)
		t->v[t->count++] = number;
	t->last = number > t->last ? number : t->last;
	return 0;
}

static int find_tables(int memo_fd, uid_t uid, struct tables *out, struct orch_err *err)
{
	*out = (struct tables){.uid = uid};
	return cas_dir_each(memo_fd, ".", see_table, out, err);
}

/* ---- merging ---- */

struct source {
	uint64_t number;
	struct orch_map map;
	struct fmt_memo memo;
	uint64_t at;
};

static int newest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct source *)a)->number, y = ((const struct source *)b)->number;

	return (x < y) - (x > y);
}

/* Of the tables' next entries the one with the lowest key, of the newest table; those with the same key
 * are passed over. false: the end. */
static bool next_entry(struct source *v, size_t n, struct fmt_memo_entry *out)
{
	struct fmt_memo_entry e;
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		if (v[i].at == v[i].memo.count)
			continue;
		fmt_memo_at(&v[i].memo, v[i].at, &e);
		if (!found || memcmp(&e.key, &out->key, sizeof(e.key)) < 0)
			*out = e;
		found = true;
	}
	for (size_t i = 0; found && i < n; i++) {
		if (v[i].at == v[i].memo.count)
			continue;
		fmt_memo_at(&v[i].memo, v[i].at, &e);
		v[i].at += memcmp(&e.key, &out->key, sizeof(e.key)) == 0;
	}
	return found;
}

static int write_merged(struct source *v, size_t n, uint64_t seed, struct orch_buf *out)
{
	struct fmt_memo_writer *w = fmt_memo_writer_new(fmt_memo_seed_check(seed));
	struct fmt_memo_entry e;
	int r = w ? 0 : -ENOMEM;

	while (r == 0 && next_entry(v, n, &e)) {
		r = fmt_memo_writer_add(w, &e, out);
		if (r == 0 && out->len > MERGED_MAX)
			r = -EFBIG;
	}
	if (r == 0)
		r = fmt_memo_writer_end(w, out);
	fmt_memo_writer_free(w);
	return r;
}

/* What can't be read, or is of another store, is none. */
static size_t open_sources(
    struct cas_store *s, int memo_fd, const struct tables *t, struct source *v)
{
	struct orch_err err = ORCH_ERR_INIT;
	char name[NAME_BYTES];
	size_t n = 0;

	for (size_t i = 0; i < t->count; i++) {
		struct source *x = &v[n];

		table_name(t->uid, t->v[i], name);
		if (orch_map_open(memo_fd, name, &x->map, &err) < 0)
			continue;
		if (fmt_memo_open(x->map.addr, x->map.len, &x->memo, &err) < 0 ||
		    x->memo.seed_check != fmt_memo_seed_check(s->seed)) {
			orch_map_close(&x->map);
			continue;
		}
		x->number = t->v[i];
		x->at = 0;
		n++;
	}
	if (n)
		qsort(v, n, sizeof(*v), newest_first);
	return n;
}

/* All tables of the user become one; killed in between, there is one too many. */
static int merge(struct cas_store *s, int memo_fd, const struct tables *t, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf out = {.max = 2 * MERGED_MAX};
	struct source *v = calloc(TABLES_READ_MAX, sizeof(*v));
	size_t n = v ? open_sources(s, memo_fd, t, v) : 0;
	char name[NAME_BYTES];
	int r = v ? write_merged(v, n, s->seed, &out) : -ENOMEM;

	for (size_t i = 0; i < n; i++)
		orch_map_close(&v[i].map);
	free(v);
	table_name(t->uid, t->last + 1, name);
	if (r == 0)
		r = orch_file_save(memo_fd, name, out.data, out.len, 0444, err);
	else if (r != -EFBIG)
		return orch_err_sys(err, -r, "merge of Git memos");
	for (size_t i = 0; i < t->count && (r == 0 || r == -EFBIG); i++) {
		table_name(t->uid, t->v[i], name);
		if (unlinkat(memo_fd, name, 0) < 0 && errno != ENOENT)
			return orch_err_sys(err, errno, "remove memo/%s", name);
	}
	return r == -EFBIG ? 0 : r;
}

/* ---- taking over ---- */

static int check_table(struct cas_adopt *a, int fd, struct orch_err *err)
{
	struct orch_map map;
	struct fmt_memo memo;
	int r = orch_map_fd(fd, &map);

	if (r < 0)
		return orch_err_sys(err, -r, "Git memo");
	r = fmt_memo_open(map.addr, map.len, &memo, err);
	if (r == 0 && memo.seed_check != fmt_memo_seed_check(a->s->seed))
		r = orch_err_set(err, ORCH_ECORRUPT, "the Git memo is of another store");
	orch_map_close(&map);
	if (r == 0 && (r = orch_fd_sync(fd)) < 0)
		orch_err_sys(err, -r, "sync of the Git memo");
	return r;
}

static int open_folder(int mirror_fd, struct orch_err *err)
{
	int fd;

	if (mkdirat(mirror_fd, CAS_MIRROR_MEMO, 0755) < 0 && errno != EEXIST)
		return orch_err_sys(err, errno, "mkdir memo");
	fd = openat(mirror_fd, CAS_MIRROR_MEMO, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* it is read by workers, whatever our umask is */
	if (fd < 0 || fchmod(fd, 0755) < 0) {
		int code = errno;

		orch_fd_close(fd);
		return orch_err_sys(err, code, "open memo");
	}
	return fd;
}

int cas_memo_take(struct cas_adopt *a, const struct cas_memo_place *place, struct orch_err *err)
{
	struct stat st;
	struct tables t;
	char name[NAME_BYTES];
	orch_auto(fd) int fd = cas_adopt_file(a, "memo", 0444, &st, err);
	orch_auto(fd) int memo_fd = -1;
	int r = fd < 0 ? fd : check_table(a, fd, err);

	if (r < 0)
		return r;
	r = memo_fd = open_folder(place->mirror_fd, err);
	if (r >= 0)
		r = find_tables(memo_fd, place->uid, &t, err);
	if (r < 0)
		return r;
	do {
		table_name(place->uid, ++t.last, name);
		r = orch_rename(a->dirfd, "memo", memo_fd, name, RENAME_NOREPLACE);
	} while (r == -EEXIST);
	if (r == 0)
		r = orch_fd_sync(memo_fd);
	if (r < 0)
		return orch_err_sys(err, -r, "memo/%s", name);
	r = find_tables(memo_fd, place->uid, &t, err);
	return r == 0 && t.count > CAS_MEMO_TABLES_MAX ? merge(a->s, memo_fd, &t, err) : r;
}

/* ---- is there one? ---- */

bool cas_memo_is_there(struct cas_store *s, const struct orch_digest *key, uid_t uid)
{
	char hex[ORCH_DIGEST_HEX + 1], path[ORCH_DIGEST_HEX + 32];
	struct tables t = {.uid = uid};

	orch_digest_format(key, hex);
	snprintf(path, sizeof(path), "%s/%s/%s", CAS_MIRROR_FOLDER, hex, CAS_MIRROR_MEMO);
	return cas_dir_each(s->root_fd, path, see_table, &t, NULL) == 0 && t.count > 0;
}

/* ---- forgetting ---- */

static int forget_one(void *priv, int git_fd, const char *name)
{
	orch_auto(fd) int fd =
	    openat(git_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? 0 : orch_remove_tree(fd, CAS_MIRROR_MEMO, priv);
}

int cas_memo_forget(struct cas_store *s, struct orch_err *err)
{
	int r = cas_dir_each(s->root_fd, CAS_MIRROR_FOLDER, forget_one, err, err);

	return r == -ENOENT ? 0 : r;
}
