/*
 * The folders of layers, as the keeper needs them: numbers, making, listing, removing. Their
 * records are format/layer.h; who writes them is the mount process. Thread-safe.
 */
#ifndef ORCH_CACHE_LAYER_H
#define ORCH_CACHE_LAYER_H

#include "cache/store.h"
#include "format/layer.h"

/* A number that no layer of this store had before; never 0. Durable. */
int cas_layer_new_id(struct cas_store *s, uint64_t *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* The record of the next number is damaged: it is made again, above every layer that is there. */
int cas_layer_renumber(struct cas_store *s, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* Makes layers/<id>/ (0700) with spool/ and log.1 holding `frame` (fmt_layer_head_frame), durable
 * and atomic: there whole, or not at all. -EEXIST. */
int cas_layer_create(struct cas_store *s, uint64_t id, const void *frame, size_t len,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;

struct cas_layer {
	uint64_t id;
	int status;		    /* 0, or -errno: head is not to be believed */
	struct fmt_layer_head head; /* of the newest segment */
	bool unmade;		    /* it has no log: nothing was ever recorded in it, no parent */
	uint64_t seq;		    /* its last transaction; with sealed and successor */
	bool sealed;		    /* its log ends with SEALED */
	uint64_t successor;	    /* of that record */
	uint64_t bytes;		    /* allocated by log and spool; 0 unless asked for */
	uint32_t children;	    /* layers that name it as parent */
	uint32_t records;	    /* keeper's records with this "layer" */
};
#define CAS_LAYER_BYTES	 1u /* fill in bytes: one stat for each file */
#define CAS_LAYER_SEALED 2u /* fill in seq, sealed, successor: reads every log to its end */
int cas_layer_list(struct cas_store *s, unsigned flags, struct cas_layer **out, size_t *out_count,
    struct orch_err *err) ORCH_NONNULL(1, 3, 4) ORCH_WUR; /* free(*out) */
/* One layer's head and whether it is sealed, without children and records. -ENOENT. */
int cas_layer_get(struct cas_store *s, uint64_t id, struct cas_layer *out, struct orch_err *err)
    ORCH_NONNULL(1, 3) ORCH_WUR;
/* The same without sealed and successor: reads no more than the head. */
int cas_layer_head(struct cas_store *s, uint64_t id, struct cas_layer *out, struct orch_err *err)
    ORCH_NONNULL(1, 3) ORCH_WUR;
/* Removes folder and content; absent: success. -EBUSY while a layer or a record names it, while it is
 * pinned, and while a damaged layer may name it: that one has a log whose head can't be read, and a
 * higher number, and this one is sealed, as every parent is. */
int cas_layer_remove(struct cas_store *s, uint64_t id, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;
/* Removes the layer and those below it, up to the first that must stay; one look at who names what for
 * all of them. *out_kept: that one, 0: none was kept; err says why then. What could be moved out of
 * layers/ and not removed is removed by the next start. */
int cas_layer_remove_chain(struct cas_store *s, uint64_t top, uint64_t *out_kept,
    struct orch_err *err) ORCH_NONNULL(1, 3, 4) ORCH_WUR;
/* Somebody reads the layer, and so all below it: until as many unpins it is not removed. In memory: a
 * process that ends has no readers. */
int cas_layer_pin(struct cas_store *s, uint64_t id, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
void cas_layer_unpin(struct cas_store *s, uint64_t id) ORCH_NONNULL(1);
/* Removes every layer that nothing names, and then their parents, and unfinished ones; a damaged one
 * that has a log stays. A layer that was just made and has no record yet is one that nothing names:
 * only call it while none is being made. When the database may have lost something (cas_db_has_gap),
 * they are moved to quarantine/ instead, once. *out_count may be NULL. */
int cas_layer_sweep(struct cas_store *s, size_t *out_count, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;
/* What killed mount processes were making (layers/<id>.new). Nothing happens while one makes a layer.
 * At any time; does not block. `remove` false: only calls. `fn` may be NULL; a negative return of it
 * ends the run. */
int cas_layer_each_unfinished(struct cas_store *s, bool remove,
    int (*fn)(void *priv, const char *name, bool removed), void *priv, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;

#endif
