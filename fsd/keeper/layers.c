/* Chains of layers. */
#include "layers.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cache/layer.h"
#include "core/log.h"

static int first_ino(
    struct cas_store *s, const struct orch_digest *snapshot, uint64_t *out, struct orch_err *err)
{
	struct fmt_snapshot snap;
	int rc = view_packset_snapshot(cas_store_packset(s), snapshot, &snap, err);

	if (rc == 0)
		*out = snap.next_ino;
	return rc;
}

static int create(struct cas_store *s, const struct fmt_layer_head *head, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf frame = ORCH_BUF_INIT;
	int rc = fmt_layer_head_frame(head, &frame);

	if (rc < 0)
		return orch_err_sys(err, -rc, "head of a layer");
	return cas_layer_create(s, head->layer, frame.data, frame.len, err);
}

int fsd_layer_make(
    struct cas_store *s, const struct fsd_layer_spec *spec, uint64_t *out_id, struct orch_err *err)
{
	struct fmt_layer_head head = {
	    .parent = spec->parent,
	    .snapshot = spec->ws->snapshot,
	    .next_ino = spec->next_ino,
	    .next_spool = 1,
	    .seq = spec->seq,
	    .uid = spec->ws->uid,
	    .gid = spec->ws->gid,
	    .segment = 1,
	    .wall_ns = orch_wall_ns(),
	};
	int rc = 0;

	memcpy(head.workspace, spec->ws->name, strlen(spec->ws->name) + 1);
	if (!head.next_ino)
		rc = first_ino(s, &head.snapshot, &head.next_ino, err);
	if (rc == 0)
		rc = cas_layer_new_id(s, &head.layer, err);
	if (rc == 0)
		rc = create(s, &head, err);
	if (rc == 0)
		*out_id = head.layer;
	return rc;
}

static int chain_add(struct cas_store *s, uint64_t id, struct fsd_chain *c, uint64_t *out_parent,
    struct orch_err *err)
{
	struct cas_layer layer;
	int rc = cas_layer_head(s, id, &layer, err);

	if (rc == 0 && layer.status < 0)
		rc = orch_err_sys(err, -layer.status, "layer %llu", (unsigned long long)id);
	if (rc < 0)
		return rc;
	if (c->count == FSD_CHAIN_MAX)
		return orch_err_set(err, ORCH_ECORRUPT, "too many layers on each other");
	c->v[c->count++] = id;
	c->base = layer.head.snapshot;
	*out_parent = layer.head.parent;
	return 0;
}

int fsd_layer_chain(struct cas_store *s, uint64_t top, struct fsd_chain *out, struct orch_err *err)
{
	struct fsd_chain c = {.v = calloc(FSD_CHAIN_MAX, sizeof(*c.v))};
	int rc = c.v ? 0 : orch_err_set(err, ENOMEM, "no memory");

	while (rc == 0 && top)
		rc = chain_add(s, top, &c, &top, err);
	if (rc < 0)
		free(c.v);
	else
		*out = c;
	return rc;
}

uint64_t fsd_layer_parent(struct cas_store *s, uint64_t layer)
{
	struct cas_layer x;

	return cas_layer_head(s, layer, &x, NULL) == 0 && x.status == 0 ? x.head.parent : 0;
}

static void remove_chain(struct cas_store *s, uint64_t top)
{
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t kept;
	int rc = cas_layer_remove_chain(s, top, &kept, &err);

	if (rc == -EBUSY) /* somebody else stands on it */
		orch_log(ORCH_LOG_INFO, "keeper", "layer-kept", "layer=%llu reason=%s",
		    (unsigned long long)kept, err.msg);
	else if (rc < 0)
		orch_log(ORCH_LOG_WARN, "keeper", "layer-left", "layer=%llu error=%s",
		    (unsigned long long)(kept ? kept : top), err.msg);
}

void fsd_layer_remove_chain(struct cas_store *s, uint64_t top)
{
	struct orch_err err = ORCH_ERR_INIT;

	remove_chain(s, top);
	if (cas_layer_each_unfinished(s, true, NULL, NULL, &err) < 0)
		orch_log_err("keeper", "layer-left", &err);
}

int fsd_layer_find_top(struct cas_store *s, struct fsd_ws_record *r, struct orch_err *err)
{
	uint64_t before = r->layer;
	struct orch_digest base = r->snapshot;

	for (unsigned i = 0; i < FSD_CHAIN_MAX; i++) {
		struct cas_layer layer;
		int rc = cas_layer_get(s, r->layer, &layer, err);

		if (rc == 0 && layer.status < 0)
			rc = orch_err_sys(
			    err, -layer.status, "layer %llu", (unsigned long long)r->layer);
		if (rc == -ENOENT && r->layer != before) {
			/* Sealed, and ended before its successor was made. */
			return orch_err_set(err, ORCH_ECORRUPT,
			    "layer %llu, which is to follow a sealed one, is missing",
			    (unsigned long long)r->layer);
		}
		if (rc < 0)
			return rc;
		r->snapshot = layer.head.snapshot;
		if (!layer.sealed)
			return r->layer != before || !orch_digest_eq(&base, &r->snapshot);
		r->layer = layer.successor;
	}
	return orch_err_set(err, ORCH_ECORRUPT, "too many layers on each other");
}
