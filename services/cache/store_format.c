/*
 * The file FORMAT: what makes a folder a store. Lines of text, the version first, so that every
 * orch can say what it does not understand. docs/format.md has the bytes.
 */
#include "cache/store_priv.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include "core/fd.h"
#include "core/hash.h"

#define FORMAT_NAME "FORMAT"
#define FORMAT_MAX  4096

int cas_format_make(struct cas_format *out, struct orch_err *err)
{
	uint8_t random[CAS_STORE_ID_HEX / 2 + sizeof(out->seed)];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return orch_err_sys(err, EIO, "no random numbers");
	for (size_t i = 0; i < CAS_STORE_ID_HEX / 2; i++)
		snprintf(out->id + 2 * i, 3, "%02x", random[i]);
	memcpy(&out->seed, random + CAS_STORE_ID_HEX / 2, sizeof(out->seed));
	return 0;
}

static int format_text(const struct cas_format *f, char text[256])
{
	int n = snprintf(text, 256, "orch-store %d\nid %s\nseed %016" PRIx64 "\n",
	    CAS_FORMAT_VERSION, f->id, f->seed);

	n += snprintf(
	    text + n, 256 - (size_t)n, "check %016" PRIx64 "\n", orch_xxh64(text, (size_t)n, 0));
	return n;
}

int cas_format_save(int root_fd, const struct cas_format *f, struct orch_err *err)
{
	char text[256];
	int n = format_text(f, text);

	return orch_file_save(root_fd, FORMAT_NAME, text, (size_t)n, 0600, err);
}

static int check_version(const char *text, size_t len, struct orch_err *err)
{
	unsigned version;
	char line[40] = "";

	memcpy(line, text, len < sizeof(line) - 1 ? len : sizeof(line) - 1);
	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "orch-store %9u", &version) != 1)
		return orch_err_set(err, ORCH_ECORRUPT, "%s is damaged", FORMAT_NAME);
	if (version > CAS_FORMAT_VERSION)
		return orch_err_set(err, ORCH_EFORMAT,
		    "the store is of version %u, this orch knows %d: use a newer orch", version,
		    CAS_FORMAT_VERSION);
	if (version < CAS_FORMAT_VERSION)
		return orch_err_set(err, ORCH_EFORMAT,
		    "the store is of the old version %u, this orch knows %d: make a new store",
		    version, CAS_FORMAT_VERSION);
	return 0;
}

/* There is one text for each value: it is formatted again and compared. */
int cas_format_parse(const char *text, size_t len, struct cas_format *out, struct orch_err *err)
{
	struct cas_format f;
	char copy[256] = "", again[256];
	int r = check_version(text, len, err);

	if (r < 0)
		return r;
	memcpy(copy, text, len < sizeof(copy) - 1 ? len : sizeof(copy) - 1);
	if (sscanf(copy, "orch-store %*u\nid %32[0-9a-f]\nseed %16" SCNx64, f.id, &f.seed) != 2)
		return orch_err_set(err, ORCH_ECORRUPT, "%s is damaged", FORMAT_NAME);
	if (format_text(&f, again) != (int)len || memcmp(again, text, len) != 0)
		return orch_err_set(err, ORCH_ECORRUPT, "%s is damaged", FORMAT_NAME);
	*out = f;
	return 0;
}

static const struct cas_key copy_key = {CAS_KIND_META, "format", 6};

int cas_format_recall(struct cas_db *db, struct cas_format *out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf buf = ORCH_BUF_INIT;
	int r = cas_db_get(db, &copy_key, &buf, err);

	return r < 0 ? r : cas_format_parse((const char *)buf.data, buf.len, out, err);
}

int cas_format_remember(struct cas_db *db, const struct cas_format *f, struct orch_err *err)
{
	struct cas_format now = {.seed = 0};
	struct cas_batch *b;
	char text[256];
	int r = cas_format_recall(db, &now, NULL);

	if (r == 0 && now.seed == f->seed && strcmp(now.id, f->id) == 0)
		return 0;
	b = cas_batch_new();
	if (!b)
		return orch_err_set(err, ENOMEM, "out of memory");
	cas_batch_put(b, &copy_key, text, (size_t)format_text(f, text));
	r = cas_db_commit(db, b, err);
	cas_batch_free(b);
	return r;
}

static int check_regular(int root_fd, struct orch_err *err)
{
	struct stat st;

	if (fstatat(root_fd, FORMAT_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return orch_err_sys(err, errno, "%s", FORMAT_NAME);
	if (!S_ISREG(st.st_mode))
		return orch_err_set(err, ORCH_ECORRUPT, "%s is not a regular file", FORMAT_NAME);
	return 0;
}

int cas_format_load(int root_fd, struct cas_format *out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf buf = ORCH_BUF_INIT;
	int r;

	buf.max = FORMAT_MAX;
	r = check_regular(root_fd, err);
	if (r == 0)
		r = orch_file_load(root_fd, FORMAT_NAME, &buf, err);
	if (r == -EOVERFLOW)
		return orch_err_set(err, ORCH_ECORRUPT, "%s is damaged", FORMAT_NAME);
	if (r < 0)
		return r;
	if (buf.len == 0)
		return orch_err_set(err, ORCH_ECORRUPT, "%s is empty", FORMAT_NAME);
	return cas_format_parse((const char *)buf.data, buf.len, out, err);
}
