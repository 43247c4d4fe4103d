/*
 * What a task in the sandbox can see and do: as root's own, as that of another user whom root runs it
 * for, and run by an ordinary user. Each case is a line of shell that must print "ok".
 */
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/fd.h"
#include "providers/provider.h"

#define STRANGER 12345

static char folder[64], workspace[96], secret[96];

static int take_log(void *priv, const void *p, size_t n)
{
	return orch_buf_add(priv, p, n);
}

static struct prv *open_sandbox(void)
{
	struct prv_config config = {.state_dir = NULL};
	struct prv *p = NULL;

	assert_int_equal(prv_open("sandbox", &config, &p, NULL), 0);
	return p;
}

static struct prv_task task_of(const char *const *argv, struct orch_buf *log)
{
	static const char *const env[] = {
	    "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TOKEN=of-the-task", NULL};
	static unsigned counter;
	static char run[32];

	snprintf(run, sizeof(run), "confined-%u", counter++);
	return (struct prv_task){
	    .run = run,
	    .argv = argv,
	    .env = env,
	    .workspace = workspace,
	    .network = false,
	    .uid = geteuid(),
	    .gid = getegid(),
	    .sink = {take_log, log},
	    .deadline_ns = orch_deadline_in_ms(30000),
	    .cancel_fd = -1,
	    .grace_ms = 1000,
	};
}

struct check {
	const char *what, *shell;
};

static const struct check checks[] = {
    {"no capability of any kind",
	"grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | grep -vqE '\\s0+$' || echo ok"},
    {"no capability in process 1",
	"grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/1/status | grep -vqE '\\s0+$' || echo ok"},
    {"no new privileges", "grep -q '^NoNewPrivs:.1' /proc/self/status && echo ok"},
    {"the first process is orch-init", "[ \"$(cat /proc/1/comm)\" = orch-init ] && echo ok"},
    {"orch-init can't be looked into", "cat /proc/1/environ >/dev/null 2>&1 || echo ok"},
    {"orch-init can't be killed", "kill -9 1 2>/dev/null; sleep 0.1; echo ok"},
    {"the workspace can be written",
	"echo x >file && [ -O file ] && [ \"$(pwd)\" = /github/workspace ] && echo ok"},
    {"nothing else can be written",
	"for d in / /usr /usr/bin /etc /home /run /var /dev /bin /github /.orch /proc; do "
	"touch $d/x 2>/dev/null && exit; done; echo x 2>/dev/null >>/etc/hosts && exit; echo ok"},
    {"temporary places can be written", "for d in /tmp /var/tmp /dev/shm \"$HOME\"; do touch $d/x "
					"|| exit; done; [ \"$HOME\" = /home/orch ] && echo ok"},
    {"the private places are empty",
	"[ -z \"$(ls -A /tmp /dev/shm /run \"$HOME\" | grep -v : | tr -d '\\n')\" ] && echo ok"},
    {"the root can't be mounted writable", "mount -o remount,rw / 2>/dev/null || echo ok"},
    {"programs can't be mounted writable", "mount -o remount,rw,bind /usr 2>/dev/null || echo ok"},
    {"nor in a namespace of its own",
	"unshare -Urm sh -c 'mount -o remount,rw,bind /usr || mount -o remount,rw / || umount "
	"/proc/sys' 2>/dev/null || echo ok"},
    {"no new /proc in a namespace of its own",
	"unshare -Urmpf sh -c 'mount -t proc proc /tmp && [ -w /tmp/sys/kernel/core_pattern ]' "
	"2>/dev/null || echo ok"},
    {"no /sys in a namespace of its own",
	"unshare -Urmn sh -c 'mount -t sysfs sysfs /tmp && find /tmp/kernel /tmp/module -type f "
	"-writable | grep -q .' 2>/dev/null || echo ok"},
    {"no device can be made", "mknod /tmp/d b 8 0 2>/dev/null || echo ok"},
    {"no other process is seen", "[ $(ls -d /proc/[0-9]* | wc -l) -le 6 ] && echo ok"},
    {"no home of root", "ls /root 2>/dev/null || echo ok"},
    {"no home of others", "[ \"$(ls /home)\" = orch ] && echo ok"},
    {"nothing of /run", "[ -z \"$(ls -A /run)\" ] && echo ok"},
    {"nothing beside the workspace",
	"[ \"$(ls /github)\" = workspace ] && ls \"$SECRET\" 2>/dev/null || echo ok"},
    {"no kernel setting can be written",
	"find /proc -maxdepth 4 -path '/proc/[0-9]*' -prune -o -type f -writable -print "
	"2>/dev/null | grep -q . || echo ok"},
    {"the host's devices can't be changed", "for f in /dev/null /dev/zero /dev/full /dev/random "
					    "/dev/urandom /dev/tty /proc/self/fd/0; do "
					    "chmod 666 $f 2>/dev/null && exit; done; echo x "
					    ">/dev/null && head -c 3 /dev/zero | wc -c | "
					    "grep -q 3 && echo ok"},
    {"no shadow, no private key",
	"ls /etc/shadow /etc/gshadow /etc/ssl/private /etc/ssh 2>/dev/null | grep -q . || echo ok"},
    {"users are root, the owner, nobody",
	"[ $(wc -l </etc/passwd) -le 3 ] && id -un >/dev/null && echo ok"},
    {"no network but its own", "[ \"$(ls /sys/class/net 2>/dev/null; tail -n +3 /proc/net/dev | "
			       "cut -d: -f1 | tr -d ' ')\" = lo ] && echo ok"},
    {"standard output can be opened again", "echo ok >/dev/stdout"},
    {"no descriptor is inherited",
	"[ \"$(ls /proc/self/fd | tr '\\n' ' ')\" = '0 1 2 3 ' ] && echo ok"},
    {"no control group file system", "ls /sys/fs/cgroup 2>/dev/null | grep -q . || echo ok"},
    {"the environment is what was given",
	"[ \"$(env | cut -d= -f1 | grep -vE "
	"'^(PATH|TOKEN|HOME|USER|LOGNAME|PWD|OLDPWD|SHLVL|_)$')\" = '' ] && echo ok"},
};

/* All checks as `uid`; how many failed, the first of them printed. */
static int failed_checks(uid_t uid, gid_t gid)
{
	struct prv *p = open_sandbox();
	int failed = 0;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(checks); i++) {
		const char *argv[] = {"sh", "-c", checks[i].shell, NULL};
		orch_auto(buf) struct orch_buf log = ORCH_BUF_INIT;
		struct orch_err err = ORCH_ERR_INIT;
		struct prv_task t = task_of(argv, &log);
		struct prv_result r = {.message = ""};

		t.uid = uid;
		t.gid = gid;
		if (prv_run(p, &t, &r, &err) == 0 && log.data &&
		    strcmp((char *)log.data, "ok\n") == 0)
			continue;
		printf("# %s: %s%s%s\n", checks[i].what, log.data ? (char *)log.data : "", err.msg,
		    r.message);
		failed++;
	}
	prv_close(p);
	return failed;
}

static int setup(void **state)
{
	char name[128];
	int fd;

	snprintf(folder, sizeof(folder), "/tmp/orch-confined-XXXXXX");
	if (!mkdtemp(folder)) /* 0700: closed to the owner of the workspace */
		return -1;
	snprintf(workspace, sizeof(workspace), "%s/work space", folder);
	snprintf(secret, sizeof(secret), "%s/secret", folder);
	snprintf(name, sizeof(name), "%s/file", secret);
	if (mkdir(workspace, 0755) < 0 || mkdir(secret, 0755) < 0)
		return -1;
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	close(fd);
	return fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	return orch_remove_tree(AT_FDCWD, folder, NULL);
}

static void as_who_runs_it(void **state)
{
	assert_int_equal(failed_checks(geteuid(), getegid()), 0);
}

static void as_another_owner(void **state)
{
	struct stat st;
	char name[128];

	if (geteuid() != 0) {
		print_message("# only root runs tasks for others\n");
		skip();
	}
	assert_int_equal(chown(workspace, STRANGER, STRANGER), 0);
	assert_int_equal(failed_checks(STRANGER, STRANGER), 0);
	snprintf(name, sizeof(name), "%s/file", workspace);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_uid, STRANGER);
	assert_int_equal(st.st_gid, STRANGER);
}

/* orch-init where the ordinary user can reach it: the build may be below a closed folder. */
static void init_to_folder(void)
{
	char from[4200], to[128];
	int a, b;

	snprintf(from, sizeof(from), "%s/orch-init", getenv("ORCH_LIBEXECDIR"));
	snprintf(to, sizeof(to), "%s/orch-init", folder);
	a = open(from, O_RDONLY | O_CLOEXEC);
	b = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	assert_int_equal(orch_fd_clone_or_copy(a, b, NULL, NULL, NULL), 0);
	close(a);
	close(b);
}

static void by_an_ordinary_user(void **state)
{
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("# as_who_runs_it shows it\n");
		skip();
	}
	init_to_folder();
	assert_int_equal(chown(folder, STRANGER, STRANGER), 0);
	assert_int_equal(chown(workspace, STRANGER, STRANGER), 0);
	pid = fork();
	if (pid == 0) {
		struct orch_err err = ORCH_ERR_INIT;
		struct prv *p;

		if (setgroups(0, NULL) < 0 || setgid(STRANGER) < 0 || setuid(STRANGER) < 0)
			_exit(100);
		setenv("ORCH_LIBEXECDIR", folder, 1);
		p = open_sandbox();
		if (p->ops->setup(p, &err) < 0) {
			printf("# %s\n", err.msg);
			_exit(101);
		}
		prv_close(p);
		_exit(failed_checks(STRANGER, STRANGER));
	}
	waitpid(pid, &status, 0);
	if (WEXITSTATUS(status) == 101)
		skip(); /* no user namespaces for users here */
	assert_int_equal(status, 0);
}

static struct prv_result run_one(const char *shell, struct orch_buf *log, bool network)
{
	const char *argv[] = {"sh", "-c", shell, NULL};
	struct prv_task t = task_of(argv, log);
	struct prv *p = open_sandbox();
	struct orch_err err = ORCH_ERR_INIT;
	struct prv_result r;

	t.network = network;
	if (prv_run(p, &t, &r, &err) < 0)
		fail_msg("%s", err.msg);
	prv_close(p);
	return r;
}

static void the_network_can_stay_on(void **state)
{
	orch_auto(buf) struct orch_buf log = ORCH_BUF_INIT;
	char here[64], there[96], script[128];
	ssize_t n = readlink("/proc/self/ns/net", here, sizeof(here) - 1);

	here[n > 0 ? n : 0] = '\0';
	/* A bare chroot has not all of them. */
	snprintf(script, sizeof(script),
	    "readlink /proc/self/ns/net; ls %s %s >/dev/null && echo names",
	    access("/etc/resolv.conf", R_OK) ? "" : "/etc/resolv.conf",
	    access("/etc/hosts", R_OK) ? "" : "/etc/hosts");
	run_one(script, &log, true);
	snprintf(there, sizeof(there), "%s\nnames\n", here);
	assert_string_equal((char *)log.data, there);
}

/* While it runs, what others on the host can read of its processes. */
static void no_secret_is_on_a_command_line(void **state)
{
	orch_auto(buf) struct orch_buf log = ORCH_BUF_INIT;
	const char *argv[] = {"sleep", "98771", NULL};
	struct prv_task t = task_of(argv, &log);
	struct prv *p = open_sandbox();
	orch_auto(free) char *handle = NULL;

	assert_int_equal(p->ops->submit(p, &t, &handle, NULL), 0);
	assert_int_equal(
	    p->ops->attach(p, handle, 0, NULL, orch_deadline_in_ms(500), -1, NULL), -ETIMEDOUT);
	assert_int_equal(WEXITSTATUS(system("pgrep -f 'sleep 9877[1]' >/dev/null")), 0);
	assert_int_equal(
	    WEXITSTATUS(system("cat /proc/[0-9]*/cmdline 2>/dev/null | grep -qa 'of-the-tas[k]'")),
	    1);
	prv_close(p);
}

static void mounts_are_given_by_name(void **state)
{
	const char *argv[] = {"sh", "-c",
	    "cat /opt/tool/file && ! touch /opt/tool/x 2>/dev/null && touch /data/y && echo ok",
	    NULL};
	struct prv_mount mounts[] = {{.host = secret, .inside = "/opt/tool", .read_only = true},
	    {.host = secret, .inside = "/data"}};
	orch_auto(buf) struct orch_buf log = ORCH_BUF_INIT;
	struct prv_task t = task_of(argv, &log);
	struct prv *p = open_sandbox();
	struct prv_result r;

	assert_int_equal(chmod(secret, 0777), 0);
	t.mounts = mounts;
	t.mount_count = 2;
	assert_int_equal(prv_run(p, &t, &r, NULL), 0);
	assert_string_equal((char *)log.data, "ok\n");
	mounts[1].host = "/no/such/folder";
	assert_int_equal(prv_run(p, &t, &r, NULL), -EINVAL);
	prv_close(p);
}

static void a_missing_program_is_infrastructure(void **state)
{
	orch_auto(buf) struct orch_buf log = ORCH_BUF_INIT;
	char *path = strdup(getenv("PATH")), *libexec = strdup(getenv("ORCH_LIBEXECDIR"));
	struct prv_result r;

	setenv("PATH", "/nowhere", 1);
	r = run_one("exit 0", &log, true);
	setenv("PATH", path, 1);
	assert_int_equal(r.outcome, PRV_INFRASTRUCTURE_ERROR);
	assert_non_null(strstr(r.message, "apt-get install bubblewrap"));
	setenv("ORCH_LIBEXECDIR", "/nowhere", 1);
	r = run_one("exit 0", &log, true);
	setenv("ORCH_LIBEXECDIR", libexec, 1);
	assert_int_equal(r.outcome, PRV_INFRASTRUCTURE_ERROR);
	assert_non_null(strstr(r.message, "orch-init"));
	free(path);
	free(libexec);
}

/* What bubblewrap itself says is the reason, and no part of the log. */
static void a_sandbox_that_fails_is_infrastructure(void **state)
{
	const char *argv[] = {"true", NULL};
	orch_auto(buf) struct orch_buf log = ORCH_BUF_INIT;
	struct prv_task t = task_of(argv, &log);
	struct prv *p = open_sandbox();
	struct prv_result r;

	t.workspace_inside = "/usr/bin/sh/below/a/file";
	assert_int_equal(prv_run(p, &t, &r, NULL), 0);
	assert_int_equal(r.outcome, PRV_INFRASTRUCTURE_ERROR);
	assert_non_null(strstr(r.message, "bwrap:"));
	assert_int_equal(log.len, 0);
	prv_close(p);
}

/* In a child that has a terminal: what the task does there comes back on our end of it. */
static void interact(const char *shell, const char *typed, const char *want)
{
	char text[4096] = "";
	size_t len = 0;
	int terminal, status;
	pid_t pid = forkpty(&terminal, NULL, NULL, NULL);

	if (pid == 0) {
		const char *argv[] = {"sh", "-c", shell, NULL};
		struct prv_task t = task_of(argv, NULL);
		struct prv *p = open_sandbox();
		struct prv_result r;

		t.interactive = true;
		if (prv_run(p, &t, &r, NULL) < 0)
			_exit(99);
		prv_close(p);
		/* the terminal is ours again */
		_exit(tcgetpgrp(0) == getpgrp() ? r.signal ? 128 + r.signal : r.exit_code : 98);
	}
	while (len < sizeof(text) - 1) {
		ssize_t n = read(terminal, text + len, sizeof(text) - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
		text[len] = '\0';
		if (typed && strstr(text, "ready")) {
			assert_int_equal(orch_fd_write_all(terminal, typed, strlen(typed)), 0);
			typed = NULL;
		}
	}
	waitpid(pid, &status, 0);
	close(terminal);
	snprintf(text + len, sizeof(text) - len, "[%d]", WEXITSTATUS(status));
	if (!strstr(text, want))
		fail_msg("no '%s' in '%s'", want, text);
}

static void a_terminal_is_handed_over_and_back(void **state)
{
	interact(
	    "test -t 0 && test -t 1 && test -t 2 && echo all three; exit 7", NULL, "all three");
	interact("test -t 0; exit 7", NULL, "[7]");
	interact("echo ready; read x; echo \"got <$x>\"", "word\n", "got <word>");
	/* no shell: it may put a signal off that comes just before it starts a command */
	interact("exec perl -e '$|=1; print \"ready\\n\"; sleep 30'", "\003", "[130]");
	interact("echo ready; sleep 1; exit 5", "\032", "[5]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(as_who_runs_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(as_another_owner, setup, teardown),
	    cmocka_unit_test_setup_teardown(by_an_ordinary_user, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_network_can_stay_on, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_secret_is_on_a_command_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(mounts_are_given_by_name, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_terminal_is_handed_over_and_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_missing_program_is_infrastructure, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		a_sandbox_that_fails_is_infrastructure, setup, teardown),
	};
	char path[4096];

	snprintf(
	    path, sizeof(path), "%s/shim", getenv("top_builddir") ? getenv("top_builddir") : ".");
	setenv("ORCH_LIBEXECDIR", path, 0);
	return tap_run(tests);
}
