/*
 * Git's attributes, of the commit's own .gitattributes files alone. What a folder's files and all
 * before it say is a *state*: the rules that can still match below, each with how much of its pattern
 * is used up. So a state does not depend on where the folder is, two folders that are treated the same
 * have the same key, and what is below them can be remembered by it. Pure; thread-safe after the root's file.
 */
#ifndef ORCH_SYNC_GIT_ATTR_H
#define ORCH_SYNC_GIT_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"

#define SYNC_GIT_ATTR_FILE_MAX ((size_t)4 << 20)
#define SYNC_GIT_KEY_BYTES     16

enum sync_git_attr { /* those that change what a file holds */
	SYNC_GIT_ATTR_TEXT,
	SYNC_GIT_ATTR_CRLF, /* the old name of text */
	SYNC_GIT_ATTR_EOL,
	SYNC_GIT_ATTR_IDENT,
	SYNC_GIT_ATTR_FILTER,
	SYNC_GIT_ATTR_ENCODING,
	SYNC_GIT_ATTRS
};
enum sync_git_attr_is {
	SYNC_GIT_ATTR_UNKNOWN, /* no rule says anything, or one takes it back */
	SYNC_GIT_ATTR_SET,
	SYNC_GIT_ATTR_UNSET,
	SYNC_GIT_ATTR_VALUE,
};
struct sync_git_attr_value {
	enum sync_git_attr_is is;
	const char *text; /* of a VALUE; lives as long as the attributes */
};

struct sync_git_attrs;
struct sync_git_attr_state; /* lives as long as its attributes */

struct sync_git_attrs *sync_git_attrs_new(void) ORCH_WUR; /* NULL: no memory */
void sync_git_attrs_free(struct sync_git_attrs *a);
/* Of a tree without any file. */
const struct sync_git_attr_state *sync_git_attrs_none(const struct sync_git_attrs *a)
    ORCH_NONNULL(1);

/* The state of a folder whose .gitattributes holds these bytes; `above` is what sync_git_attrs_enter
 * made for it. NULL above: the root's file, the only one that may define macros, before any other.
 * *out_ignored: lines that Git would complain about and not obey. -EFBIG: too many rules. */
int sync_git_attrs_add(struct sync_git_attrs *a, const struct sync_git_attr_state *above,
    const char *text, size_t len, const struct sync_git_attr_state **out, size_t *out_ignored,
    struct orch_err *err) ORCH_NONNULL(1, 3, 5, 6) ORCH_WUR;
/* The state of the folder of that name in a folder of state s, without its own file. */
int sync_git_attrs_enter(struct sync_git_attrs *a, const struct sync_git_attr_state *s,
    const char *name, size_t name_len, const struct sync_git_attr_state **out, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3, 5) ORCH_WUR;
/* What is said of the file of that name. */
void sync_git_attrs_look(const struct sync_git_attrs *a, const struct sync_git_attr_state *s,
    const char *name, size_t name_len, struct sync_git_attr_value out[SYNC_GIT_ATTRS])
    ORCH_NONNULL(1, 2, 3, 5);
/* Whether sync_git_attrs_look has anything to say at all. */
bool sync_git_attrs_is_empty(const struct sync_git_attr_state *s) ORCH_NONNULL(1);
/* Equal keys: the same files get the same attributes. All zeros: there are none. */
void sync_git_attrs_key(const struct sync_git_attr_state *s, uint8_t out[SYNC_GIT_KEY_BYTES])
    ORCH_NONNULL(1, 2);

#endif
