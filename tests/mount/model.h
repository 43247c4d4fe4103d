/*
 * The model test: the same random operations on a mount (side 0) and on ext4 (side 1), compared after
 * each. One process is one worker, see model-tool.c. Files: model-tool.c (commands, table, choice),
 * model-names.c, model-attributes.c, model-handles.c, model-several.c (operations), model-tree.c (whole trees).
 */
#ifndef ORCH_TESTS_MODEL_H
#define ORCH_TESTS_MODEL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>

#define HANDLES	   12
#define MAPPINGS   5
#define KNOWN_MAX  600
#define PATH_BYTES 5000
#define DATA_MAX   70000
#define FILE_MAX   (4 << 20) /* offsets stay below */
#define TRACE	   48
#define USER	   1000
#define OLD_S	   1577836800 /* 2020: a time before it was set, not made */

#define FUZZY (1 << 16)
#define INOS  (1 << 18)

/* In a file that all workers map. */
struct model_table {
	pthread_mutex_t shared_lock; /* held over each operation on the part that all share */
	bool passthrough;	     /* of the mount */
	uint8_t fuzzy[FUZZY]; /* by inode number: mapped for writing, so its mtime is nobody's */
	uint16_t held
	    [FUZZY]; /* by the mount's inode number: guards and mappings, which may count as writers on one side only */
	uint8_t set_ids[FUZZY]; /* a user had it open for writing: docs/posix.md, set-id bits */
	struct {
		uint64_t key, ino;
	} inos[INOS]; /* ext4's file => its inode number on the mount */
};

struct place { /* relative to a folder handle (at >= 0) or to the root */
	int at;
	bool shared;
	char path[PATH_BYTES];
};

struct handle {
	bool used, shared, folder, tmpfile, is_path, locked;
	int fd[2];
	int guard; /* on the mount: keeps what a reader reads private, see docs/posix.md; -1: none */
	int flags;
	uid_t uid;
	ino_t ino; /* of the mount */
};

struct mapping {
	bool used, shared, writes, keeps; /* keeps: MAP_SHARED */
	uint8_t *p[2];
	size_t bytes;
	off_t at; /* in the file */
	int guard;
	ino_t ino;  /* of the mount */
	int native; /* the native file, to know its size */
};

struct model;
struct args;
struct result;
typedef void op_fn(struct model *m, int side, struct args *a, struct result *r);

struct args {
	struct place a, b;
	struct handle *h, *h2;
	struct mapping *m;
	int flags;
	unsigned mode;
	int uid, gid;
	off_t at, at2;
	size_t n;
	const char *name;
	const uint8_t *data;
	struct timespec times[2];
	int fds[2];   /* opened by the operation */
	op_fn *inner; /* of one that is watched, see model-names.c */
	unsigned moved;
};

struct result {
	long value;
	int error;
	uint64_t hash;
	bool has_stat;
	struct stat st;
	char steps[800]; /* how each step of a larger operation ended */
};

struct known {
	char *path[KNOWN_MAX]; /* relative to the root */
	bool folder[KNOWN_MAX];
	unsigned count;
};

struct model {
	const char *root[2];
	int root_fd[2];
	int part;
	uint64_t random, seed;
	uint64_t steps;
	uid_t uid;
	bool shared;	  /* this step is in the shared part */
	bool has_tmpfile; /* not with an older libfuse: docs/posix.md */
	struct model_table *table;
	struct known known[2]; /* own, shared */
	struct handle handles[HANDLES];
	struct mapping mappings[MAPPINGS];
	uint8_t data[DATA_MAX];
	char trace[TRACE][400];
	FILE *log; /* or NULL */
};

/* One step of an operation: how it ended is a part of the result. Returns value (-1: with errno). */
long model_step(struct result *r, long value);
/* For whoever reads of a difference. */
void model_say(struct result *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint64_t model_random(struct model *m);
unsigned model_below(struct model *m, unsigned n);
bool model_chance(struct model *m, unsigned percent);
uint64_t model_hash(uint64_t h, const void *p, size_t n);

_Noreturn void model_fail(struct model *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Does it on both sides and compares; what is in the trace says `what`. */
struct result model_both(struct model *m, const char *what, op_fn *fn, struct args *a);

void model_pick(struct model *m, struct place *out, unsigned exists);
void model_pick_folder(struct model *m, struct place *out);
int model_at(struct model *m, int side, const struct place *p);
/* What p's path is relative to becomes the working directory, for calls that have no *at; -1 with errno: it may not. */
int model_enter(struct model *m, int side, const struct place *p);
void model_leave(struct model *m);
void model_mark(uint8_t marks[FUZZY], ino_t native);
void model_unmark(uint8_t marks[FUZZY], ino_t native);
struct handle *model_handle(struct model *m, bool folder);
const uint8_t *model_data(struct model *m, size_t n);
void model_rescan(struct model *m, bool shared);
void model_become(struct model *m, uid_t uid);

void model_handle_close(struct model *m, struct handle *h);
void model_unmap(struct model *m, struct mapping *x);
/* A guard or a mapping of that file of the mount is there. */
bool model_is_held(struct model *m, ino_t ino);
/* What was stored through mappings reaches the files. */
void model_flush(struct model *m);

void model_names_step(struct model *m);
void model_handles_step(struct model *m);
void model_attributes_step(struct model *m);
void model_several_step(struct model *m);

/* NULL: equal; else what differs (static). plain: a was made from a snapshot, which has no fifos, sockets, devices. */
const char *model_tree_compare(struct model_table *table, bool plain, const char *a, const char *b);
/* Files whose times are fuzzy get the time that it is now, those that a user may have written no set-id bits, on
 * both sides. */
void model_tree_settle(struct model_table *table, const char *mount, const char *native);
/* Attributes of one file; NULL: equal. */
const char *model_stat_compare(
    struct model_table *table, const struct stat *a, const struct stat *b);
/* False: the mount has another inode number for that file than before. key: of ext4's file. */
bool model_ino_same(struct model_table *table, uint64_t key, uint64_t ino);
uint64_t model_ino_key(int dirfd, const char *path, int flags);

#endif
