/* Packs: each record's checksum, SHA-256 and form. A pack with bad records is written again
 * without them; one that can't be opened is moved away. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cache/pack.h"
#include "cache/verify_priv.h"
#include "core/fd.h"

struct one_pack {
	struct verify *v;
	uint64_t number;
	char name[24];
	struct fmt_pack pack;
	uint32_t bad_count;
	uint8_t *bad; /* by record */
};

static int check_record(const struct fmt_pack_record *rec, struct orch_err *err)
{
	struct orch_digest digest;
	struct fmt_snapshot x;

	orch_sha256(rec->p, rec->len, &digest);
	if (!orch_digest_eq(&digest, &rec->digest))
		return orch_err_set(err, ORCH_ECORRUPT, "its SHA-256 is not its name");
	switch (rec->kind) {
	case FMT_PACK_TREE:
		return fmt_tree_check(rec->p, rec->len, err);
	case FMT_PACK_STAMPS:
		return fmt_stamps_check(rec->p, rec->len, err);
	case FMT_PACK_SNAPSHOT:
		return fmt_snapshot_parse(rec->p, rec->len, &x, err);
	case FMT_PACK_OBJECT:
		return 0;
	}
	return orch_err_set(err, ORCH_EFORMAT, "its kind is unknown");
}

/* "packs/3 tree 12ab..."; of a record that can't be read only the place is known. */
static void record_name(const struct one_pack *o, uint32_t i, const struct fmt_pack_record *rec,
    char *name, size_t size)
{
	static const char *const nouns[] = {"record", "tree", "stamps", "snapshot", "object"};
	char hex[ORCH_DIGEST_HEX + 1];

	if (!rec) {
		snprintf(name, size, "packs/%s record %" PRIu32, o->name, i);
		return;
	}
	orch_digest_format(&rec->digest, hex);
	snprintf(name, size, "packs/%s %s %s", o->name,
	    nouns[(size_t)rec->kind < ORCH_ARRAY_LEN(nouns) ? rec->kind : 0], hex);
}

static int check_one(struct one_pack *o, uint32_t i)
{
	struct orch_err why = ORCH_ERR_INIT;
	struct fmt_pack_record rec;
	char name[128];
	bool read;
	int r = fmt_pack_at(&o->pack, i, &rec, &why);

	read = r == 0;
	if (r == 0)
		r = check_record(&rec, &why);
	if (r == 0)
		return verify_done(o->v, rec.len);
	o->bad[i] = 1;
	o->bad_count++;
	record_name(o, i, read ? &rec : NULL, name, sizeof(name));
	return verify_bad(o->v, CAS_BAD_RECORD, name, why.msg, o->v->spec->repair);
}

/* ---- repair ---- */

static int copy_good(
    struct one_pack *o, struct fmt_pack_writer *w, struct orch_buf *out, struct orch_err *err)
{
	struct fmt_pack_record rec;
	int r = fmt_pack_writer_begin(w, out);

	for (uint32_t i = 0; r == 0 && i < o->pack.count; i++) {
		if (o->bad[i])
			continue;
		r = fmt_pack_at(&o->pack, i, &rec, err);
		if (r == 0)
			r = fmt_pack_writer_add(w, rec.kind, &rec.digest, rec.p, rec.len, out);
		if (r == -EEXIST)
			r = 0;
	}
	if (r == 0)
		r = fmt_pack_writer_end(w, out);
	return r;
}

static int save_good(struct one_pack *o, const struct orch_map *map, struct orch_err *err)
{
	struct fmt_pack_writer *w = fmt_pack_writer_new();
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	char temp[32];
	uint64_t number;
	int r;

	if (!w)
		return orch_err_set(err, ENOMEM, "out of memory");
	out.max = SIZE_MAX / 2;
	snprintf(temp, sizeof(temp), "repair-%s", o->name);
	r = copy_good(o, w, &out, err);
	if (r == 0 && orch_map_broken(map))
		r = orch_err_set(err, ORCH_ECORRUPT, "it was cut while it was read");
	if (r == 0 && fmt_pack_writer_count(w) > 0) {
		r = orch_file_save(o->v->s->tmp_fd, temp, out.data, out.len, 0444, err);
		if (r == 0)
			r = cas_pack_place(o->v->s, o->v->s->tmp_fd, temp, &number, err);
	}
	fmt_pack_writer_free(w);
	return r;
}

static bool move_pack(struct one_pack *o)
{
	char as[40];

	snprintf(as, sizeof(as), "pack-%s", o->name);
	return verify_move_away(o->v, o->v->s->packs_fd, o->name, as, NULL) == 0;
}

static int repair_pack(struct one_pack *o, const struct orch_map *map)
{
	struct orch_err why = ORCH_ERR_INIT;
	int r = save_good(o, map, &why);

	if (r == 0 && move_pack(o))
		return 0;
	return verify_bad(o->v, CAS_BAD_PACK, o->name,
	    r < 0 ? why.msg : "the damaged pack can't be moved away", false);
}

/* ---- all packs ---- */

static int pack_unusable(struct one_pack *o, const char *why, bool may_move)
{
	char name[40];

	snprintf(name, sizeof(name), "packs/%s", o->name);
	return verify_bad(
	    o->v, CAS_BAD_PACK, name, why, may_move && o->v->spec->repair && move_pack(o));
}

static int check_mapped(struct one_pack *o, const struct orch_map *map)
{
	struct orch_err why = ORCH_ERR_INIT;
	int r = fmt_pack_open(map->addr, map->len, &o->pack, &why);

	if (r < 0)
		return pack_unusable(o, why.msg, true);
	o->bad = calloc(o->pack.count ? o->pack.count : 1, 1);
	if (!o->bad)
		return verify_fail(o->v, -ENOMEM);
	for (uint32_t i = 0; r == 0 && i < o->pack.count; i++)
		r = check_one(o, i);
	if (r == 0 && o->bad_count > 0 && o->v->spec->repair)
		r = repair_pack(o, map);
	free(o->bad);
	return r;
}

static int check_pack(struct verify *v, uint64_t number)
{
	struct one_pack o = {.v = v, .number = number};
	struct orch_err why = ORCH_ERR_INIT;
	struct orch_map map;
	int r;

	snprintf(o.name, sizeof(o.name), "%" PRIu64, number);
	r = orch_map_open(v->s->packs_fd, o.name, &map, &why);
	if (r == -EIO) /* once more before it is called bad */
		r = orch_map_open(v->s->packs_fd, o.name, &map, &why);
	if (r == -ENOENT)
		return 0; /* merged meanwhile; the new one is checked by the next run */
	if (r < 0)
		return pack_unusable(&o, why.msg, r != -ENOMEM && r != -EMFILE && r != -ENFILE);
	r = check_mapped(&o, &map);
	orch_map_close(&map);
	return r;
}

static int see_stray(void *priv, int dirfd, const char *name)
{
	struct verify *v = priv;
	char text[300], as[300];
	uint64_t number;
	bool repaired;

	if (cas_number_parse(name, &number) == 0)
		return 0;
	snprintf(text, sizeof(text), "packs/%s", name);
	snprintf(as, sizeof(as), "packs-%.255s", name);
	repaired = v->spec->repair && verify_move_away(v, dirfd, name, as, NULL) == 0;
	return verify_bad(v, CAS_BAD_STRAY, text, "it is not a pack", repaired);
}

int verify_packs(struct verify *v, struct orch_err *err)
{
	uint64_t *numbers;
	size_t count;
	int r = cas_pack_list(v->s, &numbers, &count, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = check_pack(v, numbers[i]);
	free(numbers);
	return r == 0 ? cas_dir_each(v->s->root_fd, "packs", see_stray, v, err) : r;
}
