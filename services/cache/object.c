/* Records of objects in the database, their counters, and their files brought into place. */
#include "cache/store_priv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "core/cursor.h"
#include "core/fd.h"
#include "view/object.h"

#define OBJECT_BYTES   24 /* u64 fingerprint.lo, .hi, u64 size */
#define COUNTERS_BYTES 16 /* u64 objects, u64 object_bytes */

static const struct cas_key counters_key = {CAS_KIND_META, "counters", 8};

static struct cas_key object_key(const struct orch_digest *d)
{
	return (struct cas_key){CAS_KIND_OBJECT, d->b, ORCH_DIGEST_BYTES};
}

int cas_object_parse(
    const uint8_t *key, size_t key_len, const uint8_t *p, size_t n, struct cas_object *out)
{
	if (key_len != ORCH_DIGEST_BYTES || n != OBJECT_BYTES || orch_le64(p + 16) > INT64_MAX)
		return -ORCH_ECORRUPT;
	memcpy(out->digest.b, key, ORCH_DIGEST_BYTES);
	out->fingerprint.lo = orch_le64(p);
	out->fingerprint.hi = orch_le64(p + 8);
	out->size = orch_le64(p + 16);
	return 0;
}

int cas_object_load(struct cas_store *s, const struct orch_digest *digest, struct cas_object *out,
    struct orch_err *err)
{
	orch_auto(buf) struct orch_buf buf = ORCH_BUF_INIT;
	struct cas_key key = object_key(digest);
	int r = cas_db_get(s->db, &key, &buf, err);

	if (r < 0)
		return r;
	r = cas_object_parse(digest->b, ORCH_DIGEST_BYTES, buf.data, buf.len, out);
	if (r < 0)
		return orch_err_set(err, -r, "database: an object's record is malformed");
	return 0;
}

void cas_object_put(struct cas_batch *b, const struct cas_object *o)
{
	struct cas_key key = object_key(&o->digest);
	uint64_t value[3] = {o->fingerprint.lo, o->fingerprint.hi, o->size};

	cas_batch_put(b, &key, value, sizeof(value));
}

int cas_object_put_new(struct cas_store *s, const struct cas_manifest *m, struct cas_batch *b,
    struct cas_counters *out_counters, struct orch_err *err)
{
	struct cas_counters counters = s->counters;
	struct cas_object o, known;

	for (uint64_t i = 0; i < m->count; i++) {
		int r;

		cas_manifest_at(m, i, &o);
		r = cas_object_load(s, &o.digest, &known, err);
		if (r < 0 && r != -ENOENT && r != -ORCH_ECORRUPT)
			return r;
		if (r == 0)
			continue;
		cas_object_put(b, &o);
		if (r == -ENOENT) {
			counters.objects++;
			counters.object_bytes += o.size;
		}
	}
	cas_counters_put(b, &counters);
	*out_counters = counters;
	return 0;
}

/* A damaged record is no reason to keep a store closed: verify --repair counts again. */
int cas_counters_load(struct cas_store *s, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf buf = ORCH_BUF_INIT;
	int r = cas_db_get(s->db, &counters_key, &buf, err);

	if (r < 0 && r != -ENOENT && r != -ORCH_ECORRUPT)
		return r;
	if (r == 0 && buf.len == COUNTERS_BYTES) {
		s->counters.objects = orch_le64(buf.data);
		s->counters.object_bytes = orch_le64(buf.data + 8);
	}
	return 0;
}

void cas_counters_put(struct cas_batch *b, const struct cas_counters *c)
{
	uint64_t value[2] = {c->objects, c->object_bytes};

	cas_batch_put(b, &counters_key, value, sizeof(value));
}

/* The inner folder first: mostly the outer one is there. */
static int make_folders(struct cas_store *s, const char *path, struct orch_err *err)
{
	char outer[3] = {path[0], path[1], '\0'};
	char inner[6] = {path[0], path[1], '/', path[3], path[4], '\0'};
	int r = mkdirat(s->objects_fd, inner, 0755) < 0 ? -errno : 0;

	if (r == -ENOENT) {
		if (mkdirat(s->objects_fd, outer, 0755) < 0 && errno != EEXIST)
			return orch_err_sys(err, errno, "mkdir objects/%s", outer);
		r = mkdirat(s->objects_fd, inner, 0755) < 0 ? -errno : 0;
	}
	if (r < 0 && r != -EEXIST)
		return orch_err_sys(err, -r, "mkdir objects/%s", inner);
	return 0;
}

int cas_object_place(struct cas_store *s, int dirfd, const char *name,
    const struct orch_digest *digest, bool *out_made, struct orch_err *err)
{
	char path[VIEW_OBJECT_PATH_BYTES];
	int r;

	view_object_path(digest, path);
	*out_made = false;
	r = orch_rename(dirfd, name, s->objects_fd, path, 0);
	if (r == -ENOENT) {
		r = make_folders(s, path, err);
		if (r < 0)
			return r;
		*out_made = true;
		r = orch_rename(dirfd, name, s->objects_fd, path, 0);
	}
	if (r < 0)
		return orch_err_sys(err, -r, "rename to objects/%s", path);
	return 0;
}
