/* Keys and values of the database as bytes. Pure. */
#include "cache/db_value.h"

#include <errno.h>
#include <string.h>
#include "core/cursor.h"
#include "core/hash.h"

#define VALUE_MAGIC   "ORDB"
#define VALUE_VERSION 1

int cas_db_key(const struct cas_key *key, char out[CAS_KEY_MAX + 1], size_t *out_len)
{
	if (key->len > CAS_KEY_MAX)
		return -ENAMETOOLONG;
	out[0] = (char)key->kind;
	if (key->len)
		memcpy(out + 1, key->p, key->len);
	*out_len = key->len + 1;
	return 0;
}

const char *cas_db_kind_name(char kind)
{
	switch ((enum cas_kind)kind) {
	case CAS_KIND_META:
		return "meta";
	case CAS_KIND_OBJECT:
		return "object";
	case CAS_KIND_SNAPSHOT:
		return "snapshot";
	case CAS_KIND_REF:
		return "ref";
	case CAS_KIND_RECORD:
		return "record";
	}
	return NULL;
}

int cas_db_key_name(const char *key, size_t len, struct orch_buf *out)
{
	const char *kind = len ? cas_db_kind_name(key[0]) : NULL;
	bool hex = !kind || key[0] == CAS_KIND_OBJECT || key[0] == CAS_KIND_SNAPSHOT;

	orch_buf_printf(out, "%s ", kind ? kind : "unknown");
	for (size_t i = kind ? 1 : 0; i < len; i++) {
		unsigned char c = (unsigned char)key[i];

		if (hex)
			orch_buf_printf(out, "%02x", c);
		else
			orch_buf_printf(out, "%c", c == 0 ? '/' : c < ' ' || c == 127 ? '?' : c);
	}
	return out->failed ? -ENOMEM : 0;
}

int cas_db_name(const struct cas_db_item *item, struct orch_buf *out)
{
	char key[CAS_KEY_MAX + 1];
	size_t len = item->key_len < CAS_KEY_MAX ? item->key_len : CAS_KEY_MAX;

	key[0] = (char)item->kind;
	memcpy(key + 1, item->key, len);
	return cas_db_key_name(key, len + 1, out);
}

static uint64_t checksum(const char *key, size_t key_len, const void *p, size_t n)
{
	return orch_xxh64(p, n, orch_xxh64(key, key_len, 0));
}

static const char *value_problem(
    const char *key, size_t key_len, const char *v, size_t len, int *out_code)
{
	*out_code = ORCH_ECORRUPT;
	if (len < CAS_VALUE_HEAD || memcmp(v, VALUE_MAGIC, 4) != 0 || orch_le16(v + 6) != 0)
		return "damaged";
	if (orch_le16(v + 4) != VALUE_VERSION) {
		*out_code = ORCH_EFORMAT;
		return "of a version that this orch does not know";
	}
	if (orch_le64(v + 8) != checksum(key, key_len, v + CAS_VALUE_HEAD, len - CAS_VALUE_HEAD))
		return "damaged (wrong checksum)";
	return NULL;
}

int cas_db_check_value(
    const char *key, size_t key_len, const char *v, size_t len, struct orch_err *err)
{
	int code;
	const char *problem = value_problem(key, key_len, v, len, &code);
	struct orch_buf name;

	if (!problem)
		return 0;
	orch_buf_init(&name, 8 << 10);
	if (cas_db_key_name(key, key_len, &name) < 0 || !name.data)
		orch_err_set(err, code, "database: a record is %s", problem);
	else
		orch_err_set(err, code, "database: %s is %s", (char *)name.data, problem);
	orch_buf_fini(&name);
	return -code;
}

int cas_db_format_value(
    struct orch_buf *out, const char *key, size_t key_len, const void *value, size_t len)
{
	if (len > CAS_VALUE_MAX)
		return -EOVERFLOW;
	orch_buf_reset(out);
	orch_buf_add(out, VALUE_MAGIC, 4);
	orch_buf_add_u16(out, VALUE_VERSION);
	orch_buf_add_u16(out, 0);
	orch_buf_add_u64(out, checksum(key, key_len, value, len));
	orch_buf_add(out, value, len);
	return out->failed ? -ENOMEM : 0;
}
