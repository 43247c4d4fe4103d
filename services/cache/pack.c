/* Numbers of packs, adopting one, merging small ones. */
#include "cache/pack.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cache/store_priv.h"
#include "core/fd.h"
#include "core/grow.h"

struct numbers {
	uint64_t *v;
	size_t count, cap;
	struct orch_err *err;
};

static int see_pack(void *priv, int dirfd, const char *name)
{
	struct numbers *n = priv;
	uint64_t number;

	(void)dirfd;
	if (cas_number_parse(name, &number) < 0)
		return 0;
	if (orch_grow(&n->v, &n->cap, n->count + 1, sizeof(*n->v)) < 0)
		return orch_err_set(n->err, ENOMEM, "out of memory");
	n->v[n->count++] = number;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int cas_pack_list(struct cas_store *s, uint64_t **out, size_t *out_count, struct orch_err *err)
{
	struct numbers n = {.err = err};
	int r = cas_dir_each(s->packs_fd, ".", see_pack, &n, err);

	if (r < 0) {
		free(n.v);
		return r;
	}
	if (n.count)
		qsort(n.v, n.count, sizeof(*n.v), by_number);
	*out = n.v;
	*out_count = n.count;
	return 0;
}

/* pack_lock is held. NOREPLACE: a number is never given twice, whatever the folder said. */
static int place_locked(
    struct cas_store *s, int dirfd, const char *name, uint64_t *out_number, struct orch_err *err)
{
	uint64_t *v;
	size_t count;
	char to[24];
	int r = cas_pack_list(s, &v, &count, err);

	if (r < 0)
		return r;
	*out_number = count ? v[count - 1] + 1 : 1;
	free(v);
	/* the last one may have gone: who has it mapped must not take another for it */
	if (*out_number <= s->pack_last)
		*out_number = s->pack_last + 1;
	s->pack_last = *out_number;
	snprintf(to, sizeof(to), "%" PRIu64, *out_number);
	r = orch_rename(dirfd, name, s->packs_fd, to, RENAME_NOREPLACE);
	if (r == 0)
		r = orch_fd_sync(s->packs_fd);
	return r < 0 ? orch_err_sys(err, -r, "packs/%s", to) : 0;
}

int cas_pack_place(
    struct cas_store *s, int dirfd, const char *name, uint64_t *out_number, struct orch_err *err)
{
	int r;

	pthread_mutex_lock(&s->pack_lock);
	r = place_locked(s, dirfd, name, out_number, err);
	pthread_mutex_unlock(&s->pack_lock);
	return r;
}

struct source { /* a pack that may be merged */
	uint64_t number;
	off_t size;
	struct orch_map map;
	bool merged;
};

static int by_size(const void *a, const void *b)
{
	const struct source *x = a, *y = b;

	return (x->size > y->size) - (x->size < y->size);
}

static int list_sources(
    struct cas_store *s, struct source **out, size_t *out_count, struct orch_err *err)
{
	struct source *v;
	uint64_t *numbers;
	size_t count;
	int r = cas_pack_list(s, &numbers, &count, err);

	if (r < 0)
		return r;
	v = calloc(count ? count : 1, sizeof(*v));
	for (size_t i = 0; v && i < count; i++) {
		struct stat st = {0};
		char name[24];

		v[i].number = numbers[i];
		snprintf(name, sizeof(name), "%" PRIu64, numbers[i]);
		if (fstatat(s->packs_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			v[i].size = st.st_size;
	}
	free(numbers);
	if (!v)
		return orch_err_set(err, ENOMEM, "out of memory");
	qsort(v, count, sizeof(*v), by_size);
	*out = v;
	*out_count = count;
	return 0;
}

struct merge {
	struct cas_store *s;
	struct fmt_pack_writer *w;
	struct orch_buf out;
	int fd;
};

static int flush(struct merge *m, size_t above, struct orch_err *err)
{
	int r;

	if (m->out.len <= above)
		return 0;
	r = orch_fd_write_all(m->fd, m->out.data, m->out.len);
	orch_buf_reset(&m->out);
	return r < 0 ? orch_err_sys(err, -r, "write the merged pack") : 0;
}

static int add_records(struct merge *m, const struct fmt_pack *pack, struct orch_err *err)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < pack->count; i++) {
		struct fmt_pack_record rec;

		r = fmt_pack_at(pack, i, &rec, err);
		if (r == 0)
			r = fmt_pack_writer_add(
			    m->w, rec.kind, &rec.digest, rec.p, rec.len, &m->out);
		if (r == -EEXIST)
			r = 0;
		if (r == 0)
			r = flush(m, (size_t)1 << 20, err);
	}
	return r;
}

/* Every record's checksum is right: else the pack stays as it is, for verify to tell. */
static bool is_whole(const struct orch_map *map, struct fmt_pack *out)
{
	struct fmt_pack_record rec;

	if (fmt_pack_open(map->addr, map->len, out, NULL) < 0)
		return false;
	for (uint32_t i = 0; i < out->count; i++)
		if (fmt_pack_at(out, i, &rec, NULL) < 0)
			return false;
	return true;
}

static int add_source(struct merge *m, struct source *x, struct orch_err *err)
{
	struct fmt_pack pack;
	char name[24];
	int r;

	snprintf(name, sizeof(name), "%" PRIu64, x->number);
	r = orch_map_open(m->s->packs_fd, name, &x->map, err);
	if (r < 0)
		return r;
	if (is_whole(&x->map, &pack)) {
		r = add_records(m, &pack, err);
		if (r == 0 && orch_map_broken(&x->map))
			r = orch_err_set(
			    err, ORCH_ECORRUPT, "pack %s was cut while it was read", name);
		x->merged = r == 0;
	}
	orch_map_close(&x->map);
	return r;
}

static int write_merged(struct merge *m, struct source *v, size_t count, struct orch_err *err)
{
	int r = fmt_pack_writer_begin(m->w, &m->out);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_source(m, &v[i], err);
	if (r == 0)
		r = fmt_pack_writer_end(m->w, &m->out);
	if (r == 0)
		r = flush(m, 0, err);
	if (r == 0 && fchmod(m->fd, 0444) < 0)
		r = -errno;
	if (r == 0)
		r = orch_fd_sync(m->fd);
	if (r < 0 && (!err || err->code == 0))
		orch_err_sys(err, -r, "merge of packs");
	return r;
}

static int unlink_merged(struct cas_store *s, struct source *v, size_t count, size_t *out)
{
	*out = 0;
	for (size_t i = 0; i < count; i++) {
		char name[24];

		if (!v[i].merged)
			continue;
		snprintf(name, sizeof(name), "%" PRIu64, v[i].number);
		if (unlinkat(s->packs_fd, name, 0) == 0)
			++*out;
	}
	return orch_fd_sync(s->packs_fd);
}

static int merge_into(
    struct merge *m, struct source *v, size_t count, size_t *out, struct orch_err *err)
{
	char name[] = "merge-XXXXXX";
	uint64_t number;
	int r;

	snprintf(name, sizeof(name), "merge-%u", (unsigned)(v[0].number % 100000));
	m->fd = openat(m->s->tmp_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (m->fd < 0)
		return orch_err_sys(err, errno, "tmp/%s", name);
	r = write_merged(m, v, count, err);
	if (r == 0 && fmt_pack_writer_count(m->w) > 0)
		r = place_locked(m->s, m->s->tmp_fd, name, &number, err);
	if (r == 0)
		r = unlink_merged(m->s, v, count, out);
	(void)unlinkat(m->s->tmp_fd, name, 0);
	orch_fd_close(m->fd);
	return r;
}

static int merge_locked(struct cas_store *s, size_t keep, size_t *out, struct orch_err *err)
{
	struct merge m = {.s = s, .out = ORCH_BUF_INIT, .fd = -1};
	struct source *v = NULL;
	size_t count = 0;
	int r = list_sources(s, &v, &count, err);

	if (r < 0)
		return r;
	m.out.max = (size_t)FMT_PACK_RECORD_MAX + ((size_t)4 << 30);
	m.w = fmt_pack_writer_new();
	if (!m.w)
		r = orch_err_set(err, ENOMEM, "out of memory");
	else if (count > keep && count > 1)
		r = merge_into(&m, v, count - (keep ? keep : 1) + 1, out, err);
	fmt_pack_writer_free(m.w);
	orch_buf_fini(&m.out);
	free(v);
	return r;
}

int cas_pack_merge(struct cas_store *s, size_t keep, size_t *out_merged, struct orch_err *err)
{
	size_t merged = 0;
	int r;

	pthread_mutex_lock(&s->pack_lock);
	r = merge_locked(s, keep, &merged, err);
	pthread_mutex_unlock(&s->pack_lock);
	if (r == 0 && out_merged)
		*out_merged = merged;
	return r;
}
