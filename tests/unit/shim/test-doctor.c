/* What doctor makes of what it read: which lack it names, and the line that mends it. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/fd.h"
#include "shim/doctor_store.h"
#include "shim/doctor_user.h"

/* Of an ordinary user who lacks nothing. */
static struct shim_facts all(void)
{
	return (struct shim_facts){.uid = 1234,
	    .has_name = true,
	    .fusermount = {.path = "/usr/bin/fusermount3", .runs = true, .setuid = true},
	    .conf = {.user_allow_other = true, .mount_max = 1000},
	    .userns_max = 1000,
	    .userns_clone = SHIM_NO_SWITCH,
	    .userns_apparmor = SHIM_NO_SWITCH,
	    .files_max = 20000,
	    .runtime = "/run/user/1234",
	    .runtime_works = true};
}

typedef void (*find_fn)(const struct shim_facts *t, struct shim_finding *out);

static void expect(find_fn find, const struct shim_facts *t, enum shim_health health,
    const char *found, const char *mend)
{
	struct shim_finding f = {.health = SHIM_LACKS};

	find(t, &f);
	if (f.health != health || !strstr(f.found, found) || (mend && !strstr(f.mend, mend)))
		fail_msg("%d '%s' '%s', not %d '%s' '%s'", f.health, f.found, f.mend, health, found,
		    mend ? mend : "");
}

static void nothing_lacks(void **state)
{
	static const find_fn finds[] = {shim_find_fuse, shim_find_name, shim_find_allow_other,
	    shim_find_mount_max, shim_find_runtime, shim_find_files};
	struct shim_facts user = all(), root = {.admin = true, .files_max = 20000};
	struct shim_facts member = {.others = true, .files_max = 20000, .device_errno = EACCES};

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(finds); i++) {
		expect(finds[i], &user, SHIM_HAS, "", NULL);
		expect(finds[i], &root, SHIM_HAS, "", NULL);
		expect(finds[i], &member, SHIM_HAS, "", NULL);
	}
}

static void fuse_needs_a_device(void **state)
{
	struct shim_facts t = all();

	(void)state;
	t.device_errno = ENOENT;
	expect(shim_find_fuse, &t, SHIM_NEEDS, "/dev/fuse: No such file", "modprobe fuse");
	t.device_errno = EACCES;
	expect(shim_find_fuse, &t, SHIM_NEEDS, "Permission denied", "chmod 0666 /dev/fuse");
	t.device_errno = EPERM;
	expect(shim_find_fuse, &t, SHIM_NEEDS, "not permitted", "--device /dev/fuse");
	t = (struct shim_facts){.uid = 0, .admin = false};
	expect(shim_find_fuse, &t, SHIM_NEEDS, "CAP_SYS_ADMIN", "--cap-add SYS_ADMIN");
}

static void fuse_needs_fusermount(void **state)
{
	struct shim_facts t = all();

	(void)state;
	t.no_new_privs = true;
	expect(shim_find_fuse, &t, SHIM_NEEDS, "no_new_privs", "NoNewPrivileges");
	t.fusermount.nosuid = true;
	expect(shim_find_fuse, &t, SHIM_NEEDS, "nosuid", "remount,suid");
	t.fusermount.setuid = false;
	expect(shim_find_fuse, &t, SHIM_NEEDS, "not root's and set-uid",
	    "chmod 4755 /usr/bin/fusermount3");
	t.fusermount.runs = false;
	expect(
	    shim_find_fuse, &t, SHIM_NEEDS, "not for this user", "chmod 4755 /usr/bin/fusermount3");
	t.fusermount.path[0] = '\0';
	expect(shim_find_fuse, &t, SHIM_NEEDS, "no fusermount3", "apt-get install fuse3");
	/* root mounts by itself */
	t.uid = 0;
	t.admin = true;
	expect(shim_find_fuse, &t, SHIM_HAS, "/dev/fuse", NULL);
}

static void what_root_has_not_allowed(void **state)
{
	struct shim_facts t = all();

	(void)state;
	t.has_name = false;
	expect(shim_find_name, &t, SHIM_NEEDS, "uid 1234", "echo 'ci:x:1234:1234:");
	t.conf.user_allow_other = false;
	expect(shim_find_allow_other, &t, SHIM_LACKS, "user_allow_other", "");
	t.fuse_mounts = 899;
	expect(shim_find_mount_max, &t, SHIM_HAS, "899 of 1000", NULL);
	t.fuse_mounts = 950;
	expect(shim_find_mount_max, &t, SHIM_LACKS, "950 of 1000",
	    "echo 'mount_max = 10000' >> /etc/fuse.conf");
	t.fuse_mounts = 1000;
	expect(shim_find_mount_max, &t, SHIM_NEEDS, "1000 of 1000", "mount_max = 10000");
	t.conf.mount_max = 0;
	expect(shim_find_mount_max, &t, SHIM_NEEDS, "of 0", "mount_max = 1000'");
	t.conf.mount_max = -1;
	expect(shim_find_mount_max, &t, SHIM_HAS, "no limit", NULL);
}

static void what_the_user_s_session_lacks(void **state)
{
	struct shim_facts t = all();

	(void)state;
	t.runtime_works = false;
	expect(shim_find_runtime, &t, SHIM_NEEDS, "/run/user/1234: not a folder of yours",
	    "install -d -m 700 -o 1234 /run/user/1234");
	t.runtime = NULL;
	expect(
	    shim_find_runtime, &t, SHIM_LACKS, "/tmp/orch-1234", "XDG_RUNTIME_DIR=/run/user/1234");
	t.files_max = 1024;
	expect(shim_find_files, &t, SHIM_LACKS, "1024 open files", "");
	t.files_max = (uint64_t)-1;
	expect(shim_find_files, &t, SHIM_HAS, "no limit", NULL);
}

static void expect_userns(const struct shim_facts *t, bool works, enum shim_health health,
    const char *found, const char *mend)
{
	struct shim_finding f = {.health = SHIM_LACKS};

	shim_find_userns(t, works, &f);
	assert_int_equal(f.health, health);
	assert_non_null(strstr(f.found, found));
	assert_non_null(strstr(f.mend, mend));
}

static void what_keeps_user_namespaces_away(void **state)
{
	struct shim_facts t = all();

	(void)state;
	t.userns_apparmor = 1;
	expect_userns(&t, true, SHIM_HAS, "can be made", "");
	expect_userns(&t, false, SHIM_LACKS, "AppArmor", "profile bwrap /usr/bin/bwrap");
	expect_userns(
	    &t, false, SHIM_LACKS, "AppArmor", "kernel.apparmor_restrict_unprivileged_userns=0");
	t.userns_apparmor = 0;
	expect_userns(&t, false, SHIM_LACKS, "can't be made", "seccomp=unconfined");
	t.userns_clone = 0;
	expect_userns(&t, false, SHIM_LACKS, "unprivileged_userns_clone is 0",
	    "sysctl -w kernel.unprivileged_userns_clone=1");
	t.userns_max = 0;
	expect_userns(&t, false, SHIM_LACKS, "max_user_namespaces is 0",
	    "sysctl -w user.max_user_namespaces=");
}

/* ---- what is read, from a folder that stands for / */

static char root[64];

static void put(const char *path, const char *text)
{
	char name[256], folder[256];

	snprintf(name, sizeof(name), "%s%s", root, path);
	snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(name, '/') - name), name);
	assert_int_equal(orch_mkdirs(AT_FDCWD, folder, 0755, NULL), 0);
	assert_int_equal(orch_file_save(AT_FDCWD, name, text, strlen(text), 0644, NULL), 0);
}

static int make_root(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/orch-doctor.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	(void)state;
	return orch_remove_tree(AT_FDCWD, root, NULL);
}

static void reads_what_is_there(void **state)
{
	struct shim_facts t = {.uid = 5};
	char path[128], tool[160];

	(void)state;
	put("/etc/fuse.conf", "user_allow_other\nmount_max = 7\n");
	put("/proc/self/mounts",
	    "a /a fuse.orch rw 0 0\nb /b ext4 rw 0 0\nfuse /fuse tmpfs rw 0 0\nc /c fuse rw 0 0\n"
	    "d /d fuseblk rw 0 0\nshort\n");
	put("/proc/self/status", "Name:\tx\nCapEff:\t0000000000200000\nNoNewPrivs:\t1\n");
	put("/proc/self/uid_map", "         0          0 4294967295\n");
	put("/proc/sys/user/max_user_namespaces", "0\n");
	put("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
	put("/bin/fusermount3", "x");
	snprintf(path, sizeof(path), "/nonexistent:%s/bin", root);
	snprintf(tool, sizeof(tool), "%s/bin/fusermount3", root);
	shim_facts_load(root, path, root, &t);
	assert_int_equal(t.uid, 5);
	assert_true(t.conf.user_allow_other);
	assert_int_equal(t.conf.mount_max, 7);
	assert_int_equal(t.fuse_mounts, 2);
	assert_true(t.admin && t.no_new_privs && t.initial_userns);
	assert_int_equal(t.device_errno, ENOENT);
	assert_int_equal(t.userns_max, 0);
	assert_int_equal(t.userns_clone, SHIM_NO_SWITCH);
	assert_int_equal(t.userns_apparmor, 1);
	assert_string_equal(t.fusermount.path, tool);
	assert_false(t.fusermount.runs || t.fusermount.setuid);
	assert_true(t.runtime_works);
	put("/proc/self/uid_map", "         0       1000          1\n");
	assert_int_equal(chmod(tool, 04755), 0);
	shim_facts_load(root, path, NULL, &t);
	assert_true(t.fusermount.runs && !t.initial_userns);
	assert_int_equal(t.fusermount.setuid, getuid() == 0);
	assert_false(t.runtime_works);
}

static void nothing_is_there(void **state)
{
	struct shim_facts t = {.uid = 5};

	(void)state;
	shim_facts_load("/nonexistent", "", "/nonexistent", &t);
	assert_false(t.conf.user_allow_other || t.admin || t.no_new_privs || t.runtime_works);
	assert_int_equal(t.conf.mount_max, 1000);
	assert_int_equal(t.fuse_mounts, 0);
	assert_int_equal(t.userns_max, SHIM_NO_SWITCH);
	assert_string_equal(t.fusermount.path, "");
}

static void a_store_is_tried(void **state)
{
	struct shim_finding f = {.health = SHIM_LACKS};
	struct stat before, after;

	(void)state;
	put("/kept", "x");
	assert_int_equal(stat(root, &before), 0);
	shim_find_store(root, &f);
	assert_int_equal(f.health, SHIM_HAS);
	assert_int_equal(stat(root, &after), 0);
	assert_int_equal(before.st_nlink, after.st_nlink); /* nothing stays */
	shim_find_store("/proc", &f);
	assert_int_equal(f.health, SHIM_NEEDS);
	assert_non_null(strstr(f.found, "/proc: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_lacks),
	    cmocka_unit_test(fuse_needs_a_device),
	    cmocka_unit_test(fuse_needs_fusermount),
	    cmocka_unit_test(what_root_has_not_allowed),
	    cmocka_unit_test(what_the_user_s_session_lacks),
	    cmocka_unit_test(what_keeps_user_namespaces_away),
	    cmocka_unit_test_setup_teardown(reads_what_is_there, make_root, remove_root),
	    cmocka_unit_test(nothing_is_there),
	    cmocka_unit_test_setup_teardown(a_store_is_tried, make_root, remove_root),
	};

	return tap_run(tests);
}
