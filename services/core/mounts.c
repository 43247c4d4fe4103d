/* /proc/self/mountinfo, and unmounting what was found there. */
#include "core/mounts.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/fd.h"
#include "core/path.h"

#define MOUNTINFO_MAX ((size_t)16 << 20)
#define TRIES	      8 /* somebody may move a folder between a look and the unmount */

/* ---- the text ---- */

/* Field n (from 0) of a line; fields are divided by one blank. */
static const char *field(const char *line, size_t len, unsigned n, size_t *out_len)
{
	const char *end = line + len;

	for (;;) {
		const char *blank = memchr(line, ' ', (size_t)(end - line));
		size_t have = (size_t)((blank ? blank : end) - line);

		if (n-- == 0) {
			*out_len = have;
			return line;
		}
		if (!blank)
			return NULL;
		line = blank + 1;
	}
}

static bool is_octal(const char *p, size_t left)
{
	return left >= 4 && p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' &&
	       p[2] <= '7' && p[3] >= '0' && p[3] <= '7';
}

/* The kernel writes blanks, tabs, newlines and backslashes as \ooo. False: it was cut off, or holds a
 * NUL. */
static bool unescape(const char *p, size_t len, char *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n < cap - 1; n++) {
		if (is_octal(p + i, len - i)) {
			out[n] = (char)((p[i + 1] - '0') << 6 | (p[i + 2] - '0') << 3 |
					(p[i + 3] - '0'));
			i += 4;
		} else {
			out[n] = p[i++];
		}
		if (out[n] == '\0' || (n == cap - 2 && i < len)) {
			out[n + (out[n] != '\0')] = '\0';
			return false;
		}
	}
	out[n] = '\0';
	return true;
}

/* What follows " - ": type, source, options. */
static void get_kind(const char *line, size_t len, struct orch_mount *out)
{
	const char *dash = memmem(line, len, " - ", 3);
	const char *end = line + len, *p;
	size_t n = 0;

	out->type[0] = out->source[0] = '\0';
	if (!dash)
		return;
	dash += 3;
	p = field(dash, (size_t)(end - dash), 0, &n);
	if (p)
		(void)unescape(p, n, out->type, sizeof(out->type));
	p = field(dash, (size_t)(end - dash), 1, &n);
	if (p)
		(void)unescape(p, n, out->source, sizeof(out->source));
}

/* The text does not end with a NUL. */
static uint64_t number(const char **p, const char *end)
{
	uint64_t v = 0;

	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
		v = v * 10 + (uint64_t)(**p - '0');
	return v;
}

static bool parse_line(const char *line, size_t len, struct orch_mount *out)
{
	size_t n;
	const char *p = field(line, len, 4, &n), *end = line + len, *start = line;

	if (!p || !unescape(p, n, out->path, sizeof(out->path)))
		return false;
	out->id = number(&line, end);
	p = field(start, len, 2, &n);
	end = p + n;
	out->major = (unsigned)number(&p, end);
	out->minor = p < end && *p++ == ':' ? (unsigned)number(&p, end) : 0;
	get_kind(start, len, out);
	return true;
}

/* What is looked for: what is not NULL or 0. */
struct wanted {
	const char *path, *type, *source;
	const char *const *but_on; /* NULL ends it */
	uint64_t id;
	unsigned major, minor;
};

/* Both are absolute, so it ends at a slash. */
static bool ends_with(const char *path, const char *end)
{
	size_t n = strlen(path), m = strlen(end);

	return n >= m && strcmp(path + n - m, end) == 0;
}

/* An end with a slash is a folder: what lies in it. */
static bool lies_in(const char *path, const char *folder)
{
	size_t n = (size_t)(strrchr(path, '/') + 1 - path), m = strlen(folder);

	return m > 0 && folder[m - 1] == '/' && n >= m && memcmp(path + n - m, folder, m) == 0;
}

static bool ends_with_one(const char *path, const char *const *ends)
{
	for (; path[0] == '/' && ends && *ends; ends++)
		if (ends_with(path, *ends) || lies_in(path, *ends))
			return true;
	return false;
}

static bool fits(const struct orch_mount *m, const struct wanted *w)
{
	return (!w->path || strcmp(m->path, w->path) == 0) && (!w->id || m->id == w->id) &&
	       (!w->type || strcmp(m->type, w->type) == 0) &&
	       (!w->source || strcmp(m->source, w->source) == 0) &&
	       !ends_with_one(m->path, w->but_on) &&
	       (!(w->major || w->minor) || (m->major == w->major && m->minor == w->minor));
}

/* The next line that fits. */
static bool next(const char **at, const char *end, const struct wanted *w, struct orch_mount *out)
{
	while (*at < end) {
		const char *line = *at, *nl = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((nl ? nl : end) - line);

		*at = line + n + 1;
		if (parse_line(line, n, out) && fits(out, w))
			return true;
	}
	return false;
}

static bool pick(const char *text, size_t len, const struct wanted *w, struct orch_mount *out)
{
	const char *end = text + len;
	bool found = false;
	struct orch_mount m;

	/* The last line wins: it is on top. */
	while (next(&text, end, w, &m)) {
		*out = m;
		found = true;
	}
	return found;
}

bool orch_mounts_pick(const char *text, size_t len, const char *path, struct orch_mount *out)
{
	return pick(text, len, &(struct wanted){.path = path}, out);
}

bool orch_mounts_pick_id(const char *text, size_t len, uint64_t id, struct orch_mount *out)
{
	return id && pick(text, len, &(struct wanted){.id = id}, out);
}

bool orch_mounts_pick_source(
    const char *text, size_t len, const char *type, const char *source, struct orch_mount *out)
{
	return pick(text, len, &(struct wanted){.type = type, .source = source}, out);
}

bool orch_mounts_pick_device(const char *text, size_t len, unsigned major, unsigned minor,
    const char *const *but_on, struct orch_mount *out)
{
	return (major || minor) &&
	       pick(text, len, &(struct wanted){.major = major, .minor = minor, .but_on = but_on},
		   out);
}

size_t orch_mounts_list_source(const char *text, size_t len, const char *type, const char *source,
    struct orch_mount *out, size_t cap)
{
	const struct wanted w = {.type = type, .source = source};
	const char *end = text + len;
	struct orch_mount m;
	size_t n = 0;

	while (n < cap && next(&text, end, &w, &m))
		out[n++] = m;
	return n;
}

static int find(const struct wanted *w, struct orch_mount *out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int rc;

	orch_buf_init(&b, MOUNTINFO_MAX);
	rc = orch_file_load(AT_FDCWD, "/proc/self/mountinfo", &b, err);
	if (rc < 0)
		return rc;
	return b.len && pick((const char *)b.data, b.len, w, out);
}

int orch_mounts_find(const char *path, struct orch_mount *out, struct orch_err *err)
{
	return find(&(struct wanted){.path = path}, out, err);
}

int orch_mounts_find_id(uint64_t id, struct orch_mount *out, struct orch_err *err)
{
	return id ? find(&(struct wanted){.id = id}, out, err) : 0;
}

int orch_mounts_find_source(
    const char *type, const char *source, struct orch_mount *out, struct orch_err *err)
{
	return find(&(struct wanted){.type = type, .source = source}, out, err);
}

int orch_mounts_load_source(
    const char *type, const char *source, struct orch_mount *out, size_t cap, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int rc;

	orch_buf_init(&b, MOUNTINFO_MAX);
	rc = orch_file_load(AT_FDCWD, "/proc/self/mountinfo", &b, err);
	if (rc < 0)
		return rc;
	if (b.len == 0)
		return 0;
	return (int)orch_mounts_list_source((const char *)b.data, b.len, type, source, out, cap);
}

/* ---- a mount ---- */

int orch_mount_id_of(int fd, uint64_t *out)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	static const char key[] = "mnt_id:";
	char path[64], *at;
	int rc;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	rc = orch_file_load(AT_FDCWD, path, &b, NULL);
	if (rc == 0)
		rc = orch_buf_add(&b, "", 1);
	if (rc < 0)
		return rc;
	at = strstr((char *)b.data, key);
	if (!at)
		return -ENOTSUP;
	*out = strtoull(at + sizeof(key) - 1, NULL, 10);
	return 0;
}

/* The root of the mount with that id; -ESTALE: something else is there. */
static int open_root(int parent, const char *name, uint64_t id)
{
	int fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	uint64_t have;

	if (fd >= 0 && orch_mount_id_of(fd, &have) == 0 && have == id)
		return fd;
	orch_fd_close(fd);
	return -ESTALE;
}

/* The folder that the mount's folder lies in, without following a link. */
static int open_parent(const char *path, const char *slash)
{
	orch_auto(fd) int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	orch_auto(free) char *rel = NULL;

	if (root < 0)
		return -errno;
	if (slash == path)
		return fcntl(root, F_DUPFD_CLOEXEC, 0);
	rel = strndup(path + 1, (size_t)(slash - path - 1));
	return rel ? orch_open_nolinks(root, rel, O_PATH | O_DIRECTORY, 0) : -ENOMEM;
}

/* *out_name: what it is in that folder. */
static int find_parent(const struct orch_mount *m, const char **out_name)
{
	const char *slash = strrchr(m->path, '/');
	int parent;

	if (m->path[0] != '/' || !slash[1])
		return -EINVAL;
	*out_name = slash + 1;
	parent = open_parent(m->path, slash);
	if (parent >= 0 || parent == -ENOMEM)
		return parent;
	return parent == -EACCES ? -EPERM : -ESTALE;
}

int orch_mount_open(const struct orch_mount *m)
{
	const char *name;
	orch_auto(fd) int parent = find_parent(m, &name);

	return parent < 0 ? parent : open_root(parent, name, m->id);
}

int orch_mount_detach(const struct orch_mount *m, bool lazy)
{
	const char *name;
	orch_auto(fd) int parent = find_parent(m, &name);
	char target[sizeof(m->path) + 32];
	int root;

	if (parent < 0)
		return parent;
	root = open_root(parent, name, m->id);
	if (root < 0)
		return root;
	orch_fd_close(root);
	/* Nobody can change what the descriptor is; the last component is the mount itself. */
	snprintf(target, sizeof(target), "/proc/self/fd/%d/%s", parent, name);
	if (umount2(target, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	return errno == EINVAL || errno == ENOENT ? -ESTALE : -errno;
}

int orch_mount_remove(
    uint64_t id, const char *type, const char *source, bool lazy, struct orch_err *err)
{
	struct orch_mount m;
	int r = -ESTALE;

	for (int i = 0; r == -ESTALE && i < TRIES; i++) {
		r = orch_mounts_find_id(id, &m, err);
		if (r < 0)
			return r;
		/* The kernel gives an id again after an unmount. */
		if (r == 0 || strcmp(m.type, type) != 0 || strcmp(m.source, source) != 0)
			return 0;
		r = orch_mount_detach(&m, lazy);
	}
	return r < 0 ? orch_err_sys(err, -r, "unmount %s", m.path) : 0;
}
