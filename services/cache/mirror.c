/* Folders of mirrors; see mirror.h. */
#include "cache/mirror.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cache/publish.h"
#include "cache/store_priv.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/path.h"

#define FOLDER	CAS_MIRROR_FOLDER
#define LOCK_MS 20

/* Nothing of a user's or the system's configuration counts for a mirror. */
static const char mirror_config[] = "[core]\n"
				    "\trepositoryformatversion = 0\n"
				    "\tbare = true\n"
				    "\tfilemode = true\n"
				    "\tlogallrefupdates = false\n"
				    "\thooksPath = /dev/null\n"
				    "\tfsync = all\n"
				    "[gc]\n"
				    "\tauto = 0\n";
static const char seed_config[] = "[core]\n"
				  "\trepositoryformatversion = 0\n"
				  "\tbare = true\n";
/* It must name a branch; which one is of no account here. */
static const char head[] = "ref: refs/heads/main\n";

static const char *const repo_folders[] = {
    CAS_MIRROR_REPO,
    CAS_MIRROR_REPO "/objects",
    CAS_MIRROR_REPO "/objects/info",
    CAS_MIRROR_REPO "/objects/pack",
    CAS_MIRROR_REPO "/refs",
};

struct owner {
	uid_t uid;
	gid_t gid;
};

static bool is_ours(const struct owner *o)
{
	return o->uid == geteuid() && o->gid == getegid();
}

static int make_folder(int dirfd, const char *path, const struct owner *owner, struct orch_err *err)
{
	orch_auto(fd) int fd = -1;

	if (mkdirat(dirfd, path, 0755) < 0)
		return orch_err_sys(err, errno, "mkdir %s", path);
	fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchmod(fd, 0755) < 0 ||
	    (!is_ours(owner) && fchown(fd, owner->uid, owner->gid) < 0))
		return orch_err_sys(err, errno, "%s", path);
	return 0;
}

static int make_file(int dirfd, const char *path, const void *p, size_t n,
    const struct owner *owner, struct orch_err *err)
{
	orch_auto(fd) int fd =
	    openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : orch_fd_write_all(fd, p, n);

	if (r == 0 &&
	    (fchmod(fd, 0644) < 0 || (!is_ours(owner) && fchown(fd, owner->uid, owner->gid) < 0)))
		r = -errno;
	return r < 0 ? orch_err_sys(err, -r, "%s", path) : 0;
}

/* A repository without a commit in the folder dirfd. */
static int make_repo(int dirfd, const char *config, const struct owner *owner, struct orch_err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(repo_folders); i++)
		r = make_folder(dirfd, repo_folders[i], owner, err);
	if (r == 0)
		r = make_file(dirfd, CAS_MIRROR_REPO "/config", config, strlen(config), owner, err);
	if (r == 0)
		r = make_file(dirfd, CAS_MIRROR_REPO "/HEAD", head, strlen(head), owner, err);
	return r;
}

/* ---- opening ---- */

static int open_all(struct cas_store *s, struct orch_err *err)
{
	int fd;

	if (mkdirat(s->root_fd, FOLDER, 0755) < 0 && errno != EEXIST)
		return orch_err_sys(err, errno, "mkdir " FOLDER);
	fd = openat(s->root_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* workers get in by descriptors, under their users' ids */
	if (fd < 0 || fchmod(fd, 0755) < 0) {
		int code = errno;

		orch_fd_close(fd);
		return orch_err_sys(err, code, FOLDER);
	}
	return fd;
}

static int fill(int fd, const char *url, struct orch_err *err)
{
	struct owner us = {geteuid(), getegid()};
	orch_auto(buf) struct orch_buf line = ORCH_BUF_INIT;
	int r;

	(void)orch_buf_printf(&line, "%s\n", url);
	r = line.failed ? orch_err_set(err, ENOMEM, "no memory")
			: make_file(fd, "url", line.data, line.len, &us, err);
	if (r == 0)
		r = make_repo(fd, mirror_config, &us, err);
	if (r == 0 && fchmod(fd, 0755) < 0)
		r = orch_err_sys(err, errno, "chmod");
	/* few files, once a repository */
	if (r == 0 && syncfs(fd) < 0)
		r = orch_err_sys(err, errno, "sync of the store");
	return r;
}

/* Made aside, so that there is none or a whole one; of two that make it one wins. */
static int make(
    struct cas_store *s, int all, const char *name, const char *url, struct orch_err *err)
{
	char id[CAS_QUARANTINE_ID_BYTES];
	orch_auto(fd) int fd = -1;
	int r = cas_publish_prepare(s, geteuid(), getegid(), id, &fd, err), dropped;

	if (r < 0)
		return r;
	r = fill(fd, url, err);
	if (r == 0) {
		r = orch_rename(s->tmp_fd, id, all, name, RENAME_NOREPLACE);
		if (r == 0)
			r = orch_fd_sync(all);
		else if (r == -EEXIST)
			r = cas_publish_drop(s, id, err);
		if (r < 0 && r != -EEXIST)
			orch_err_sys(err, -r, FOLDER "/%s", name);
	}
	if (r < 0) {
		dropped = cas_publish_drop(s, id, NULL);
		(void)dropped; /* the next start removes it */
	}
	return r;
}

static int check_url(int fd, const char *url, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int r = orch_file_load(fd, "url", &b, err);

	if (r == -ENOENT)
		return orch_err_set(err, ORCH_ECORRUPT, "its file url is missing");
	if (r < 0)
		return r;
	if (b.len != strlen(url) + 1 || memcmp(b.data, url, b.len - 1) != 0)
		return orch_err_set(err, ORCH_ECORRUPT, "its file url names another repository");
	return 0;
}

int cas_mirror_open(struct cas_store *s, const struct orch_digest *key, const char *url,
    int *out_fd, struct orch_err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	char name[ORCH_DIGEST_HEX + 1];
	orch_auto(fd) int all = open_all(s, err);
	int fd, r = all < 0 ? all : 0;

	if (r < 0)
		return r;
	orch_digest_format(key, name);
	fd = openat(all, name, flags);
	if (fd < 0 && errno == ENOENT) {
		r = make(s, all, name, url, err);
		fd = r < 0 ? -1 : openat(all, name, flags);
	}
	if (r == 0)
		r = fd < 0 ? orch_err_sys(err, errno, "open") : check_url(fd, url, err);
	if (r < 0) {
		orch_fd_close(fd);
		orch_err_wrap(err, "mirror " FOLDER "/%s", name);
		return r;
	}
	*out_fd = fd;
	return 0;
}

int cas_mirror_lock(int mirror_fd, const atomic_bool *cancel, uint64_t timeout_ms, int *out_fd,
    struct orch_err *err)
{
	/* another open file: a flock belongs to that */
	orch_auto(fd) int fd = openat(mirror_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t deadline = orch_deadline_in_ms(timeout_ms);

	if (fd < 0)
		return orch_err_sys(err, errno, "lock of a mirror");
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		struct timespec ts = orch_ns_timespec((int64_t)LOCK_MS * 1000000);

		if (errno != EWOULDBLOCK && errno != EINTR)
			return orch_err_sys(err, errno, "lock of a mirror");
		if (*cancel)
			return orch_err_set(err, ORCH_ECANCELLED, "cancelled");
		if (orch_clock_ns() > deadline)
			return orch_err_set(err, ORCH_ETIMEOUT,
			    "another process has been writing to the mirror all the time");
		nanosleep(&ts, NULL);
	}
	*out_fd = fd;
	fd = -1;
	return 0;
}

bool cas_mirror_unfinished(int mirror_fd)
{
	return faccessat(mirror_fd, CAS_MIRROR_CHECKED, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int cas_mirror_drop_steps(int mirror_fd, struct orch_err *err)
{
	return orch_remove_tree(mirror_fd, CAS_MIRROR_STEPS, err);
}

/* ---- all of them ---- */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && strcmp(s + n - m, end) == 0;
}

static int count_pack(void *priv, int dirfd, const char *name)
{
	struct cas_mirror *m = priv;
	struct stat st;

	if (ends_with(name, ".pack") && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		m->packs++;
		m->pack_bytes += (uint64_t)st.st_size;
	}
	return 0;
}

struct each {
	int (*fn)(void *priv, const struct cas_mirror *m);
	void *priv;
	struct orch_err *err;
};

/* The file url without its end; malloc'd. "" when it can't be read. */
static char *load_url(int fd)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	if (orch_file_load(fd, "url", &b, NULL) < 0)
		orch_buf_reset(&b);
	if (b.len && b.data[b.len - 1] == '\n')
		b.data[--b.len] = '\0';
	return orch_buf_take_str(&b);
}

static int see_mirror(void *priv, int dirfd, const char *name)
{
	static const char *const packs[] = {
	    CAS_MIRROR_REPO "/objects/pack", CAS_MIRROR_STEPS "/objects/pack"};
	struct each *each = priv;
	struct cas_mirror m = {0};
	orch_auto(free) char *url = NULL;
	orch_auto(fd) int fd = -1;

	if (orch_digest_parse(name, &m.key) < 0)
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0; /* removed since, or no folder */
	url = load_url(fd);
	if (!url)
		return orch_err_set(each->err, ENOMEM, "no memory");
	m.url = url;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(packs); i++)
		if (faccessat(fd, packs[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
		    cas_dir_each(fd, packs[i], count_pack, &m, NULL) < 0)
			continue; /* it is being changed */
	return each->fn(each->priv, &m);
}

int cas_mirror_each(struct cas_store *s, int (*fn)(void *priv, const struct cas_mirror *m),
    void *priv, struct orch_err *err)
{
	struct each each = {.fn = fn, .priv = priv, .err = err};

	if (faccessat(s->root_fd, FOLDER, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	return cas_dir_each(s->root_fd, FOLDER, see_mirror, &each, err);
}

int cas_mirror_get(
    struct cas_store *s, const struct orch_digest *key, int *out_fd, struct orch_err *err)
{
	char name[ORCH_DIGEST_HEX + 1], path[sizeof(FOLDER) + sizeof(name)];
	int fd;

	orch_digest_format(key, name);
	snprintf(path, sizeof(path), FOLDER "/%s", name);
	fd = openat(s->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return orch_err_sys(err, errno, "mirror %s", name);
	*out_fd = fd;
	return 0;
}

/* Out of sight by one rename; what is left of it after a kill the next start removes. */
int cas_mirror_remove(struct cas_store *s, const struct orch_digest *key, const atomic_bool *cancel,
    uint64_t timeout_ms, struct orch_err *err)
{
	char name[ORCH_DIGEST_HEX + 1], gone[ORCH_DIGEST_HEX + 8];
	orch_auto(fd) int all = open_all(s, err);
	orch_auto(fd) int fd = -1;
	orch_auto(fd) int locked = -1;
	int r = all < 0 ? all : 0;

	if (r < 0)
		return r;
	orch_digest_format(key, name);
	snprintf(gone, sizeof(gone), "git-%s", name);
	fd = openat(all, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return orch_err_sys(err, errno, "mirror %s", name);
	r = cas_mirror_lock(fd, cancel, timeout_ms, &locked, err);
	if (r == 0)
		r = orch_remove_tree(s->tmp_fd, gone, err);
	if (r < 0)
		return r;
	r = orch_rename(all, name, s->tmp_fd, gone, 0);
	if (r == 0)
		r = orch_fd_sync(all);
	return r < 0 ? orch_err_sys(err, -r, "mirror %s", name)
		     : orch_remove_tree(s->tmp_fd, gone, err);
}

/* ---- what a fetch begins with ---- */

struct seed {
	int to; /* the folder of packs */
	struct orch_err *err;
};

/* A pack counts when it has its index: that is renamed last. */
static int seed_pack(void *priv, int dirfd, const char *name)
{
	static const char *const parts[] = {".pack", ".rev", ".idx"};
	struct seed *seed = priv;

	if (!ends_with(name, ".idx"))
		return 0;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(parts); i++) {
		char part[ORCH_NAME_MAX + 8];

		snprintf(part, sizeof(part), "%.*s%s", (int)strlen(name) - 4, name, parts[i]);
		if (linkat(dirfd, part, seed->to, part, 0) < 0 && errno != ENOENT &&
		    errno != EEXIST)
			return orch_err_sys(seed->err, errno, "link of %s", part);
	}
	return 0;
}

static int seed_packs(int mirror_fd, const char *from, int quarantine_fd, struct orch_err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	orch_auto(fd) int packs = openat(mirror_fd, from, flags);
	orch_auto(fd) int to = openat(quarantine_fd, CAS_MIRROR_REPO "/objects/pack", flags);
	struct seed seed = {.to = to, .err = err};

	if (packs < 0 && errno == ENOENT && strncmp(from, CAS_MIRROR_STEPS, 5) == 0)
		return 0;
	if (packs < 0 || to < 0)
		return orch_err_sys(err, errno, "%s", from);
	return cas_dir_each(packs, ".", seed_pack, &seed, err);
}

/* One that is not there is none. */
static int seed_file(int mirror_fd, const char *from, int quarantine_fd, const char *to,
    const struct owner *owner, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int r;

	orch_buf_init(&b, CAS_MIRROR_REFS_BYTES);
	r = orch_file_load(mirror_fd, from, &b, err);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return make_file(quarantine_fd, to, b.data, b.len, owner, err);
}

/* What came in steps so far. */
static int seed_steps(
    int mirror_fd, int quarantine_fd, const struct owner *owner, struct orch_err *err)
{
	int r = seed_file(mirror_fd, CAS_MIRROR_STEPS "/packed-refs", quarantine_fd,
	    CAS_MIRROR_REPO "/packed-refs", owner, err);

	if (r == 0)
		r = seed_file(mirror_fd, CAS_MIRROR_STEPS "/shallow", quarantine_fd,
		    CAS_MIRROR_REPO "/shallow", owner, err);
	return r == 0 ? seed_packs(mirror_fd, CAS_MIRROR_STEPS "/objects/pack", quarantine_fd, err)
		      : r;
}

int cas_mirror_seed(int mirror_fd, int quarantine_fd, uid_t uid, gid_t gid, struct orch_err *err)
{
	const char *refs = CAS_MIRROR_REPO "/packed-refs";
	struct owner owner = {uid, gid};
	int r = make_repo(quarantine_fd, seed_config, &owner, err);

	if (r == 0)
		r = seed_packs(mirror_fd, CAS_MIRROR_REPO "/objects/pack", quarantine_fd, err);
	if (r == 0) /* steps are over when there is anything else */
		r = faccessat(mirror_fd, refs, F_OK, AT_SYMLINK_NOFOLLOW) == 0
			? seed_file(mirror_fd, refs, quarantine_fd, refs, &owner, err)
			: seed_steps(mirror_fd, quarantine_fd, &owner, err);
	if (r < 0)
		orch_err_wrap(err, "quarantine of a fetch");
	return r;
}
