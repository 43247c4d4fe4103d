/* Taking over packs and refs; see gitadopt.h. */
#include "sync/gitadopt.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/mirror.h"
#include "core/fd.h"
#include "core/path.h"
#include "core/strv.h"
#include "sync/gitfetch.h"

#define REPO	     CAS_MIRROR_REPO
#define PACKS	     REPO "/objects/pack"
#define INCOMING     CAS_MIRROR_INCOMING
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

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

struct adopt {
	struct sync_task *task;
	const struct sync_gitadopt_spec *spec;
	struct sync_gitrun run;
	struct orch_strv env;
	int mirror_fd;
	int packs_fd; /* of the mirror */
	struct sync_gitadopted made;
};

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && strcmp(s + n - m, end) == 0;
}

/* The names in a folder. */
static int list(int dirfd, struct orch_strv *out, struct orch_err *err)
{
	int fd = openat(dirfd, ".", FOLDER_FLAGS), r = 0;
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

/* ---- what a killed one left ---- */

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

static int sweep(struct adopt *a, const char *path, struct orch_err *err)
{
	orch_auto(fd) int fd = openat(a->mirror_fd, path, FOLDER_FLAGS);
	orch_auto(strv) struct orch_strv names = ORCH_STRV_INIT;
	int r = fd < 0 ? orch_err_sys(err, errno, "%s", path) : list(fd, &names, err);

	for (size_t i = 0; r == 0 && i < names.count; i++)
		if (is_left(fd, names.v[i]))
			r = orch_remove_tree(fd, names.v[i], err);
	return r;
}

static int clean(struct adopt *a, struct orch_err *err)
{
	static const char *const folders[] = {REPO, REPO "/objects", REPO "/objects/info", PACKS};
	int r = orch_remove_tree(a->mirror_fd, INCOMING, err);

	for (size_t i = 0; r == 0 && i < ORCH_ARRAY_LEN(folders); i++)
		r = sweep(a, folders[i], err);
	return r;
}

static int begin(struct adopt *a, struct orch_err *err)
{
	int r = clean(a, err);

	if (r == 0)
		r = orch_mkdirs(a->mirror_fd, INCOMING "/pack", 0755, err);
	if (r < 0)
		return r;
	a->packs_fd = openat(a->mirror_fd, PACKS, FOLDER_FLAGS);
	if (a->packs_fd < 0)
		return orch_err_sys(err, errno, PACKS);
	return sync_gitfind_env(a->mirror_fd, true, &a->env, err);
}

/* ---- packs ---- */

/* Each component without following a link: the folder was the fetching user's. */
static int open_hostile(const struct adopt *a, const char *path, int flags, struct orch_err *err)
{
	int fd = orch_open_nolinks(a->spec->quarantine_fd, path, flags, 0);

	return fd < 0 ? orch_err_sys(err, -fd, "%s in what was fetched", path) : fd;
}

static int index_pack(struct adopt *a, int dirfd, const char *name, struct orch_err *err)
{
	const char *argv[] = {"git", "index-pack", "-v", HARMLESS, "--stdin", NULL};
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	orch_auto(fd) int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return orch_err_sys(err, errno, "pack %s", name);
	if (!S_ISREG(st.st_mode))
		return orch_err_set(err, ORCH_ECORRUPT, "pack %s is no file", name);
	a->run.stdin_fd = fd;
	a->run.out = &out;
	a->run.progress = true;
	r = sync_gitrun(&a->run, argv, err);
	a->run.stdin_fd = -1;
	a->run.out = NULL;
	if (r < 0) {
		orch_err_wrap(err, "pack %s", name);
		return r;
	}
	a->made.packs++;
	a->made.pack_bytes += (uint64_t)st.st_size;
	return 0;
}

/* Those that the mirror does not have; they may build on one another, so in the order of their making. */
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

static size_t choose_packs(
    const struct adopt *a, int dirfd, const struct orch_strv *names, struct pack *out)
{
	size_t n = 0;

	for (size_t i = 0; i < names->count; i++) {
		char *name = names->v[i];
		struct stat st;

		if (!ends_with(name, ".pack") || has(a->packs_fd, name) ||
		    fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		out[n].name = name;
		out[n++].made = st.st_mtim;
	}
	qsort(out, n, sizeof(*out), by_time);
	return n;
}

static int take_packs(struct adopt *a, struct orch_err *err)
{
	orch_auto(fd) int fd = open_hostile(a, PACKS, O_RDONLY | O_DIRECTORY, err);
	orch_auto(strv) struct orch_strv names = ORCH_STRV_INIT;
	orch_auto(free) struct pack *packs = NULL;
	size_t n;
	int r = fd < 0 ? fd : list(fd, &names, err);

	if (r < 0)
		return r;
	packs = calloc(names.count + 1, sizeof(*packs));
	if (!packs)
		return orch_err_set(err, ENOMEM, "no memory");
	n = choose_packs(a, fd, &names, packs);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = index_pack(a, fd, packs[i].name, err);
	return r;
}

/* ---- refs ---- */

static int load_brought(const struct adopt *a, struct sync_gitrefs *out, struct orch_err *err)
{
	orch_auto(fd) int fd =
	    open_hostile(a, SYNC_GITFETCH_REFS, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, err);
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return orch_err_set(err, ORCH_ECORRUPT, "the list of refs is no file");
	orch_buf_init(&b, SYNC_GITREFS_BYTES);
	r = orch_fd_slurp(fd, &b);
	if (r < 0)
		return orch_err_sys(err, -r, "the list of refs");
	return sync_gitrefs_parse(b.data ? (const char *)b.data : "", b.len, out, err);
}

/* Of every ref: its object is there, and a branch's is a commit. answer: a line for each. */
static int judge_refs(
    const struct sync_gitrefs *refs, const struct orch_buf *answer, struct orch_err *err)
{
	const char *s = answer->data ? (const char *)answer->data : "";

	for (size_t i = 0; i < refs->count; i++) {
		const struct sync_gitref *ref = &refs->v[i];
		size_t n = strcspn(s, "\n");
		bool commit =
		    n > SYNC_GITREV_HEX + 7 && strncmp(s + SYNC_GITREV_HEX, " commit", 7) == 0;

		if (strncmp(s, ref->id, SYNC_GITREV_HEX) != 0 ||
		    (n > 8 && strncmp(s + n - 8, " missing", 8) == 0))
			return orch_err_set(err, ORCH_ECORRUPT, "%.200s is %s, which did not come",
			    ref->name, ref->id);
		if (!commit &&
		    (strncmp(ref->name, "refs/heads/", 11) == 0 ||
			strncmp(ref->name, SYNC_GITREF_COMMITS, strlen(SYNC_GITREF_COMMITS)) == 0))
			return orch_err_set(err, ORCH_ECORRUPT, "%.200s is no commit", ref->name);
		s += n;
		s += *s == '\n';
	}
	return 0;
}

/* text: the new packed-refs. */
static int check_refs(struct adopt *a, const struct orch_buf *text, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf asked = ORCH_BUF_INIT;
	orch_auto(buf) struct orch_buf answer = ORCH_BUF_INIT;
	struct sync_gitrefs refs;
	int r = sync_gitrefs_parse((const char *)text->data, text->len, &refs, err);

	if (r < 0)
		return r;
	orch_buf_init(&asked, SYNC_GITREFS_BYTES);
	for (size_t i = 0; i < refs.count; i++)
		(void)orch_buf_printf(&asked, "%s\n", refs.v[i].id);
	r = asked.failed ? orch_err_set(err, ENOMEM, "no memory")
			 : sync_gitfind_check(&a->run, &asked, &answer, err);
	if (r == 0)
		r = judge_refs(&refs, &answer, err);
	sync_gitrefs_fini(&refs);
	return r;
}

static int make_refs(struct adopt *a, struct orch_buf *out, struct orch_err *err)
{
	struct sync_gitrefs mirror = {0}, brought = {0};
	size_t changed = 0;
	int r = sync_gitfind_refs(a->mirror_fd, &mirror, err);

	orch_buf_init(out, SYNC_GITREFS_BYTES);
	if (r == 0)
		r = load_brought(a, &brought, err);
	if (r == 0)
		r = sync_gitrefs_merge(&mirror, &brought, &a->spec->scope, out, &changed, err);
	sync_gitrefs_fini(&mirror);
	sync_gitrefs_fini(&brought);
	a->made.refs_changed = changed;
	if (r == 0 && changed)
		r = check_refs(a, out, err);
	return r;
}

/* ---- into place ---- */

static int move_part(int from, int to, const char *name, const char *suffix)
{
	char part[ORCH_NAME_MAX + 8];
	int r;

	snprintf(part, sizeof(part), "%.*s%s", (int)strlen(name) - 4, name, suffix);
	r = orch_rename(from, part, to, part, 0);
	return r == -ENOENT && strcmp(suffix, ".rev") == 0 ? 0 : r;
}

/* git has synced the files. A pack counts when its index is there, so that goes last. */
static int move_packs(struct adopt *a, struct orch_err *err)
{
	orch_auto(fd) int from = openat(a->mirror_fd, INCOMING "/pack", FOLDER_FLAGS);
	orch_auto(strv) struct orch_strv names = ORCH_STRV_INIT;
	int r = from < 0 ? orch_err_sys(err, errno, INCOMING) : list(from, &names, err);

	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < names.count; i++) {
		const char *name = names.v[i];

		if (!ends_with(name, ".idx"))
			continue;
		r = move_part(from, a->packs_fd, name, ".pack");
		if (r == 0)
			r = move_part(from, a->packs_fd, name, ".rev");
		if (r == 0)
			r = move_part(from, a->packs_fd, name, ".idx");
	}
	if (r == 0 && a->made.packs)
		r = orch_fd_sync(a->packs_fd);
	return r < 0 ? orch_err_sys(err, -r, "new packs of the mirror") : 0;
}

static int save_refs(struct adopt *a, const struct orch_buf *text, struct orch_err *err)
{
	orch_auto(fd) int repo = openat(a->mirror_fd, REPO, FOLDER_FLAGS);

	if (repo < 0)
		return orch_err_sys(err, errno, REPO);
	return orch_file_save(repo, "packed-refs", text->data, text->len, 0644, err);
}

static int run(struct adopt *a, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf refs = ORCH_BUF_INIT;
	int r = begin(a, err);

	if (r == 0)
		r = take_packs(a, err);
	if (r == 0)
		r = make_refs(a, &refs, err);
	if (r == 0)
		r = move_packs(a, err);
	if (r == 0 && a->made.refs_changed)
		r = save_refs(a, &refs, err);
	return r;
}

int sync_gitadopt(struct sync_task *t, const struct sync_gitadopt_spec *spec,
    struct sync_gitadopted *out, struct orch_err *err)
{
	struct adopt a = {.task = t,
	    .spec = spec,
	    .env = ORCH_STRV_INIT,
	    .mirror_fd = spec->mirror_fd,
	    .packs_fd = -1};
	struct orch_err left = ORCH_ERR_INIT;
	int r;

	a.run = (struct sync_gitrun){
	    .task = t, .env = &a.env, .fds = &a.mirror_fd, .fd_count = 1, .stdin_fd = -1};
	r = run(&a, err);
	if (orch_remove_tree(spec->mirror_fd, INCOMING, &left) < 0)
		sync_task_warn(t, "%s", left.msg); /* the next one does it */
	orch_fd_close(a.packs_fd);
	orch_strv_fini(&a.env);
	if (r == 0)
		*out = a.made;
	return r;
}
