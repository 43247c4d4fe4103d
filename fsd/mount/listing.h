/* The names of a folder as they were, for who was in the middle of listing it. See listing.c. */
#ifndef ORCH_FSD_MOUNT_LISTING_H
#define ORCH_FSD_MOUNT_LISTING_H

struct mnt_kept;
void mnt_kept_free(struct mnt_kept *k); /* with all older ones */

#endif
