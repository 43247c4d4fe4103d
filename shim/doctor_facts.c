/* See doctor_facts.h. */
#include "shim/doctor_facts.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "core/buf.h"
#include "core/fd.h"
#include "core/number.h"

#define CAP_SYS_ADMIN_BIT 21
#define TEXT_MAX	  (1 << 20)

/* The file as a string; "" when it can't be read. */
static char *load(const char *root, const char *path)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	char name[512];

	orch_buf_init(&b, TEXT_MAX);
	if (snprintf(name, sizeof(name), "%s%s", root, path) >= (int)sizeof(name) ||
	    orch_file_load(AT_FDCWD, name, &b, NULL) < 0)
		return strdup("");
	return orch_buf_take_str(&b);
}

static int64_t load_switch(const char *root, const char *path)
{
	orch_auto(free) char *text = load(root, path);
	uint64_t n;

	if (!text || orch_number_parse(text, strcspn(text, "\n"), INT64_MAX, &n) < 0)
		return SHIM_NO_SWITCH;
	return (int64_t)n;
}

/* The value of a line "name:\tvalue" of /proc/self/status; "" when there is none. */
static const char *status_field(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; p && *p; p = strchr(p, '\n'), p += p != NULL)
		if (strncmp(p, name, n) == 0 && p[n] == ':')
			return p + n + 1 + strspn(p + n + 1, " \t");
	return "";
}

static void load_status(const char *root, struct shim_facts *out)
{
	orch_auto(free) char *text = load(root, "/proc/self/status");
	unsigned long long caps = 0;

	if (!text)
		return;
	(void)sscanf(status_field(text, "CapEff"), "%llx", &caps);
	out->admin = caps >> CAP_SYS_ADMIN_BIT & 1;
	out->no_new_privs = status_field(text, "NoNewPrivs")[0] == '1';
}

/* It maps all ids to themselves. */
static void load_userns(const char *root, struct shim_facts *out)
{
	orch_auto(free) char *text = load(root, "/proc/self/uid_map");
	unsigned long first = 1, outside = 1, count = 0;

	out->initial_userns = text && sscanf(text, "%lu %lu %lu", &first, &outside, &count) == 3 &&
			      first == 0 && outside == 0 && count == UINT32_MAX;
}

/* Lines of /proc/self/mounts: source place type options. */
static unsigned count_fuse(char *text)
{
	unsigned n = 0;
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n"))) {
		const char *type;

		(void)strsep(&line, " ");
		(void)strsep(&line, " ");
		type = line ? strsep(&line, " ") : "";
		n += strcmp(type, "fuse") == 0 || strncmp(type, "fuse.", 5) == 0;
	}
	return n;
}

static void load_mounts(const char *root, struct shim_facts *out)
{
	orch_auto(free) char *text = load(root, "/proc/self/mounts");

	out->fuse_mounts = text ? count_fuse(text) : 0;
}

static void load_fusermount(const char *path, struct shim_facts *out)
{
	struct statvfs fs;
	struct stat st;

	for (const char *p = path; *p;) {
		size_t n = strcspn(p, ":");
		int len = snprintf(out->fusermount.path, sizeof(out->fusermount.path),
		    "%.*s/fusermount3", (int)n, p);

		if (len < (int)sizeof(out->fusermount.path) &&
		    stat(out->fusermount.path, &st) == 0 && S_ISREG(st.st_mode)) {
			out->fusermount.setuid = st.st_uid == 0 && (st.st_mode & S_ISUID);
			out->fusermount.runs = access(out->fusermount.path, X_OK) == 0;
			out->fusermount.nosuid =
			    statvfs(out->fusermount.path, &fs) == 0 && (fs.f_flag & ST_NOSUID);
			return;
		}
		p += n + (p[n] == ':');
	}
	out->fusermount.path[0] = '\0';
}

static void load_device(const char *root, struct shim_facts *out)
{
	char name[512];
	int fd;

	snprintf(name, sizeof(name), "%s/dev/fuse", root);
	fd = open(name, O_RDWR | O_CLOEXEC);
	out->device_errno = fd < 0 ? errno : 0;
	orch_fd_close(fd);
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && access(path, W_OK | X_OK) == 0;
}

void shim_facts_load(
    const char *root, const char *path, const char *runtime, struct shim_facts *out)
{
	struct rlimit files = {0};
	char conf[512];

	snprintf(conf, sizeof(conf), "%s%s", root, ORCH_FUSE_CONF);
	orch_fuse_conf_load(conf, &out->conf);
	load_status(root, out);
	load_userns(root, out);
	load_mounts(root, out);
	load_device(root, out);
	load_fusermount(path, out);
	out->has_name = getpwuid(getuid()) != NULL;
	out->userns_max = load_switch(root, "/proc/sys/user/max_user_namespaces");
	out->userns_clone = load_switch(root, "/proc/sys/kernel/unprivileged_userns_clone");
	out->userns_apparmor =
	    load_switch(root, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
	out->files_max = getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_max : 0;
	out->runtime = runtime;
	out->runtime_works = runtime && is_folder(runtime);
}
