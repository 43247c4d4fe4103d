/* See doctor_store.h. */
#include "shim/doctor_store.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/fd.h"

#define FOUND(f, ...) snprintf((f)->found, sizeof((f)->found), __VA_ARGS__)

struct trial {
	int dir, file;
};

static bool locks(const struct trial *t)
{
	return flock(t->file, LOCK_EX | LOCK_NB) == 0;
}

static bool maps(const struct trial *t)
{
	void *p = mmap(NULL, 4, PROT_READ, MAP_SHARED, t->file, 0);

	return p != MAP_FAILED && munmap(p, 4) == 0;
}

static bool links(const struct trial *t)
{
	return linkat(t->dir, "a", t->dir, "b", 0) == 0;
}

static bool renames(const struct trial *t)
{
	return renameat2(t->dir, "a", t->dir, "c", RENAME_NOREPLACE) == 0;
}

/* An object's time tells whether it is still what was checked. */
static bool keeps_times(const struct trial *t)
{
	struct timespec times[2] = {{1, 1}, {1234567, 123456789}};
	struct stat st;

	return futimens(t->file, times) == 0 && fstat(t->file, &st) == 0 &&
	       st.st_mtim.tv_sec == times[1].tv_sec && st.st_mtim.tv_nsec == times[1].tv_nsec;
}

static bool keeps_modes(const struct trial *t)
{
	struct stat st;

	return fchmod(t->file, 0444) == 0 && fstat(t->file, &st) == 0 &&
	       (st.st_mode & 07777) == 0444;
}

static const struct {
	const char *what;
	bool (*works)(const struct trial *t);
} needs[] = {
    {"locks", locks},
    {"mapped files", maps},
    {"times in nanoseconds", keeps_times},
    {"modes", keeps_modes},
    {"hard links", links},
    {"renames that replace nothing", renames},
};

static void run(const struct trial *t, const char *folder, struct shim_finding *out)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(needs); i++)
		if (!needs[i].works(t)) {
			FOUND(out, "%.90s: no %s (%m)", folder, needs[i].what);
			return;
		}
	out->health = SHIM_HAS;
	FOUND(out, "%.150s", folder);
}

void shim_find_store(const char *folder, struct shim_finding *out)
{
	char path[300];
	struct trial t = {.dir = -1, .file = -1};

	out->health = SHIM_NEEDS;
	snprintf(path, sizeof(path), "%s/.orch-doctor.XXXXXX", folder);
	if (!mkdtemp(path)) {
		FOUND(out, "%.100s: %m", folder);
		return;
	}
	t.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t.dir >= 0)
		t.file = openat(t.dir, "a", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (t.file < 0 || orch_fd_write_all(t.file, "orch", 4) < 0)
		FOUND(out, "%.100s: %m", folder);
	else
		run(&t, folder, out);
	orch_fd_close(t.file);
	orch_fd_close(t.dir);
	(void)!orch_remove_tree(AT_FDCWD, path, NULL);
}
