/*
 * What a killed predecessor left in the top layer: nodes that were unlinked but open, and private
 * files of requests that were never answered. Runs beside the requests, after the start.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/grow.h"
#include "core/number.h"
#include "fsd/mount/ns_priv.h"

struct ids {
	uint64_t *v;
	size_t count, cap;
};

static int ids_add(struct ids *list, uint64_t id)
{
	int r = orch_grow(&list->v, &list->cap, list->count + 1, sizeof(*list->v));

	if (r == 0)
		list->v[list->count++] = id;
	return r;
}

static int id_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* With the lock: what the top layer refers to, and what nobody can reach any more. */
static int survey(struct mnt_ns *ns, struct ids *used, struct ids *dead)
{
	const struct fmt_node *n;
	uint64_t cookie = 0;
	int r = 0;

	while (r == 0 && (n = fmt_overlay_nodes(mnt_chain_top(&ns->chain), &cookie))) {
		if (n->nlink == 0 && !mnt_nodes_by_ino(&ns->nodes, n->ino))
			r = ids_add(dead, n->ino);
		else if (mnt_state_is_private(ns, n))
			r = ids_add(used, n->spool_id);
	}
	return r;
}

static void bury_all(struct mnt_ns *ns, const struct ids *dead)
{
	for (size_t i = 0; i < dead->count; i++) {
		mnt_txn_begin(ns);
		mnt_txn_gone(ns, dead->v[i]);
		if (mnt_txn_commit(ns) < 0)
			return;
	}
}

static uint64_t id_of(const char *name)
{
	uint64_t id = 0;

	return name[0] == '0' || orch_number_parse(name, strlen(name), UINT64_MAX, &id) < 0 ? 0
											    : id;
}

/* Removes files that are older than this mount (below `before`) and that nothing refers to. */
static size_t sweep(int spool, const struct ids *used, uint64_t before)
{
	int fd = openat(spool, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	size_t removed = 0;

	if (!d) {
		orch_fd_close(fd);
		return 0;
	}
	while ((e = readdir(d))) {
		uint64_t id = id_of(e->d_name);

		if (id == 0 || id >= before ||
		    (used->count > 0 && bsearch(&id, used->v, used->count, sizeof(id), id_cmp)))
			continue;
		removed += unlinkat(spool, e->d_name, 0) == 0;
	}
	closedir(d);
	return removed;
}

void mnt_ns_clean(struct mnt_ns *ns)
{
	struct ids used = {0}, dead = {0};
	size_t removed = 0;
	int spool = -1, r;

	mnt_ns_lock(ns);
	r = ns->config.read_only ? -EROFS : survey(ns, &used, &dead);
	if (r == 0) {
		bury_all(ns, &dead);
		spool = fcntl(mnt_chain_spool(&ns->chain, mnt_chain_top_layer(&ns->chain)),
		    F_DUPFD_CLOEXEC, 0);
	}
	mnt_ns_unlock(ns);
	if (used.count > 0)
		qsort(used.v, used.count, sizeof(*used.v), id_cmp);
	if (spool >= 0)
		removed = sweep(spool, &used, ns->first_spool);
	if (removed + dead.count > 0)
		orch_log(
		    ORCH_LOG_INFO, "mount", "cleaned", "files=%zu nodes=%zu", removed, dead.count);
	orch_fd_close(spool);
	free(used.v);
	free(dead.v);
	if (mnt_outlived_find(ns) < 0)
		orch_log(ORCH_LOG_WARN, "mount", "writers-unknown", "errno=ENOMEM");
}
