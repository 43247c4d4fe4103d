/* The checks of orch-shim doctor: each looks, none changes anything that stays. */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "core/cgroup.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/process.h"
#include "shim/api.h"
#include "shim/doctor.h"
#include "shim/doctor_store.h"
#include "shim/doctor_user.h"
#include "shim/out.h"
#include "shim/socket.h"

#define XFS_MAGIC 0x58465342

#define FOUND(f, ...) snprintf((f)->found, sizeof((f)->found), __VA_ARGS__)

static void set(struct shim_finding *f, bool has, const char *text)
{
	f->health = has ? SHIM_HAS : SHIM_LACKS;
	FOUND(f, "%s", text);
}

static bool kernel_at_least(unsigned major, unsigned minor, struct utsname *u)
{
	unsigned a = 0, b = 0;

	if (uname(u) < 0 || sscanf(u->release, "%u.%u", &a, &b) != 2)
		return false;
	return a > major || (a == major && b >= minor);
}

static bool find_program(const char *name, char out[160])
{
	const char *path = getenv("PATH");

	for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
		size_t n = strcspn(p, ":");

		if (snprintf(out, 160, "%.*s/%s", (int)n, p, name) < 160 && access(out, X_OK) == 0)
			return true;
		p += n + (p[n] == ':');
	}
	return false;
}

static bool can_run(const char *const *argv)
{
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;

	return orch_process_run(argv, &out, orch_deadline_in_ms(10000), NULL) == 0;
}

static bool is_privileged(void)
{
	return geteuid() == 0;
}

/* ---- FUSE */

/* Who mounts: whoever keeps the daemon that answers, else who asks. */
static uid_t mounting_user(struct shim_cli *cli)
{
	orch_auto(json) struct orch_json *daemon = NULL;
	struct orch_err ignored = ORCH_ERR_INIT;
	struct shim_call call = {.method = "GET", .path = "/v1/daemon", .timeout_ms = 3000};
	int64_t uid = geteuid();

	if (shim_call(cli, &call, &daemon, &ignored) == 0)
		(void)!orch_json_get_int(daemon, "uid", &uid, &ignored);
	return (uid_t)uid;
}

static void load_facts(struct shim_cli *cli, struct shim_facts *out)
{
	const char *path = shim_getenv(cli->envp, "PATH");

	*out = (struct shim_facts){.uid = mounting_user(cli)};
	out->others = out->uid != geteuid();
	shim_facts_load(
	    "", path ? path : "/usr/bin:/bin", shim_getenv(cli->envp, "XDG_RUNTIME_DIR"), out);
}

static void look_fuse(struct shim_cli *cli, struct shim_finding *f)
{
	struct shim_facts t;

	load_facts(cli, &t);
	shim_find_fuse(&t, f);
}

static void look_name(struct shim_cli *cli, struct shim_finding *f)
{
	struct shim_facts t;

	load_facts(cli, &t);
	shim_find_name(&t, f);
}

static void look_allow_other(struct shim_cli *cli, struct shim_finding *f)
{
	struct shim_facts t;

	load_facts(cli, &t);
	shim_find_allow_other(&t, f);
}

static void look_mount_max(struct shim_cli *cli, struct shim_finding *f)
{
	struct shim_facts t;

	load_facts(cli, &t);
	shim_find_mount_max(&t, f);
}

static void look_runtime(struct shim_cli *cli, struct shim_finding *f)
{
	struct shim_facts t;

	load_facts(cli, &t);
	shim_find_runtime(&t, f);
}

static void look_files(struct shim_cli *cli, struct shim_finding *f)
{
	struct shim_facts t;

	load_facts(cli, &t);
	shim_find_files(&t, f);
}

/* Of what the kernel lets a daemon of root's do alone. */
static void set_roots(struct shim_cli *cli, struct shim_finding *f, const char *text)
{
	struct shim_facts t;

	load_facts(cli, &t);
	if (t.uid == 0 && t.initial_userns) {
		set(f, true, text);
		return;
	}
	set(f, false, t.uid ? "the daemon is not root's" : "root of this user namespace alone");
	f->roots = true;
}

static void look_libfuse(struct shim_cli *cli, struct shim_finding *f)
{
#ifdef ORCH_FUSE_URING
	f->health = SHIM_HAS;
#endif
	FOUND(f, "built with %s", ORCH_FUSE_VERSION);
}

static void look_passthrough(struct shim_cli *cli, struct shim_finding *f)
{
	struct utsname u;
	bool kernel = kernel_at_least(6, 9, &u);

#ifndef ORCH_FUSE_PASSTHROUGH
	set(f, false,
	    kernel ? "built with a libfuse before 3.17"
		   : "built with a libfuse before 3.17, and Linux is before 6.9");
#else
	if (!kernel)
		FOUND(f, "Linux %s", u.release);
	else
		set_roots(cli, f, "data goes past the daemon");
#endif
}

static void look_views(struct shim_cli *cli, struct shim_finding *f)
{
	struct utsname u;

	if (!kernel_at_least(6, 12, &u))
		FOUND(f, "Linux %s", u.release);
	else
		set_roots(cli, f, "a container's user may be another than the workspace's");
}

static void look_uring(struct shim_cli *cli, struct shim_finding *f)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	if (orch_file_load(AT_FDCWD, "/sys/module/fuse/parameters/enable_uring", &b, NULL) < 0 ||
	    !b.len)
		set(f, false, "this kernel has no FUSE over io_uring, or its module is not loaded");
	else
		set(f, b.data[0] == 'Y' || b.data[0] == '1',
		    b.data[0] == 'N' || b.data[0] == '0' ? "the module's switch is off" : "on");
}

/* ---- the store's file system */

static void default_store(struct shim_cli *cli, char out[256])
{
	const char *env = shim_getenv(cli->envp, "ORCH_STORE");
	const char *data = shim_getenv(cli->envp, "XDG_DATA_HOME"),
		   *home = shim_getenv(cli->envp, "HOME");

	if (env)
		snprintf(out, 256, "%s", env);
	else if (is_privileged())
		snprintf(out, 256, "%s", ORCH_LOCALSTATEDIR "/lib/orch");
	else if (data || home)
		snprintf(out, 256, "%s%s/orch", data ? data : home, data ? "" : "/.local/share");
	else
		snprintf(out, 256, "/tmp/orch-%u/store", (unsigned)geteuid());
}

/* True: a daemon answers, and works on it. */
static bool store_folder(struct shim_cli *cli, char out[256])
{
	orch_auto(json) struct orch_json *answer = NULL;
	struct orch_err ignored = ORCH_ERR_INIT;
	struct shim_call call = {.method = "GET", .path = "/v1/store", .timeout_ms = 3000};

	bool works = shim_call(cli, &call, &answer, &ignored) == 0;

	if (works)
		snprintf(out, 256, "%s", shim_get(answer, "path"));
	else
		default_store(cli, out);
	/* not made yet: what will hold it */
	while (out[0] && access(out, F_OK) < 0 && strrchr(out, '/') && strrchr(out, '/') != out)
		*strrchr(out, '/') = '\0';
	return works;
}

static const char *fs_name(const char *path)
{
	struct statfs s;

	if (statfs(path, &s) < 0)
		return "unknown";
	switch ((unsigned long)s.f_type) {
	case XFS_MAGIC:
		return "xfs";
	case BTRFS_SUPER_MAGIC:
		return "btrfs";
	case EXT4_SUPER_MAGIC:
		return "ext4";
	case TMPFS_MAGIC:
		return "tmpfs";
	case OVERLAYFS_SUPER_MAGIC:
		return "overlay";
	default:
		return "another file system";
	}
}

/* 1: files share extents; 0: they don't; -errno: could not try. */
static int try_reflink(const char *folder)
{
	orch_auto(fd) int from = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	orch_auto(fd) int to = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (from < 0 || to < 0)
		return -errno;
	if (orch_fd_write_all(from, "orch", 4) < 0)
		return -EIO;
	return ioctl(to, FICLONE, from) == 0;
}

static void look_store(struct shim_cli *cli, struct shim_finding *f)
{
	char folder[256];

	if (store_folder(cli, folder)) {
		FOUND(f, "%.100s, in use by the daemon", folder);
		f->health = SHIM_HAS;
		return;
	}
	shim_find_store(folder, f);
}

static void look_reflink(struct shim_cli *cli, struct shim_finding *f)
{
	char folder[256];
	int r;

	(void)store_folder(cli, folder);
	r = try_reflink(folder);
	f->health = r == 1 ? SHIM_HAS : SHIM_LACKS;
	FOUND(f, "%s on %.100s%s", fs_name(folder), folder, r < 0 ? " (not writable for you)" : "");
}

/* ---- running */

/* As an ordinary user's sandbox begins, whoever asks. */
static int try_sandbox(struct orch_err *err)
{
	static const char *const argv[] = {"bwrap", "--ro-bind", "/", "/", "--proc", "/proc",
	    "--dev", "/dev", "--unshare-all", "true", NULL};
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;

	return orch_process_run(argv, &out, orch_deadline_in_ms(10000), err);
}

static void look_sandbox(struct shim_cli *cli, struct shim_finding *f)
{
	struct orch_err err = ORCH_ERR_INIT;
	char where[160];

	if (!find_program("bwrap", where)) {
		set(f, false, "no bwrap");
		return;
	}
	if (try_sandbox(&err) == 0) {
		set(f, true, where);
		return;
	}
	FOUND(f, "%.150s", err.msg);
	for (char *c = f->found; *c; c++) /* what bwrap says may have lines */
		*c = *c == '\n' ? ' ' : *c;
	snprintf(f->mend, sizeof(f->mend), "see user-namespaces");
}

static void look_userns(struct shim_cli *cli, struct shim_finding *f)
{
	static const char *const argv[] = {"unshare", "-Ur", "true", NULL};
	struct shim_facts t;

	load_facts(cli, &t);
	/* with a profile for it, AppArmor lets bwrap do what others may not */
	shim_find_userns(&t, try_sandbox(NULL) == 0 || can_run(argv), f);
}

static void look_cgroups(struct shim_cli *cli, struct shim_finding *f)
{
	int can = orch_cgroup_probe();

	if (can < 0)
		set(f, false, "none can be made");
	else
		FOUND(f, "%s%s%s%s", can ? "limits:" : "made, but without limits",
		    can & ORCH_CGROUP_MEMORY ? " memory" : "", can & ORCH_CGROUP_CPU ? " cpu" : "",
		    can & ORCH_CGROUP_PIDS ? " pids" : "");
	if (can > 0)
		f->health = SHIM_HAS;
}

static void look_cgroup(struct shim_cli *cli, struct shim_finding *f)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	if (orch_file_load(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", &b, NULL) < 0)
		set(f, false, "no cgroup v2 at /sys/fs/cgroup");
	else
		set(f, b.len && strstr((const char *)b.data, "memory"),
		    b.len ? (const char *)b.data : "no controllers");
	f->found[strcspn(f->found, "\n")] = '\0';
}

static void look_engine(struct shim_finding *f, const char *program, const char *socket_path)
{
	char where[160];

	if (access(socket_path, W_OK) == 0)
		set(f, true, socket_path);
	else if (find_program(program, where))
		FOUND(f, "%.80s, but nothing to talk to at %s", where, socket_path);
	else
		FOUND(f, "no %s", program);
}

static void look_docker(struct shim_cli *cli, struct shim_finding *f)
{
	look_engine(f, "docker", "/var/run/docker.sock");
}

static void look_podman(struct shim_cli *cli, struct shim_finding *f)
{
	look_engine(f, "podman", "/run/podman/podman.sock");
}

static void look_git(struct shim_cli *cli, struct shim_finding *f)
{
	char where[160];
	bool ok = find_program("git", where);

	set(f, ok, ok ? where : "no git");
}

static void look_daemon(struct shim_cli *cli, struct shim_finding *f)
{
	struct orch_err err = ORCH_ERR_INIT;
	bool ok = shim_ping(cli, &err) == 0;

	f->health = ok ? SHIM_HAS : SHIM_LACKS;
	FOUND(f, "%.100s%s", cli->socket, ok ? "" : " does not answer");
}

const struct shim_check shim_checks[] = {
    {"fuse", "no workspace can be mounted", "modprobe fuse; apt-get install fuse3", look_fuse},
    {"user-name", "fusermount3 mounts for nobody without a name", NULL, look_name},
    {"allow-other",
	"only its own user enters an ordinary user's mounts: not root, so no container of root's "
	"Docker either",
	"echo user_allow_other >> " ORCH_FUSE_CONF "  # as root; then: orch-fsd --allow-other",
	look_allow_other},
    {"mount-max", "fusermount3 refuses further mounts, of whatever user", NULL, look_mount_max},
    {"runtime-dir",
	"the socket of an ordinary user's daemon lies in /tmp, where others may have made that "
	"folder before",
	NULL, look_runtime},
    {"open-files",
	"a build that has more files of its workspace open at once can't open them; other files "
	"are opened and checked again and again",
	"echo '* hard nofile 1048576' >> /etc/security/limits.conf  # as root, and log in again; "
	"systemd: LimitNOFILE=1048576",
	look_files},
    {"libfuse", "no FUSE over io_uring: a compile takes up to a fifth longer",
	"scripts/bootstrap && ./configure && make", look_libfuse},
    {"passthrough",
	"file data is copied through the mount process: at 128 KiB a call reads had 0.17 to 0.32 "
	"of "
	"the speed, writes 0.18 (docs/performance.md)",
	"run the daemon as root on Linux 6.9 or later", look_passthrough},
    {"views", "a container whose user is not the workspace's owner sees the files of another",
	"run the daemon as root on Linux 6.12 or later, or: orch-shim workspace create --owner "
	"USER",
	look_views},
    {"io_uring",
	"each call of the file system wakes another CPU: a compile takes up to a fifth longer",
	"echo Y > /sys/module/fuse/parameters/enable_uring", look_uring},
    {"store", "a store can't be kept there",
	"choose another place: orch-fsd --store DIR, or ORCH_STORE", look_store},
    {"reflink", "the first write to a file copies it whole; forks of open files too",
	"put the store on xfs or btrfs (orch-fsd --store, ORCH_STORE)", look_reflink},
    {"sandbox", "builds can only run with --provider-strategy local, without isolation",
	"apt-get install bubblewrap", look_sandbox},
    {"user-namespaces", "the sandbox works for root alone", NULL, look_userns},
    {"cgroups",
	"no limits of memory and CPU; a fork or commit does not pause the build while it copies "
	"what is open",
	"systemd-run --user --scope -p Delegate=yes orch-shim build ...", look_cgroups},
    {"cgroup-v2",
	"limits of memory and CPU can't be set; left-over processes are found by other means",
	"boot with systemd.unified_cgroup_hierarchy=1", look_cgroup},
    {"docker", "builds can't run in Docker's containers", "apt-get install docker.io", look_docker},
    {"podman", "builds can't run in Podman's containers", "apt-get install podman", look_podman},
    {"git", "sources can't be fetched", "apt-get install git", look_git},
    {"daemon", "commands but build need one", "orch-fsd --background", look_daemon},
    {NULL, NULL, NULL, NULL},
};
