/* What the parser of .gitattributes files and the states share. */
#ifndef ORCH_SYNC_GIT_ATTR_PRIV_H
#define ORCH_SYNC_GIT_ATTR_PRIV_H

#include "sync/git_attr.h"
#include "core/hash.h"

#define GIT_ATTR_MACROS_MAX 64
#define GIT_ATTR_BINARY	    SYNC_GIT_ATTRS /* the macro that Git knows by itself */

struct git_assign {
	uint16_t attr; /* enum sync_git_attr, or a macro's number */
	uint8_t is;    /* enum sync_git_attr_is */
	const char *text;
};
struct git_part { /* of a pattern, between slashes; p NULL: any number of folders */
	const char *p;
	size_t len;
};
struct git_rule {
	struct orch_digest digest; /* of pattern and assignments */
	size_t part_count, assign_count;
	struct git_part *parts;
	struct git_assign *assigns;
};
struct git_macro {
	char *name;
	size_t assign_count;
	struct git_assign *assigns; /* NULL: named, but not defined */
};
struct git_attr_file {
	struct git_attr_file *next;
	char *text; /* a copy, cut into strings */
	size_t rule_count, rule_cap;
	struct git_rule *rules;
	size_t macro_count; /* of the root's file; others have none */
	struct git_macro macros[GIT_ATTR_MACROS_MAX];
	size_t ignored;
};

/* Lines become rules and, in the root's file, macros. names: the file that macros were defined in,
 * NULL for the root's own. -ENOMEM, -EFBIG. *out is for git_attr_file_free. */
int git_attr_file_parse(const char *text, size_t len, const struct git_attr_file *names,
    struct git_attr_file **out) ORCH_NONNULL(1, 4) ORCH_WUR;
void git_attr_file_free(struct git_attr_file *f);

#endif
