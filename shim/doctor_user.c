/* See doctor_user.h. */
#include "shim/doctor_user.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FILES_ENOUGH 4096

#define FOUND(f, ...) snprintf((f)->found, sizeof((f)->found), __VA_ARGS__)
#define MEND(f, ...)  snprintf((f)->mend, sizeof((f)->mend), __VA_ARGS__)

static void has(struct shim_finding *f, const char *text)
{
	f->health = SHIM_HAS;
	FOUND(f, "%s", text);
}

/* Who has no part in mounting needs nothing for it. */
static bool is_roots(const struct shim_facts *t, struct shim_finding *out)
{
	if (t->uid == 0)
		has(out, t->others ? "the daemon is root's" : "you are root");
	else if (t->others)
		has(out, "the daemon is another user's");
	return t->uid == 0 || t->others;
}

static bool find_device(const struct shim_facts *t, struct shim_finding *out)
{
	if (t->device_errno == 0)
		return true;
	FOUND(out, "/dev/fuse: %s", strerrordesc_np(t->device_errno));
	if (t->device_errno == EACCES)
		MEND(out, "chmod 0666 /dev/fuse  # as root");
	else if (t->device_errno == EPERM)
		MEND(out, "give the container the device: docker run --device /dev/fuse ...");
	else
		MEND(out, "modprobe fuse  # as root; in a container: --device /dev/fuse");
	return false;
}

static bool find_fusermount(const struct shim_facts *t, struct shim_finding *out)
{
	const char *path = t->fusermount.path;

	if (!path[0]) {
		FOUND(out, "not root, and no fusermount3 in PATH");
		MEND(out, "apt-get install fuse3  # as root");
	} else if (!t->fusermount.runs) {
		FOUND(out, "%.100s: not for this user", path);
		MEND(out, "chmod 4755 %.160s  # as root", path);
	} else if (!t->fusermount.setuid) {
		FOUND(out, "%.100s is not root's and set-uid", path);
		MEND(out, "chown root %.100s && chmod 4755 %.100s  # as root", path, path);
	} else if (t->fusermount.nosuid) {
		FOUND(out, "%.100s is on a file system mounted nosuid", path);
		MEND(out, "mount -o remount,suid FILESYSTEM  # as root, the one of %.100s", path);
	} else if (t->no_new_privs) {
		FOUND(out, "no_new_privs: %.100s gets no rights", path);
		MEND(
		    out, "start it without NoNewPrivileges= (systemd), no-new-privileges (Docker)");
	} else {
		return true;
	}
	return false;
}

void shim_find_fuse(const struct shim_facts *t, struct shim_finding *out)
{
	if (t->others) {
		(void)is_roots(t, out);
		return;
	}
	out->health = SHIM_NEEDS;
	if (!find_device(t, out))
		return;
	if (t->uid == 0 && !t->admin) {
		FOUND(out, "root without the right to mount (CAP_SYS_ADMIN)");
		MEND(out, "docker run --device /dev/fuse --cap-add SYS_ADMIN ...");
		return;
	}
	if (t->uid != 0 && !find_fusermount(t, out))
		return;
	out->health = SHIM_HAS;
	FOUND(out, "/dev/fuse%s%.140s", t->uid ? ", " : "", t->uid ? t->fusermount.path : "");
}

void shim_find_name(const struct shim_facts *t, struct shim_finding *out)
{
	if (is_roots(t, out))
		return;
	if (t->has_name) {
		has(out, "known");
		return;
	}
	out->health = SHIM_NEEDS;
	FOUND(out, "uid %u has no name", (unsigned)t->uid);
	MEND(out, "echo 'ci:x:%u:%u::/tmp:/bin/sh' >> /etc/passwd  # as root", (unsigned)t->uid,
	    (unsigned)t->uid);
}

void shim_find_allow_other(const struct shim_facts *t, struct shim_finding *out)
{
	if (is_roots(t, out))
		return;
	if (t->conf.user_allow_other)
		has(out, "user_allow_other is in " ORCH_FUSE_CONF);
	else
		FOUND(out, "no user_allow_other in " ORCH_FUSE_CONF);
}

void shim_find_mount_max(const struct shim_facts *t, struct shim_finding *out)
{
	int64_t max = t->conf.mount_max;

	if (is_roots(t, out))
		return;
	if (max == -1) {
		has(out, "no limit");
		return;
	}
	FOUND(out, "%u of %" PRId64 " mounts", t->fuse_mounts, max);
	if (t->fuse_mounts >= max)
		out->health = SHIM_NEEDS;
	else if (t->fuse_mounts < max - max / 10)
		out->health = SHIM_HAS;
	MEND(out, "echo 'mount_max = %" PRId64 "' >> " ORCH_FUSE_CONF "  # as root",
	    max < 1000 ? 1000 : max * 10);
}

void shim_find_runtime(const struct shim_facts *t, struct shim_finding *out)
{
	unsigned uid = (unsigned)t->uid;

	if (is_roots(t, out))
		return;
	if (t->runtime_works) {
		FOUND(out, "%.150s", t->runtime);
		out->health = SHIM_HAS;
	} else if (t->runtime) {
		FOUND(out, "%.100s: not a folder of yours", t->runtime);
		out->health = SHIM_NEEDS;
		MEND(out, "install -d -m 700 -o %u %.180s  # as root", uid, t->runtime);
	} else {
		FOUND(out, "not set, /tmp/orch-%u is used", uid);
		MEND(out,
		    "export XDG_RUNTIME_DIR=/run/user/%u  # made at log-in, or by root: loginctl "
		    "enable-linger %u",
		    uid, uid);
	}
}

void shim_find_files(const struct shim_facts *t, struct shim_finding *out)
{
	if (t->files_max >= FILES_ENOUGH)
		out->health = SHIM_HAS;
	if (t->files_max == (uint64_t)-1)
		FOUND(out, "no limit");
	else
		FOUND(out, "%" PRIu64 " open files", t->files_max);
}

/* The switches that keep users from making them; the last word is whether it works. */
void shim_find_userns(const struct shim_facts *t, bool works, struct shim_finding *out)
{
	if (works) {
		has(out, "can be made");
	} else if (t->userns_max == 0) {
		FOUND(out, "user.max_user_namespaces is 0");
		MEND(out, "sysctl -w user.max_user_namespaces=15000  # as root");
	} else if (t->userns_clone == 0) {
		FOUND(out, "kernel.unprivileged_userns_clone is 0");
		MEND(out, "sysctl -w kernel.unprivileged_userns_clone=1  # as root");
	} else if (t->userns_apparmor > 0) {
		FOUND(out, "AppArmor allows them to programs with a profile alone");
		MEND(out, "printf 'abi <abi/4.0>,\\nprofile bwrap /usr/bin/bwrap "
			  "flags=(unconfined) {\\n  "
			  "userns,\\n}\\n' > /etc/apparmor.d/bwrap && apparmor_parser -r "
			  "/etc/apparmor.d/bwrap  # as root; or for all programs: sysctl -w "
			  "kernel.apparmor_restrict_unprivileged_userns=0");
	} else {
		FOUND(out, "can't be made");
		MEND(out, "in a container: docker run --security-opt seccomp=unconfined "
			  "--security-opt apparmor=unconfined ...");
	}
}
