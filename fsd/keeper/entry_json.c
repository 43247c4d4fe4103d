/* One entry of a folder as JSON. */
#include "entry_json.h"
#include <stdio.h>
#include "json_value.h"

static const char *type_name(enum fmt_type t)
{
	switch (t) {
	case FMT_REG:
		return "file";
	case FMT_DIR:
		return "folder";
	case FMT_SYMLINK:
		return "symlink";
	case FMT_FIFO:
		return "fifo";
	case FMT_SOCKET:
		return "socket";
	case FMT_CHR:
		return "char";
	case FMT_BLK:
		return "block";
	}
	return "unknown";
}

struct orch_json *fsd_entry_json(const struct fmt_entry *e, const struct fmt_stamp *s)
{
	struct orch_json *o = orch_json_object();
	char mode[8];
	int rc = o ? 0 : -ENOMEM;

	snprintf(mode, sizeof(mode), "%04o", e->mode & 07777);
	if (rc == 0)
		rc = orch_json_set_bytes(o, "name", e->name, e->name_len);
	if (rc == 0)
		rc = orch_json_set_str(o, "type", type_name(e->type));
	if (rc == 0)
		rc = orch_json_set_str(o, "mode", mode);
	if (rc == 0)
		rc = orch_json_set_u64(o, "size", e->size);
	if (rc == 0)
		rc = fsd_json_set_digest(o, "digest", &e->digest);
	if (rc == 0 && e->type == FMT_SYMLINK)
		rc = orch_json_set_bytes(o, "target", e->target, e->target_len);
	if (rc == 0 && s)
		rc = fsd_json_set_time(o, "mtime", s->mtime_ns);
	if (rc == 0 && s)
		rc = orch_json_set_u64(o, "ino", s->ino);
	if (rc == 0)
		return o;
	orch_json_free(o);
	return NULL;
}
