/*
 * Whose a file of a workspace appears in a view of it, as a table of ids: the owner of the workspace is
 * seen as the user of a container, and what that user makes belongs to the owner. Pure.
 */
#ifndef FSD_KEEPER_IDMAP_H
#define FSD_KEEPER_IDMAP_H

#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

#define FSD_IDMAP_NOBODY 65534u
#define FSD_IDMAP_MAX	 16	   /* ranges of a table */
#define FSD_IDMAP_TEXT	 (16 * 36) /* bytes of its text, the NUL included */

/* `count` ids from `fs` on, as the file system has them, are seen as those from `seen` on. */
struct fsd_idmap_range {
	uint32_t fs, seen, count;
};

/*
 * The table for users or for groups; returns the number of ranges, by rising `fs`. No two ids are seen
 * as the same. An id that no range holds is seen as nobody's, and who has it may not make anything.
 *
 *   owner   is seen as `user`
 *   0       is not seen, unless it is the owner: so nobody leaves what is root's
 *   65534   is seen as the number that `owner` is (unless that is `user`): whoever has this number in
 *           a container is not the owner, but may make files
 *   the last id (4294967294) is seen as 65534 then
 *   user    is not seen, unless it is one of these
 *   others  are seen as what they are
 */
size_t fsd_idmap_plan(uint32_t owner, uint32_t user, struct fsd_idmap_range out[FSD_IDMAP_MAX])
    ORCH_NONNULL(3);
/* The lines of a user namespace's uid_map. */
void fsd_idmap_format(const struct fsd_idmap_range *v, size_t n, char out[FSD_IDMAP_TEXT])
    ORCH_NONNULL(1, 3);

#endif
