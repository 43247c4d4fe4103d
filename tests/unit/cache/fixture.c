#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/verify.h"
#include "core/fd.h"
#include "format/snapshot.h"
#include "view/object.h"

void fx_ok(int r, const struct orch_err *err, const char *what)
{
	if (r < 0)
		fail_msg("%s: %d: %s", what, r, err ? err->msg : "");
}

int fx_try_open(struct fx *f, struct orch_err *err)
{
	return cas_store_open(f->store, CAS_STORE_CREATE, &f->s, err);
}

void fx_open(struct fx *f)
{
	struct orch_err err = ORCH_ERR_INIT;

	FX_OK(fx_try_open(f, &err), &err);
}

void fx_close(struct fx *f)
{
	cas_store_close(f->s);
	f->s = NULL;
}

int fx_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct fx *f = calloc(1, sizeof(*f));

	snprintf(f->root, sizeof(f->root), "%s/orch-cache-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(f->root))
		return -1;
	snprintf(f->store, sizeof(f->store), "%s/store", f->root);
	*state = f;
	fx_open(f);
	return 0;
}

int fx_teardown(void **state)
{
	struct fx *f = *state;
	int r;

	cas_store_close(f->s);
	r = orch_remove_tree(AT_FDCWD, f->root, NULL);
	free(f);
	return r;
}

void fx_quarantine(struct fx *f, struct fx_quarantine *out)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_quarantine_spec spec = {
	    .objects_fd = cas_store_objects_fd(f->s),
	    .packset = cas_store_packset(f->s),
	    .seed = cas_store_seed(f->s),
	};

	memset(out, 0, sizeof(*out));
	out->s = f->s;
	out->next_ino = 2;
	FX_OK(cas_publish_prepare(f->s, geteuid(), getegid(), out->id, &out->fd, &err), &err);
	spec.dirfd = out->fd;
	FX_OK(cas_quarantine_open(&spec, &out->q, &err), &err);
}

void fx_quarantine_abandon(struct fx_quarantine *q)
{
	cas_quarantine_free(q->q);
	orch_fd_close(q->fd);
	q->q = NULL;
	q->fd = -1;
}

void fx_quarantine_finish(struct fx_quarantine *q)
{
	struct orch_err err = ORCH_ERR_INIT;

	FX_OK(cas_quarantine_finish(q->q, &err), &err);
	fx_quarantine_abandon(q);
}

static void fill_entry(
    struct fx_quarantine *q, const struct fx_entry *from, struct fmt_entry *e, struct fmt_stamp *s)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_added added;

	memset(e, 0, sizeof(*e));
	memset(s, 0, sizeof(*s));
	e->name = from->name;
	e->name_len = strlen(from->name);
	e->uid = e->gid = FMT_ID_OWNER;
	s->ino = from->ino ? from->ino : q->next_ino;
	if (s->ino >= q->next_ino)
		q->next_ino = s->ino + 1;
	s->mtime_ns = from->mtime_ns ? from->mtime_ns : 1000;
	s->nlink = 1;
	if (from->dir) {
		e->type = FMT_DIR;
		e->mode = from->mode ? from->mode : 0755;
		e->digest = from->dir->tree;
		e->size = from->dir->size;
		e->count = from->dir->count;
		s->stamps = from->dir->stamps;
	} else if (from->target) {
		e->type = FMT_SYMLINK;
		e->mode = 0777;
		e->target = from->target;
		e->target_len = strlen(from->target);
		e->size = e->target_len;
	} else {
		e->type = FMT_REG;
		e->mode = from->mode ? from->mode : 0644;
		FX_OK(cas_quarantine_add_bytes(q->q, from->text, strlen(from->text), &added, &err),
		    &err);
		e->digest = added.object.digest;
		e->size = added.object.size;
	}
}

struct fx_made fx_folder(struct fx_quarantine *q, const struct fx_entry *v, size_t count)
{
	struct fmt_tree_builder *tb = fmt_tree_builder_new();
	struct fmt_stamps_builder *sb = fmt_stamps_builder_new();
	struct fmt_stamp *stamps = calloc(count + 1, sizeof(*stamps));
	struct orch_buf bytes = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	struct fx_made made = {.size = 0};

	for (size_t i = 0; i < count; i++) {
		struct fmt_entry e;

		fill_entry(q, &v[i], &e, &stamps[i]);
		made.size += e.type == FMT_SYMLINK ? 0 : e.size;
		made.count += 1 + e.count;
		FX_OK(fmt_tree_builder_add(tb, &e, &err), &err);
	}
	FX_OK(fmt_tree_builder_end(tb, &bytes, &err), &err);
	FX_OK(
	    cas_quarantine_add_record(q->q, FMT_PACK_TREE, bytes.data, bytes.len, &made.tree, &err),
	    &err);
	for (size_t i = 0; i < count; i++)
		FX_OK(fmt_stamps_builder_add(sb, &stamps[fmt_tree_builder_order(tb, (uint32_t)i)]),
		    NULL);
	orch_buf_reset(&bytes);
	FX_OK(fmt_stamps_builder_end(sb, &bytes), NULL);
	FX_OK(cas_quarantine_add_record(
		  q->q, FMT_PACK_STAMPS, bytes.data, bytes.len, &made.stamps, &err),
	    &err);
	orch_buf_fini(&bytes);
	fmt_tree_builder_free(tb);
	fmt_stamps_builder_free(sb);
	free(stamps);
	return made;
}

struct orch_digest fx_snapshot(struct fx_quarantine *q, const struct fx_made *root)
{
	struct fmt_snapshot s = {.next_ino = q->next_ino, .source = "test", .source_len = 4};
	struct orch_buf bytes = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_digest id;

	s.root.name = "";
	s.root.type = FMT_DIR;
	s.root.mode = 0755;
	s.root.uid = s.root.gid = FMT_ID_OWNER;
	s.root.digest = root->tree;
	s.root.size = root->size;
	s.root.count = root->count;
	s.stamps = root->stamps;
	FX_OK(fmt_snapshot_format(&s, &bytes), NULL);
	FX_OK(cas_quarantine_add_record(q->q, FMT_PACK_SNAPSHOT, bytes.data, bytes.len, &id, &err),
	    &err);
	orch_buf_fini(&bytes);
	return id;
}

struct orch_digest fx_prepare(
    struct fx *f, unsigned count, unsigned seed, struct fx_quarantine *q, struct cas_publish *out)
{
	struct fx_entry *v = calloc(count + 1, sizeof(*v));
	char(*text)[64] = calloc(count + 1, sizeof(*text));
	char(*name)[32] = calloc(count + 1, sizeof(*name));
	struct fx_made sub, root;
	struct orch_digest id;

	fx_quarantine(f, q);
	for (unsigned i = 0; i < count; i++) {
		snprintf(text[i], sizeof(text[i]), "file %u of %u\n", i, seed);
		snprintf(name[i], sizeof(name[i]), "f%u", i);
		v[i].name = name[i];
		v[i].text = text[i];
	}
	sub = fx_folder(q, v, count);
	{
		struct fx_entry top[] = {
		    {.name = "dir", .dir = &sub},
		    {.name = "link", .target = "dir/f0"},
		    {.name = "same", .text = "always the same\n"},
		};

		root = fx_folder(q, top, 3);
	}
	id = fx_snapshot(q, &root);
	fx_quarantine_finish(q);
	free(v);
	free(text);
	free(name);
	*out = (struct cas_publish){.quarantine = q->id, .snapshot = id};
	return id;
}

struct orch_digest fx_publish(struct fx *f, unsigned count, unsigned seed, const char *ref)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_published done;
	struct fx_quarantine q;
	struct cas_publish p;
	struct orch_digest id = fx_prepare(f, count, seed, &q, &p);

	p.ref = ref;
	FX_OK(cas_publish(f->s, &p, &done, &err), &err);
	return id;
}

void fx_object_of(const char *text, struct orch_digest *out)
{
	orch_sha256(text, strlen(text), out);
}

void fx_object_path(const struct orch_digest *d, char out[100])
{
	char path[VIEW_OBJECT_PATH_BYTES];

	view_object_path(d, path);
	snprintf(out, 100, "objects/%s", path);
}

void fx_flip(struct fx *f, const char *path, long at)
{
	char whole[700];
	unsigned char c;
	struct stat st;
	int fd;

	snprintf(whole, sizeof(whole), "%s/%s", f->store, path);
	assert_int_equal(chmod(whole, 0644), 0);
	fd = open(whole, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	if (at < 0)
		at += (long)st.st_size;
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 0x10;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	close(fd);
	assert_int_equal(chmod(whole, st.st_mode & 07777), 0);
}

bool fx_exists(struct fx *f, const char *path)
{
	char whole[700];
	struct stat st;

	snprintf(whole, sizeof(whole), "%s/%s", f->store, path);
	return lstat(whole, &st) == 0;
}

static int note_bad(void *priv, const struct cas_bad *bad)
{
	struct fx_bad *b = priv;
	size_t at = strlen(b->text);

	b->count++;
	b->repaired += bad->repaired;
	snprintf(b->text + at, sizeof(b->text) - at, "%s %s: %s%s\n", cas_bad_kind_name(bad->kind),
	    bad->name, bad->error, bad->repaired ? " (repaired)" : "");
	return 0;
}

void fx_verify(struct fx *f, bool repair, struct fx_bad *out)
{
	struct cas_verify_spec spec = {.repair = repair, .on_bad = note_bad, .priv = out};
	struct orch_err err = ORCH_ERR_INIT;
	struct cas_verified done;

	memset(out, 0, sizeof(*out));
	FX_OK(cas_verify(f->s, &spec, &done, &err), &err);
	assert_int_equal(done.bad, out->count);
	assert_int_equal(done.repaired, out->repaired);
}
