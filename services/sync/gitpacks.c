/* Packs on their way into a mirror; see gitadopt.h. */
#include "sync/gitadopt_priv.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/mirror.h"
#include "core/fd.h"
#include "core/path.h"

#define PACKS	   CAS_MIRROR_REPO "/objects/pack"
#define STEP_PACKS CAS_MIRROR_STEPS "/objects/pack"
#define PACK_NAME  (5 + SYNC_GITREV_HEX) /* "pack-<id>" */

/*
 * What old repositories have and nobody is harmed by; all else that `git fsck` calls an error or a
 * warning is refused (names like .git and .., trees out of order, files of submodules that run
 * something).
 */
#define HARMLESS                                                                          \
	"--strict=zeroPaddedFilemode=ignore,missingEmail=ignore,badEmail=ignore,"         \
	"missingNameBeforeEmail=ignore,missingSpaceBeforeEmail=ignore,"                   \
	"missingSpaceBeforeDate=ignore,badDate=ignore,badDateOverflow=ignore,"            \
	"badTimezone=ignore,zeroPaddedDate=ignore,multipleAuthors=ignore,badName=ignore," \
	"missingAuthor=ignore,badFilemode=ignore,nulInCommit=ignore"

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && strcmp(s + n - m, end) == 0;
}

/* The names in a folder. */
int sync_adopt_list(int dirfd, struct orch_strv *out, struct orch_err *err)
{
	int fd = openat(dirfd, ".", SYNC_ADOPT_FOLDER), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		r = orch_err_sys(err, fd < 0 ? errno : ENOMEM, "list a folder");
		orch_fd_close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = orch_strv_add(out, e->d_name);
	if (r == 0 && errno != 0)
		r = -errno;
	closedir(d);
	return r < 0 ? orch_err_sys(err, -r, "list a folder") : 0;
}

static bool has(int dirfd, const char *name)
{
	return faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* With the lock nobody is at work: temporary files and locks belong to the dead. */
static bool is_left(int dirfd, const char *name)
{
	char index[ORCH_NAME_MAX + 8];
	size_t n = strlen(name);

	if (strncmp(name, "tmp_", 4) == 0 || name[0] == '.' || ends_with(name, ".lock") ||
	    ends_with(name, ".tmp"))
		return true;
	if (!ends_with(name, ".pack") && !ends_with(name, ".rev"))
		return false;
	/* moved, but for the index, which comes last */
	n -= strlen(strrchr(name, '.'));
	snprintf(index, sizeof(index), "%.*s.idx", (int)n, name);
	return !has(dirfd, index);
}

int sync_adopt_sweep(struct sync_adopt *a, const char *path, struct orch_err *err)
{
	orch_auto(fd) int fd = openat(a->mirror_fd, path, SYNC_ADOPT_FOLDER);
	orch_auto(strv) struct orch_strv names = ORCH_STRV_INIT;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	r = fd < 0 ? orch_err_sys(err, errno, "%s", path) : sync_adopt_list(fd, &names, err);
	for (size_t i = 0; r == 0 && i < names.count; i++)
		if (is_left(fd, names.v[i]))
			r = orch_remove_tree(fd, names.v[i], err);
	return r;
}

int sync_adopt_open(const struct sync_adopt *a, const char *path, int flags, struct orch_err *err)
{
	int fd = orch_open_nolinks(a->spec->quarantine_fd, path, flags, 0);

	return fd < 0 ? orch_err_sys(err, -fd, "%s in what was fetched", path) : fd;
}

/* ---- writing anew ---- */

/* "pack\t<id>\n" is what index-pack says of one that it has written. */
static int note_pack(struct sync_adopt *a, const struct orch_buf *said, struct orch_err *err)
{
	const char *s = said->data ? (const char *)said->data : "";

	if (strncmp(s, "pack\t", 5) != 0 || strspn(s + 5, "0123456789abcdef") != SYNC_GITREV_HEX)
		return orch_err_set(err, EIO, "git index-pack did not say what it has made");
	return orch_strv_addf(&a->order, "pack-%.40s", s + 5) < 0
		   ? orch_err_set(err, ENOMEM, "no memory")
		   : 0;
}

static int run_index(struct sync_adopt *a, const char *const *argv, int in, struct orch_buf *said,
    struct orch_err *err)
{
	int r;

	a->run.stdin_fd = in;
	a->run.out = said;
	a->run.progress = true;
	r = sync_gitrun(&a->run, argv, err);
	a->run.stdin_fd = -1;
	a->run.out = NULL;
	return r;
}

static int index_pack(
    struct sync_adopt *a, int dirfd, const char *name, bool strict, struct orch_err *err)
{
	const char *argv[] = {"git", "index-pack", "-v", "--stdin", strict ? HARMLESS : NULL, NULL};
	orch_auto(buf) struct orch_buf said = ORCH_BUF_INIT;
	orch_auto(fd) int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return orch_err_sys(err, errno, "pack %s", name);
	if (!S_ISREG(st.st_mode))
		return orch_err_set(err, ORCH_ECORRUPT, "pack %s is no file", name);
	r = run_index(a, argv, fd, &said, err);
	if (r == 0)
		r = note_pack(a, &said, err);
	if (r < 0) {
		orch_err_wrap(err, "pack %s", name);
		return r;
	}
	a->made.packs++;
	a->made.pack_bytes += (uint64_t)st.st_size;
	return 0;
}

/* They may build on one another, so in the order of their making. */
struct pack {
	char *name; /* borrowed */
	struct timespec made;
};

static int by_time(const void *x, const void *y)
{
	const struct pack *a = x, *b = y;

	if (a->made.tv_sec != b->made.tv_sec)
		return a->made.tv_sec < b->made.tv_sec ? -1 : 1;
	if (a->made.tv_nsec != b->made.tv_nsec)
		return a->made.tv_nsec < b->made.tv_nsec ? -1 : 1;
	return strcmp(a->name, b->name);
}

static bool is_known(const struct sync_adopt *a, const char *name)
{
	static const char *const folders[] = {PACKS, STEP_PACKS};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(folders); i++) {
		orch_auto(free) char *path = orch_path_join(folders[i], name);

		if (path && has(a->mirror_fd, path))
			return true;
	}
	return false;
}

static size_t choose_packs(
    const struct sync_adopt *a, int dirfd, const struct orch_strv *names, struct pack *out)
{
	size_t n = 0;

	for (size_t i = 0; i < names->count; i++) {
		char *name = names->v[i];
		struct stat st;

		if (!ends_with(name, ".pack") || is_known(a, name) ||
		    fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		out[n].name = name;
		out[n++].made = st.st_mtim;
	}
	qsort(out, n, sizeof(*out), by_time);
	return n;
}

int sync_adopt_packs(struct sync_adopt *a, bool strict, struct orch_err *err)
{
	orch_auto(fd) int fd = sync_adopt_open(a, PACKS, O_RDONLY | O_DIRECTORY, err);
	orch_auto(strv) struct orch_strv names = ORCH_STRV_INIT;
	orch_auto(free) struct pack *packs = NULL;
	size_t n;
	int r = fd < 0 ? fd : sync_adopt_list(fd, &names, err);

	if (r < 0)
		return r;
	packs = calloc(names.count + 1, sizeof(*packs));
	if (!packs)
		return orch_err_set(err, ENOMEM, "no memory");
	n = choose_packs(a, fd, &names, packs);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = index_pack(a, fd, packs[i].name, strict, err);
	return r;
}

/* ---- checking where they are ---- */

/* A second index, which is thrown away: the first was written when not all was there. */
int sync_adopt_check_pack(
    struct sync_adopt *a, const char *folder, const char *name, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf pack = ORCH_BUF_INIT;
	orch_auto(buf) struct orch_buf index = ORCH_BUF_INIT;
	orch_auto(buf) struct orch_buf said = ORCH_BUF_INIT;
	const char *argv[] = {"git", "index-pack", "-v", HARMLESS, "-o", NULL, NULL, NULL};
	int r;

	(void)orch_buf_printf(&pack, "/proc/self/fd/%d/%s/%s", a->mirror_fd, folder, name);
	(void)orch_buf_printf(
	    &index, "/proc/self/fd/%d/" CAS_MIRROR_INCOMING "/%s.idx", a->mirror_fd, name);
	if (pack.failed || index.failed)
		return orch_err_set(err, ENOMEM, "no memory");
	argv[5] = (const char *)index.data;
	argv[6] = (const char *)pack.data;
	r = run_index(a, argv, -1, &said, err);
	if (r < 0)
		orch_err_wrap(err, "pack %s", name);
	return r;
}

int sync_adopt_check(struct sync_adopt *a, const char *path, struct orch_err *err)
{
	orch_auto(fd) int fd = openat(a->mirror_fd, path, SYNC_ADOPT_FOLDER);
	orch_auto(strv) struct orch_strv names = ORCH_STRV_INIT;
	int r = fd < 0 ? orch_err_sys(err, errno, "%s", path) : sync_adopt_list(fd, &names, err);

	for (size_t i = 0; r == 0 && i < names.count; i++)
		if (ends_with(names.v[i], ".pack"))
			r = sync_adopt_check_pack(a, path, names.v[i], err);
	return r;
}

/* ---- into place ---- */

/* git has synced the files. A pack counts when its index is there, so that goes last. What is not there
 * was moved before. */
static int move_pack(int from, int to, const char *name)
{
	static const char *const parts[] = {".pack", ".rev", ".idx"};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(parts); i++) {
		char part[PACK_NAME + 8];

		snprintf(part, sizeof(part), "%.*s%s", PACK_NAME, name, parts[i]);
		r = orch_rename(from, part, to, part, 0);
		r = r == -ENOENT ? 0 : r;
	}
	return r;
}

int sync_adopt_move(
    struct sync_adopt *a, const char *path, const struct orch_strv *order, struct orch_err *err)
{
	orch_auto(fd) int from = openat(a->mirror_fd, path, SYNC_ADOPT_FOLDER);
	orch_auto(fd) int to = openat(a->mirror_fd, PACKS, SYNC_ADOPT_FOLDER);
	orch_auto(strv) struct orch_strv names = ORCH_STRV_INIT;
	int r = from < 0 || to < 0 ? orch_err_sys(err, errno, "%s", path) : 0;

	if (r == 0 && !order) {
		r = sync_adopt_list(from, &names, err);
		order = &names;
	}
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < order->count; i++)
		if (strncmp(order->v[i], "pack-", 5) == 0)
			r = move_pack(from, to, order->v[i]);
	if (r == 0 && order->count)
		r = orch_fd_sync(to);
	return r < 0 ? orch_err_sys(err, -r, "new packs of the mirror") : 0;
}
