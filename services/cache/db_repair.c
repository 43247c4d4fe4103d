/* What is done about a damaged database: saying which file it is, and making one of what can be read. */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "cache/db_priv.h"
#include "cache/folder.h"
#include "core/fd.h"

/* ".../000012.log: dropping 139 bytes; Corruption: ...": the last one. */
static int see_log(void *priv, int dirfd, const char *name)
{
	orch_auto(fd) int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct cas_db *db = priv;
	char text[16 << 10];
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	for (char *at = text; (at = strstr(at, ".log: dropping ")); at++) {
		size_t digits = 0;

		while (at - digits > text && at[-1 - (ptrdiff_t)digits] >= '0' &&
		       at[-1 - (ptrdiff_t)digits] <= '9' && digits < 20)
			digits++;
		snprintf(db->damaged, sizeof(db->damaged), "%.*s.log", (int)digits, at - digits);
	}
	return 0;
}

void cas_db_find_damaged(struct cas_db *db, char **msg)
{
	int ignored;

	if (!db->log_folder[0])
		return;
	rocksdb_options_set_info_log_level(db->options, 2);
	cas_db_open_it(db, msg);
	if (db->db)
		rocksdb_close(db->db);
	rocksdb_options_set_info_log_level(db->options, CAS_DB_INFO_LEVEL);
	ignored = cas_dir_each(AT_FDCWD, db->log_folder, see_log, db, NULL);
	(void)ignored;
}

static void repair_it(struct cas_db *db, char **msg)
{
	rocksdb_repair_db(db->options, db->path, msg);
}

/* What is lost is lost: commits are summed up anew. */
static void forget_sum(struct cas_db *db, char **msg)
{
	cas_db_open_it(db, msg);
	if (!*msg)
		rocksdb_delete(db->db, db->writes, CAS_DB_SUM_KEY, CAS_DB_SUM_KEY_BYTES, msg);
}

int cas_db_repair(const char *path, struct orch_err *err)
{
	struct cas_db *db = NULL;
	char *msg = NULL;
	int r = cas_db_prepare(path, &db, err);

	if (r == 0)
		cas_db_with_log(db, repair_it, &msg);
	if (r == 0 && !msg)
		cas_db_with_log(db, forget_sum, &msg);
	cas_db_close(db);
	return msg ? cas_db_fail(err, "repair", msg) : r;
}
