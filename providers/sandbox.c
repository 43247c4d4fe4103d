/*
 * The provider `sandbox`: the task runs under bubblewrap, in an empty root with the programs of this
 * host read-only and its workspace as the only place that it can change for good. What it gets is
 * listed in the tables below; everything else of the host is not there.
 *
 * Run by root, bubblewrap makes the mounts and orch-init then becomes the workspace's owner and drops
 * every capability: so it needs no user namespaces and reaches workspaces below closed folders. Run
 * by anybody else it is a user namespace in which that user is itself.
 */
#include "providers/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/path.h"
#include "core/process.h"

#define BWRAP	       "bwrap"
#define HOME_INSIDE    "/home/orch"
#define INIT_INSIDE    "/.orch/orch-init"
#define COPY_MAX_BYTES (1 << 20)

/* Folders of programs. On a merged system most are links into /usr, and stay links. */
static const char *const program_folders[] = {
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};

/* What programs look up in /etc, without anything that is a secret of the host. */
static const char *const etc_parts[] = {
    /* the loader, alternatives */
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    /* names and addresses */
    "resolv.conf",
    "hosts",
    "host.conf",
    "gai.conf",
    "nsswitch.conf",
    "protocols",
    "services",
    "networks",
    "rpc",
    "ethertypes",
    /* certificates, not private keys */
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates",
    "ca-certificates.conf",
    "pki/tls/certs",
    "pki/ca-trust",
    "crypto-policies",
    "gnutls",
    /* this system, its time and language */
    "localtime",
    "timezone",
    "os-release",
    "debian_version",
    "redhat-release",
    "lsb-release",
    "issue",
    "locale.alias",
    "locale.conf",
    "default/locale",
    "dpkg",
    "mime.types",
    "magic",
    "magic.mime",
    "terminfo",
    "inputrc",
    "login.defs",
    "shells",
    /* settings of languages and tools */
    "perl",
    "python3",
    "python3.11",
    "python3.12",
    "python3.13",
    "java-17-openjdk",
    "java-21-openjdk",
    "java",
    "mono",
    "fonts",
    "xml",
    "sgml",
    "profile",
    "profile.d",
    "bash.bashrc",
    "texmf",
    "ImageMagick-6",
    "vulkan",
    "OpenCL",
    "glvnd",
};

/* Options that are the same for every task: namespaces, and the places that it has for itself. */
static const char *const namespace_options[] = {
    "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try", "--as-pid-1", NULL};

static const char *const private_places[] = {"--proc", "/proc", "--dev", "/dev", "--perms", "1777",
    "--tmpfs", "/dev/shm", "--perms", "1777", "--tmpfs", "/tmp", "--perms", "0755", "--tmpfs",
    HOME_INSIDE, "--dir", "/run", "--dir", "/var", "--symlink", "../tmp", "/var/tmp", NULL};

/* The last: nothing but the mounts above can be written. */
static const char *const closing_options[] = {"--remount-ro", "/dev", "--remount-ro", "/", NULL};

/* The device nodes are the host's own, and root, their owner, could change their modes: orch-init makes
 * these mounts read-only, which leaves the devices writable (bubblewrap would make them useless). */
static const char *const frozen_devices[] = {"--freeze", "/dev/null", "--freeze", "/dev/zero",
    "--freeze", "/dev/full", "--freeze", "/dev/random", "--freeze", "/dev/urandom", "--freeze",
    "/dev/tty", NULL};

/* What orch-init needs until it has become the owner. */
static const char *const root_capabilities[] = {"--cap-drop", "ALL", "--cap-add", "CAP_SETUID",
    "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP", "--cap-add", "CAP_CHOWN", "--cap-add",
    "CAP_SYS_ADMIN", NULL};

static int add(struct orch_strv *argv, const char *option, const char *a, const char *b)
{
	int r = orch_strv_add(argv, option);

	if (r == 0)
		r = orch_strv_add(argv, a);
	if (r == 0 && b)
		r = orch_strv_add(argv, b);
	return r;
}

/* The folders above path, open to everybody: bubblewrap would make them for its own user only. */
static int add_parents(struct orch_strv *argv, const char *path)
{
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/'))
		if (add(argv, "--perms", "0755", "--dir") < 0 ||
		    orch_strv_addf(argv, "%.*s", (int)(slash - path), path) < 0)
			return -ENOMEM;
	return 0;
}

static int add_bind(struct orch_strv *argv, bool read_only, const char *host, const char *inside)
{
	int r = add_parents(argv, inside);

	return r < 0 ? r : add(argv, read_only ? "--ro-bind" : "--bind", host, inside);
}

static int add_programs(struct orch_strv *argv)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(program_folders); i++) {
		const char *path = program_folders[i];
		char target[PATH_MAX];
		ssize_t n = readlink(path, target, sizeof(target) - 1);

		if (n > 0) {
			target[n] = '\0';
			r = add(argv, "--symlink", target, path);
		} else if (access(path, F_OK) == 0) {
			r = add_bind(argv, true, path, path);
		}
	}
	return r;
}

/* What reads from the descriptor becomes a file of the read-only root: a mount for each would cost
 * 0.2 ms, since bubblewrap reads the table of mounts for every one. */
static int add_file(struct prv_host_command *c, int fd, const char *path)
{
	if (fd < 0)
		return fd;
	if (add_parents(&c->argv, path) < 0 || add(&c->argv, "--perms", "0644", NULL) < 0 ||
	    orch_strv_add(&c->argv, "--file") < 0 || orch_strv_addf(&c->argv, "%d", fd) < 0)
		return -ENOMEM;
	return orch_strv_add(&c->argv, path);
}

static int add_etc_part(struct prv_host_command *c, const char *path)
{
	struct stat st;

	if (access(path, R_OK) < 0 || stat(path, &st) < 0)
		return 0;
	if (S_ISREG(st.st_mode) && st.st_size <= COPY_MAX_BYTES)
		return add_file(c, prv_host_keep(c, open(path, O_RDONLY | O_CLOEXEC)), path);
	return add_bind(&c->argv, true, path, path);
}

static int add_etc(struct prv_host_command *c)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(etc_parts); i++) {
		char path[128];

		snprintf(path, sizeof(path), "/etc/%s", etc_parts[i]);
		r = add_etc_part(c, path);
	}
	return r;
}

static int add_text(struct prv_host_command *c, const struct orch_buf *text, const char *path)
{
	int fd = text->failed ? -ENOMEM : prv_host_data(c, text->data, text->len);

	return fd < 0 ? fd : add_file(c, fd, path);
}

/* The users of this host are none of the task's business: root, the owner, nobody. */
static int add_users(struct prv_host_command *c, const struct prv_task *t)
{
	orch_auto(buf) struct orch_buf users = ORCH_BUF_INIT, groups = ORCH_BUF_INIT;
	const struct passwd *pw = getpwuid(t->uid);
	const struct group *gr = getgrgid(t->gid);
	const char *user = pw ? pw->pw_name : "orch", *group = gr ? gr->gr_name : "orch";
	int r;

	orch_buf_printf(
	    &users, "root:x:0:0:root:%s:/bin/sh\n", t->uid == 0 ? HOME_INSIDE : "/root");
	orch_buf_printf(&groups, "root:x:0:\ntty:x:5:\n");
	if (t->uid != 0)
		orch_buf_printf(&users, "%s:x:%u:%u::" HOME_INSIDE ":/bin/sh\n", user,
		    (unsigned)t->uid, (unsigned)t->gid);
	if (t->gid != 0)
		orch_buf_printf(&groups, "%s:x:%u:\n", group, (unsigned)t->gid);
	orch_buf_add_str(&users, "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
	orch_buf_add_str(&groups, "nogroup:x:65534:\n");
	r = add_text(c, &users, "/etc/passwd");
	return r < 0 ? r : add_text(c, &groups, "/etc/group");
}

static bool is_process(const char *name)
{
	return name[0] >= '0' && name[0] <= '9';
}

/*
 * Who is root may write kernel settings below /proc without any capability, and with core_pattern run
 * a program of its own outside: everything there that belongs to no process is made read-only.
 */
static int add_kernel_settings(struct orch_strv *argv)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	int r = 0;

	if (!proc)
		return -errno;
	while (r == 0 && (d = readdir(proc))) {
		char path[300];
		struct stat st;

		if (d->d_name[0] == '.' || is_process(d->d_name) ||
		    fstatat(dirfd(proc), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s", d->d_name);
		if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && (st.st_mode & 0222)))
			r = add(argv, "--ro-bind", path, path);
	}
	closedir(proc);
	return r;
}

static int add_identity(struct orch_strv *argv, const struct prv_task *t)
{
	if (geteuid() == 0)
		return orch_strv_add_all(argv, root_capabilities);
	if (orch_strv_add(argv, "--unshare-user") < 0 || orch_strv_add(argv, "--uid") < 0 ||
	    orch_strv_addf(argv, "%u", (unsigned)t->uid) < 0 || orch_strv_add(argv, "--gid") < 0 ||
	    orch_strv_addf(argv, "%u", (unsigned)t->gid) < 0)
		return -ENOMEM;
	return add(argv, "--cap-drop", "ALL", NULL);
}

static int add_mounts(struct orch_strv *argv, const struct prv_task *t, const char *inside)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->mount_count; i++)
		r = add_bind(argv, t->mounts[i].read_only, t->mounts[i].host, t->mounts[i].inside);
	return r < 0 ? r : add_bind(argv, false, t->workspace, inside);
}

/* All up to orch-init. */
static int add_sandbox(
    struct prv_host_command *c, const struct prv_task *t, const char *init, const char *inside)
{
	struct orch_strv *argv = &c->argv;
	int r = orch_strv_add(argv, BWRAP);

	if (r == 0)
		r = orch_strv_add_all(argv, namespace_options);
	if (r == 0 && !t->network)
		r = orch_strv_add(argv, "--unshare-net");
	if (r == 0)
		r = add_identity(argv, t);
	if (r == 0)
		r = add_programs(argv);
	if (r == 0)
		r = add_etc(c);
	if (r == 0)
		r = add_users(c, t);
	if (r == 0)
		r = orch_strv_add_all(argv, private_places);
	if (r == 0)
		r = add_kernel_settings(argv);
	if (r == 0)
		r = add_mounts(argv, t, inside);
	if (r == 0)
		r = add_bind(argv, true, init, INIT_INSIDE);
	if (r == 0)
		r = orch_strv_add_all(argv, closing_options);
	return r < 0 ? r : orch_strv_add(argv, "--");
}

static int add_init(
    struct prv_host_command *c, const struct prv_task *t, const char *cwd, struct orch_err *err)
{
	orch_auto(strv) struct orch_strv options = ORCH_STRV_INIT;
	int r = orch_strv_add(&options, "--drop-capabilities");

	if (r == 0 && geteuid() == 0)
		r = orch_strv_add_all(&options, frozen_devices);
	if (r == 0 && geteuid() == 0 &&
	    (orch_strv_add(&options, "--uid") < 0 ||
		orch_strv_addf(&options, "%u", (unsigned)t->uid) < 0 ||
		orch_strv_add(&options, "--gid") < 0 ||
		orch_strv_addf(&options, "%u", (unsigned)t->gid) < 0 ||
		add(&options, "--own", HOME_INSIDE, NULL) < 0))
		r = -ENOMEM;
	if (r == 0)
		r = prv_host_add_init(
		    c, t, INIT_INSIDE, cwd, (const char *const *)orch_strv_argv(&options));
	return r < 0 ? orch_err_sys(err, -r, "cannot start the task %s", t->run) : 0;
}

static int sandbox_build(
    struct prv_host *h, const struct prv_task *t, struct prv_host_command *c, struct orch_err *err)
{
	const char *inside = t->workspace_inside ? t->workspace_inside : PRV_WORKSPACE_INSIDE;
	orch_auto(free) char *init = prv_host_init_program(err);
	orch_auto(free) char *cwd = NULL;
	int r;

	(void)h;
	if (!init)
		return -ENOENT;
	if (asprintf(&cwd, "%s%s%s", inside, t->cwd ? "/" : "", t->cwd ? t->cwd : "") < 0)
		return orch_err_sys(err, ENOMEM, "cannot start the task %s", t->run);
	r = add_sandbox(c, t, init, inside);
	if (r < 0)
		return orch_err_sys(err, -r, "cannot start the task %s", t->run);
	return add_init(c, t, cwd, err);
}

/* Tries what every task needs, on `true`. */
static int try_bwrap(struct orch_err *err)
{
	static const char *const as_root[] = {BWRAP, "--unshare-ipc", "--unshare-pid", "--as-pid-1",
	    "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--", "true", NULL};
	static const char *const as_user[] = {BWRAP, "--unshare-user", "--unshare-ipc",
	    "--unshare-pid", "--as-pid-1", "--ro-bind", "/", "/", "--proc", "/proc", "--dev",
	    "/dev", "--", "true", NULL};
	int r = orch_process_run(
	    geteuid() == 0 ? as_root : as_user, NULL, orch_deadline_in_ms(5000), err);

	if (r == -ENOENT)
		return orch_err_set(err, ENOPKG,
		    "bubblewrap (the program " BWRAP
		    ") is not installed: apt-get install bubblewrap");
	if (r < 0)
		orch_err_wrap(err, "the sandbox does not work here");
	return r;
}

static int sandbox_setup(struct prv *p, struct orch_err *err)
{
	orch_auto(free) char *program = prv_host_init_program(err);

	(void)p;
	return program ? try_bwrap(err) : -ENOENT;
}

/* A program that is missing is told before anything is made. */
static int sandbox_submit(
    struct prv *p, const struct prv_task *t, char **out_handle, struct orch_err *err)
{
	int r = prv_host_submit(p, t, out_handle, err);

	if (r == -ENOENT && err && strstr(err->msg, BWRAP))
		return orch_err_set(err, ENOPKG,
		    "bubblewrap (the program " BWRAP
		    ") is not installed: apt-get install bubblewrap");
	return r;
}

static int sandbox_probe(struct prv *p, struct prv_probe *out, struct orch_err *err)
{
	struct orch_err why = ORCH_ERR_INIT;
	bool works = sandbox_setup(p, &why) == 0;

	(void)err;
	prv_host_probe((const struct prv_host *)p, out);
	prv_probe_set(out, PRV_FEATURE_RUN, works, "%s", why.msg);
	prv_probe_set(out, PRV_FEATURE_ISOLATION, works, "%s", why.msg);
	prv_probe_set(out, PRV_FEATURE_NETWORK_OFF, works, "%s", why.msg);
	prv_probe_set(out, PRV_FEATURE_TREE_KILL, works, "%s", why.msg);
	return 0;
}

int prv_sandbox_open(const struct prv_config *config, struct prv **out, struct orch_err *err)
{
	struct prv_host *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return orch_err_sys(err, ENOMEM, "cannot open the provider sandbox");
	h->base.ops = &prv_sandbox_ops;
	h->build = sandbox_build;
	h->home = HOME_INSIDE;
	r = prv_host_open(h, config, err);
	if (r < 0) {
		free(h);
		return r;
	}
	*out = &h->base;
	return 0;
}

static const char *const sandbox_aliases[] = {"bubblewrap", "bwrap", NULL};

const struct prv_ops prv_sandbox_ops = {
    .name = "sandbox",
    .aliases = sandbox_aliases,
    .probe = sandbox_probe,
    .setup = sandbox_setup,
    .submit = sandbox_submit,
    .attach = prv_host_attach,
    .poll = prv_host_poll,
    .cancel = prv_host_cancel,
    .fetch = prv_host_fetch,
    .cleanup = prv_host_cleanup,
    .gc = prv_host_gc,
    .list = prv_host_list,
    .close = prv_host_close,
};
