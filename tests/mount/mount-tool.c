/*
 * A helper of the tests of orch-mount: makes a store without the programs that own one, and speaks
 * to a mount's control socket.
 *
 *   mount-tool store STORE FOLDER      objects, one pack, prints the snapshot (FOLDER "-": an empty one)
 *   mount-tool commit STORE FOLDER     the same, with FOLDER's own inode numbers: it is a mount
 *   mount-tool layer STORE ID PARENT SNAPSHOT WORKSPACE [UID GID]   layers/ID with its head
 *   mount-tool ctl SOCKET COMMAND [TAG=VALUE...]   prints status, then TAG=VALUE lines
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/hash.h"
#include "format/layer.h"
#include "format/msg.h"
#include "format/pack.h"
#include "format/snapshot.h"
#include "format/stamps.h"
#include "format/tree.h"
#include "view/object.h"

#define DIE(...)                                                   \
	do {                                                       \
		fprintf(stderr, __VA_ARGS__);                      \
		fprintf(stderr, ": %s\n", strerrordesc_np(errno)); \
		exit(1);                                           \
	} while (0)

struct seen { /* a file with several names */
	dev_t dev;
	ino_t file;
	uint64_t ino;
};

struct maker {
	int objects;
	struct fmt_pack_writer *pack;
	struct orch_buf bytes;
	bool keep_inodes;
	uint64_t next_ino;
	struct seen *seen;
	size_t seen_count;
};

static struct orch_digest add_record(struct maker *m, enum fmt_pack_kind kind, struct orch_buf *b)
{
	struct orch_digest d;
	int r;

	orch_sha256(b->data, b->len, &d);
	r = fmt_pack_writer_add(m->pack, kind, &d, b->data, b->len, &m->bytes);
	if (r < 0 && r != -EEXIST) {
		errno = -r;
		DIE("pack record");
	}
	return d;
}

static struct orch_digest add_object(struct maker *m, int dir, const char *name, uint64_t *size)
{
	char path[VIEW_OBJECT_PATH_BYTES], folder[8];
	struct orch_err err = ORCH_ERR_INIT;
	struct timespec times[2];
	struct orch_digest d;
	int from = openat(dir, name, O_RDONLY), to;

	if (from < 0 || orch_hash_fd(from, 0, &d, NULL, size, &err) < 0)
		DIE("%s", name);
	view_object_path(&d, path);
	snprintf(folder, sizeof(folder), "%.5s", path);
	if (orch_mkdirs(m->objects, folder, 0755, &err) < 0)
		DIE("%s", folder);
	to = openat(m->objects, path, O_RDWR | O_CREAT | O_EXCL, 0444);
	if (to >= 0) {
		if (orch_fd_clone_or_copy(from, to, NULL, NULL, &err) < 0)
			DIE("%s", err.msg);
		times[0] = times[1] = orch_ns_timespec(view_object_mtime_ns(&d));
		futimens(to, times);
		close(to);
	}
	close(from);
	return d;
}

static uint64_t ino_of(struct maker *m, const struct stat *st)
{
	if (m->keep_inodes) {
		if (st->st_ino >= m->next_ino)
			m->next_ino = st->st_ino + 1;
		return st->st_ino;
	}
	if (S_ISDIR(st->st_mode) || st->st_nlink == 1)
		return m->next_ino++;
	for (size_t i = 0; i < m->seen_count; i++)
		if (m->seen[i].dev == st->st_dev && m->seen[i].file == st->st_ino)
			return m->seen[i].ino;
	m->seen = reallocarray(m->seen, m->seen_count + 1, sizeof(*m->seen));
	m->seen[m->seen_count++] = (struct seen){st->st_dev, st->st_ino, m->next_ino};
	return m->next_ino++;
}

/* user.* of a file or folder, encoded. */
static void add_xattrs(int dir, const char *name, struct orch_buf *out)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW);
	char names[4096], value[4096];
	ssize_t len = fd < 0 ? 0 : flistxattr(fd, names, sizeof(names));

	for (char *p = names; len > 0 && p < names + len; p += strlen(p) + 1) {
		struct fmt_xattrs have = {.p = out->data, .len = out->len};
		orch_auto(buf) struct orch_buf next = ORCH_BUF_INIT;
		ssize_t n = fgetxattr(fd, p, value, sizeof(value));

		if (strncmp(p, "user.", 5) != 0 || n < 0)
			continue;
		if (fmt_xattrs_with(&have, p, value, (size_t)n, &next) < 0)
			DIE("%s of %s", p, name);
		orch_buf_reset(out);
		if (orch_buf_add(out, next.data, next.len) < 0)
			DIE("%s of %s", p, name);
	}
	orch_fd_close(fd);
}

struct made {
	struct orch_digest tree, stamps;
	uint64_t size, count;
};

static struct made add_dir(struct maker *m, int dir);

/* One entry; false: a kind that snapshots don't have. target must outlive the builder's _add. */
static bool add_entry(struct maker *m, int dir, const char *name, struct fmt_tree_builder *tree,
    struct fmt_stamp *stamp, struct made *sum)
{
	struct fmt_entry e = {.name = name, .name_len = strlen(name)};
	orch_auto(buf) struct orch_buf xattrs = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	char target[4096];
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		DIE("%s", name);
	*stamp = (struct fmt_stamp){
	    .ino = ino_of(m, &st), .nlink = 1, .mtime_ns = orch_timespec_ns(&st.st_mtim)};
	e.mode = st.st_mode & 07777;
	e.uid = st.st_uid == 0 ? FMT_ID_OWNER : st.st_uid;
	e.gid = st.st_gid == 0 ? FMT_ID_OWNER : st.st_gid;
	if (!S_ISDIR(st.st_mode))
		stamp->nlink = (uint32_t)st.st_nlink;
	if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)) {
		add_xattrs(dir, name, &xattrs);
		e.xattrs = (struct fmt_xattrs){.p = xattrs.data, .len = xattrs.len};
	}
	if (S_ISDIR(st.st_mode)) {
		int fd = openat(dir, name, O_RDONLY | O_DIRECTORY);
		struct made sub = add_dir(m, fd);

		e.type = FMT_DIR;
		e.digest = sub.tree;
		e.size = sub.size;
		e.count = sub.count;
		stamp->stamps = sub.stamps;
		sum->count += sub.count;
	} else if (S_ISREG(st.st_mode)) {
		e.type = FMT_REG;
		e.digest = add_object(m, dir, name, &e.size);
	} else if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(dir, name, target, sizeof(target));

		e.type = FMT_SYMLINK;
		e.target = target;
		e.size = e.target_len = n > 0 ? (size_t)n : 0;
	} else {
		return false;
	}
	sum->size += e.type == FMT_SYMLINK ? 0 : e.size;
	sum->count++;
	if (fmt_tree_builder_add(tree, &e, &err) < 0)
		DIE("%s: %s", name, err.msg);
	return true;
}

static struct made add_dir(struct maker *m, int dir)
{
	struct fmt_tree_builder *tree = fmt_tree_builder_new();
	struct fmt_stamps_builder *sb = fmt_stamps_builder_new();
	orch_auto(buf) struct orch_buf t = ORCH_BUF_INIT, s = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	struct fmt_stamp *stamps = NULL;
	struct made out = {0};
	uint32_t n = 0;
	DIR *d = fdopendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if ((n & (n - 1)) == 0) /* full at each power of two */
			stamps = reallocarray(stamps, n ? 2 * (size_t)n : 1, sizeof(*stamps));
		if (add_entry(m, dir, e->d_name, tree, &stamps[n], &out))
			n++;
	}
	if (fmt_tree_builder_end(tree, &t, &err) < 0)
		DIE("tree: %s", err.msg);
	for (uint32_t i = 0; i < n; i++)
		if (fmt_stamps_builder_add(sb, &stamps[fmt_tree_builder_order(tree, i)]) < 0)
			DIE("stamps");
	if (fmt_stamps_builder_end(sb, &s) < 0)
		DIE("stamps");
	out.tree = add_record(m, FMT_PACK_TREE, &t);
	out.stamps = add_record(m, FMT_PACK_STAMPS, &s);
	fmt_tree_builder_free(tree);
	fmt_stamps_builder_free(sb);
	free(stamps);
	if (d)
		closedir(d);
	return out;
}

static void write_pack(struct maker *m, int store)
{
	char name[64];
	int n = 1, fd;

	do {
		snprintf(name, sizeof(name), "packs/%d", n++);
		fd = openat(store, name, O_WRONLY | O_CREAT | O_EXCL, 0444);
	} while (fd < 0 && errno == EEXIST);
	if (fd < 0 || orch_fd_write_all(fd, m->bytes.data, m->bytes.len) < 0)
		DIE("%s", name);
	close(fd);
}

static int make_store(const char *path, const char *folder, bool keep_inodes)
{
	struct maker m = {.pack = fmt_pack_writer_new(),
	    .next_ino = FMT_ROOT_INO + 1,
	    .keep_inodes = keep_inodes};
	orch_auto(buf) struct orch_buf snap = ORCH_BUF_INIT;
	struct fmt_snapshot s = {.source = ""};
	char hex[ORCH_DIGEST_HEX + 1];
	struct orch_digest id;
	struct made root;
	struct stat st;
	int store, dir;

	orch_buf_init(&m.bytes, (size_t)2 << 30);
	mkdir(path, 0755);
	store = open(path, O_RDONLY | O_DIRECTORY);
	mkdirat(store, "objects", 0755);
	mkdirat(store, "packs", 0755);
	mkdirat(store, "layers", 0755);
	m.objects = openat(store, "objects", O_RDONLY | O_DIRECTORY);
	dir = open(folder, O_RDONLY | O_DIRECTORY);
	if (store < 0 || m.objects < 0 || dir < 0 || fstat(dir, &st) < 0)
		DIE("%s", folder);
	if (fmt_pack_writer_begin(m.pack, &m.bytes) < 0)
		DIE("pack");
	root = add_dir(&m, dup(dir));
	s.root = (struct fmt_entry){.name = "",
	    .type = FMT_DIR,
	    .mode = st.st_mode & 07777,
	    .uid = FMT_ID_OWNER,
	    .gid = FMT_ID_OWNER,
	    .size = root.size,
	    .count = root.count,
	    .digest = root.tree};
	s.stamps = root.stamps;
	s.root_mtime_ns = orch_timespec_ns(&st.st_mtim);
	s.next_ino = m.next_ino;
	if (fmt_snapshot_format(&s, &snap) < 0)
		DIE("snapshot");
	id = add_record(&m, FMT_PACK_SNAPSHOT, &snap);
	if (fmt_pack_writer_end(m.pack, &m.bytes) < 0)
		DIE("pack");
	write_pack(&m, store);
	orch_digest_format(&id, hex);
	puts(hex);
	fmt_pack_writer_free(m.pack);
	orch_buf_fini(&m.bytes);
	free(m.seen);
	close(dir);
	close(m.objects);
	close(store);
	return 0;
}

static int make_layer(int argc, char **argv)
{
	struct fmt_layer_head h = {.next_ino = FMT_ROOT_INO + 1,
	    .next_spool = 1,
	    .seq = 1,
	    .segment = 1,
	    .wall_ns = orch_wall_ns()};
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	char path[4096];
	int fd;

	h.layer = strtoull(argv[1], NULL, 10);
	h.parent = strtoull(argv[2], NULL, 10);
	if (strcmp(argv[3], "-") != 0 && orch_digest_parse(argv[3], &h.snapshot) < 0)
		DIE("%s", argv[3]);
	snprintf(h.workspace, sizeof(h.workspace), "%s", argv[4]);
	h.uid = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 0;
	h.gid = argc > 6 ? (uint32_t)strtoul(argv[6], NULL, 10) : 0;
	if (fmt_layer_head_frame(&h, &b) < 0)
		DIE("head");
	snprintf(path, sizeof(path), "%s/layers/%s", argv[0], argv[1]);
	if (mkdir(path, 0755) < 0)
		DIE("%s", path);
	snprintf(path, sizeof(path), "%s/layers/%s/spool", argv[0], argv[1]);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/layers/%s/log.1", argv[0], argv[1]);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || orch_fd_write_all(fd, b.data, b.len) < 0)
		DIE("%s", path);
	close(fd);
	return 0;
}

/* ---- control */

static const struct {
	const char *name;
	uint16_t type;
} commands[] = {{"hello", FMT_MSG_HELLO}, {"status", FMT_MSG_STATUS}, {"seal", FMT_MSG_SEAL},
    {"rebase", FMT_MSG_REBASE}, {"changes", FMT_MSG_CHANGES}, {"umount", FMT_MSG_UMOUNT},
    {"freeze", FMT_MSG_FREEZE}, {"thaw", FMT_MSG_THAW}, {"sync", FMT_MSG_SYNC},
    {"ping", FMT_MSG_PING}, {"flatten", FMT_MSG_FLATTEN}, {"unknown", 99}};

static const struct {
	const char *name;
	uint16_t tag;
	enum { NUMBER, TEXT, DIGEST } kind;
} tags[] = {{"workspace", FMT_TAG_WORKSPACE, TEXT}, {"layer", FMT_TAG_LAYER, NUMBER},
    {"seq", FMT_TAG_SEQ, NUMBER}, {"snapshot", FMT_TAG_SNAPSHOT, DIGEST},
    {"flags", FMT_TAG_FLAGS, NUMBER}, {"error", FMT_TAG_ERROR, TEXT}, {"json", FMT_TAG_JSON, TEXT},
    {"pid", FMT_TAG_PID, NUMBER}, {"deadline_ms", FMT_TAG_DEADLINE_MS, NUMBER},
    {"sealed", FMT_TAG_SEALED, NUMBER}, {"next_ino", FMT_TAG_NEXT_INO, NUMBER},
    {"mountpoint", FMT_TAG_MOUNTPOINT, TEXT}, {"boot", FMT_TAG_BOOT, TEXT},
    {"layers", FMT_TAG_LAYERS, NUMBER}};

static void add_tag(struct orch_buf *b, const char *arg)
{
	const char *eq = strchr(arg, '=');
	struct orch_digest d;
	int r = -EINVAL;

	for (size_t i = 0; eq && i < ORCH_ARRAY_LEN(tags); i++) {
		if (strlen(tags[i].name) != (size_t)(eq - arg) ||
		    strncmp(tags[i].name, arg, (size_t)(eq - arg)) != 0)
			continue;
		if (tags[i].kind == NUMBER)
			r = fmt_msg_add_u64(b, tags[i].tag, strtoull(eq + 1, NULL, 10));
		else if (tags[i].kind == TEXT)
			r = fmt_msg_add_str(b, tags[i].tag, eq + 1);
		else if (orch_digest_parse(eq + 1, &d) == 0)
			r = fmt_msg_add(b, tags[i].tag, d.b, sizeof(d.b));
	}
	if (r < 0) {
		errno = -r;
		DIE("%s", arg);
	}
}

static void print_tags(const struct fmt_msg *m)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(tags); i++) {
		size_t len;
		const uint8_t *p = fmt_msg_get(m, tags[i].tag, &len);
		char hex[ORCH_DIGEST_HEX + 1];
		uint64_t n;

		if (!p)
			continue;
		printf("%s=", tags[i].name);
		if (tags[i].kind == NUMBER && fmt_msg_get_u64(m, tags[i].tag, &n))
			printf("%llu\n", (unsigned long long)n);
		else if (tags[i].kind == DIGEST && len == ORCH_DIGEST_BYTES) {
			struct orch_digest d;

			memcpy(d.b, p, sizeof(d.b));
			orch_digest_format(&d, hex);
			printf("%s\n", hex);
		} else {
			printf("%.*s\n", (int)len, (const char *)p);
		}
	}
}

static int ctl(int argc, char **argv)
{
	static uint8_t bytes[FMT_MSG_MAX];
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	int sock = orch_sock_connect(argv[0], SOCK_SEQPACKET, ORCH_FOREVER, &err), out = 1;
	int fds[ORCH_SOCK_FDS_MAX];
	size_t fd_count = 0;
	uint16_t type = 0;
	struct fmt_msg m;
	ssize_t n;

	if (sock < 0) {
		errno = err.code;
		DIE("%s", err.msg);
	}
	for (size_t i = 0; i < ORCH_ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, argv[1]) == 0)
			type = commands[i].type;
	if (type == 0 || fmt_msg_begin(&b, type, 7, 0) < 0)
		DIE("%s", argv[1]);
	for (int i = 2; i < argc; i++)
		add_tag(&b, argv[i]);
	if (fmt_msg_end(&b) < 0 || orch_sock_send(sock, b.data, b.len, &out,
				       type == FMT_MSG_CHANGES ? 1 : 0, ORCH_FOREVER) < 0)
		DIE("send");
	n = orch_sock_recv(sock, bytes, sizeof(bytes), fds, &fd_count, ORCH_FOREVER);
	if (n <= 0 || fmt_msg_parse(bytes, (size_t)n, &m, &err) < 0)
		DIE("no answer");
	if (m.id != 7 || m.type != (type | FMT_MSG_REPLY))
		DIE("another answer");
	printf("status=%d\n", m.status);
	print_tags(&m);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "store") == 0)
		return make_store(argv[2], argv[3], false);
	if (argc == 4 && strcmp(argv[1], "commit") == 0)
		return make_store(argv[2], argv[3], true);
	if (argc >= 7 && strcmp(argv[1], "layer") == 0)
		return make_layer(argc - 2, argv + 2);
	if (argc >= 4 && strcmp(argv[1], "ctl") == 0)
		return ctl(argc - 2, argv + 2);
	fprintf(stderr, "usage: mount-tool store|layer|ctl ...\n");
	return 2;
}
