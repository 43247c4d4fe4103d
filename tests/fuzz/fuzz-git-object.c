/* What a Git repository holds: the first byte says as what the rest is read: an id, a commit, a tree
 * (whose names are judged), .gitattributes with a path to look at, a blob to convert. */
#include "sync/git_attr_priv.h"
#include "sync/git_convert.h"
#include "sync/git_name.h"
#include "sync/git_parse.h"
#include "tests/lib/fuzz.h"

static void read_id(struct fuzz_input in)
{
	char hex[SYNC_GIT_ID_HEX + 1];
	char *text = fuzz_text(in.p, in.left);
	struct sync_git_id id, again;

	if (sync_git_id_parse(text, &id) == 0) {
		sync_git_id_format(&id, hex);
		fuzz_must(sync_git_id_parse(hex, &again) == 0);
		fuzz_must(memcmp(&id, &again, sizeof(id)) == 0);
	}
	free(text);
}

static void read_commit(struct fuzz_input in)
{
	struct sync_git_commit c;

	if (sync_git_commit_parse(in.p, in.left, &c, NULL) == 0)
		fuzz_must(c.wall_ns >= 0);
}

static void judge(const struct sync_git_entry *e)
{
	orch_auto(buf) struct orch_buf shown = ORCH_BUF_INIT;
	bool is_link = e->type == SYNC_GIT_SYMLINK;

	if (!sync_git_name_wrong(e->name, e->name_len, is_link))
		fuzz_must(e->name_len <= 255 && !memchr(e->name, '/', e->name_len));
	fuzz_must(sync_git_name_show(e->name, e->name_len, &shown) == 0);
	for (size_t i = 0; i < shown.len; i++)
		fuzz_must(shown.data[i] >= 32 && shown.data[i] != 127);
}

static void read_tree(struct fuzz_input in)
{
	struct sync_git_tree t = {.p = in.p, .end = in.p + in.left};
	struct sync_git_entry e, last = {.name = NULL};

	while (sync_git_tree_next(&t, &e, NULL) == 1) {
		if (last.name)
			fuzz_must(last.name_len != e.name_len ||
				  memcmp(last.name, e.name, e.name_len) != 0);
		judge(&e);
		last = e;
	}
}

static const struct sync_git_attr_state *add(struct sync_git_attrs *a,
    const struct sync_git_attr_state *s, struct fuzz_input text, bool root)
{
	const struct sync_git_attr_state *with;
	size_t ignored;

	if (sync_git_attrs_add(
		a, root ? NULL : s, (const char *)text.p, text.left, &with, &ignored, NULL) == 0)
		return with;
	return s;
}

/* Path, root's file, file of the first folder, each up to a NUL. */
static void read_attributes(struct fuzz_input in)
{
	struct fuzz_input path = fuzz_part(&in, '\0'), root = fuzz_part(&in, '\0');
	struct sync_git_attrs *a = sync_git_attrs_new();
	struct sync_git_attr_value v[SYNC_GIT_ATTRS];
	const struct sync_git_attr_state *s;
	struct sync_git_how how;
	bool first = true;

	fuzz_must(a != NULL);
	s = add(a, sync_git_attrs_none(a), root, true);
	while (path.left > 0 && memchr(path.p, '/', path.left)) {
		struct fuzz_input folder = fuzz_part(&path, '/');

		if (sync_git_attrs_enter(a, s, (const char *)folder.p, folder.left, &s, NULL) < 0)
			break;
		if (first)
			s = add(a, s, in, false);
		first = false;
	}
	sync_git_attrs_look(a, s, path.left ? (const char *)path.p : "", path.left, v);
	sync_git_how_of(v, &how);
	sync_git_attrs_free(a);
}

/* The first byte says how. */
static void convert(struct fuzz_input in)
{
	uint8_t bits = fuzz_u8(&in);
	struct sync_git_how how = {.lines = (enum sync_git_lines)(bits % 3),
	    .ident = bits & 0x80,
	    .encoding = (enum sync_git_encoding)(bits / 3 % (SYNC_GIT_LATIN1 + 1))};
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	struct sync_git_id id = {{1}};
	bool failed;
	int r = sync_git_convert(&how, &id, in.p, in.left, &out, &failed);

	fuzz_must(r == 0 || r == 1);
	fuzz_must(r == 1 || out.len == 0);
	if (sync_git_how_is_plain(&how))
		fuzz_must(r == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(struct fuzz_input) = {
	    read_id, read_commit, read_tree, read_attributes, convert};
	struct fuzz_input in = {data, size};
	uint8_t which = fuzz_u8(&in);

	readers[which % ORCH_ARRAY_LEN(readers)](in);
	return 0;
}
