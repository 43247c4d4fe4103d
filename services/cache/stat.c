/* Counts: from the counters, the database, and the folders of packs and layers. */
#include "cache/stat.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "cache/layer.h"
#include "cache/record.h"
#include "cache/reserve.h"
#include "cache/store_priv.h"

static int count_record(void *priv, const struct cas_db_item *item)
{
	uint64_t *count = priv;

	(void)item;
	++*count;
	return 0;
}

static int count_kind(struct cas_store *s, enum cas_kind kind, const char *prefix, size_t len,
    uint64_t *out, struct orch_err *err)
{
	struct cas_key key = {kind, prefix, len};

	return cas_db_each(s->db, &key, count_record, out, err);
}

static int see_pack(void *priv, int dirfd, const char *name)
{
	struct cas_stat *x = priv;
	struct stat st;
	uint64_t number;

	if (cas_number_parse(name, &number) == 0 &&
	    fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		x->packs++;
		x->pack_bytes += (uint64_t)st.st_size;
	}
	return 0;
}

static int count_layers(struct cas_store *s, struct cas_stat *x, struct orch_err *err)
{
	struct cas_layer *v;
	size_t count;
	int r = cas_layer_list(s, CAS_LAYER_BYTES, &v, &count, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		x->layer_bytes += v[i].bytes;
	x->layers = count;
	free(v);
	return 0;
}

static int count_disk(struct cas_store *s, struct cas_stat *x, struct orch_err *err)
{
	struct cas_reserve_state reserve;
	struct statvfs fs;

	cas_reserve_look(s->reserve, &reserve);
	x->reserve = reserve.bytes;
	x->reserve_whole = reserve.whole;
	if (fstatvfs(s->root_fd, &fs) < 0)
		return orch_err_sys(err, errno, "statvfs of the store");
	x->disk_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	x->disk_total = (uint64_t)fs.f_blocks * fs.f_frsize;
	return 0;
}

int cas_stat(struct cas_store *s, struct cas_stat *out, struct orch_err *err)
{
	struct cas_stat x = {0};
	int r;

	pthread_mutex_lock(&s->change_lock);
	x.objects = s->counters.objects;
	x.object_bytes = s->counters.object_bytes;
	pthread_mutex_unlock(&s->change_lock);
	r = count_kind(s, CAS_KIND_SNAPSHOT, NULL, 0, &x.snapshots, err);
	if (r == 0)
		r = count_kind(s, CAS_KIND_REF, NULL, 0, &x.refs, err);
	if (r == 0)
		r = count_kind(s, CAS_KIND_RECORD, CAS_NS_WORKSPACE, sizeof(CAS_NS_WORKSPACE),
		    &x.workspaces, err);
	if (r == 0)
		r = cas_dir_each(s->packs_fd, ".", see_pack, &x, err);
	if (r == 0)
		r = count_layers(s, &x, err);
	if (r == 0)
		r = count_disk(s, &x, err);
	if (r == 0)
		*out = x;
	return r;
}
