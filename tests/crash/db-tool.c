/*
 * Damages records of a store's database, for the corruption matrix. No keeper may have it open.
 *
 *   db-tool DB list                  hex key, tab, bytes of the value, for each record
 *   db-tool DB flip KEY BIT          one bit of the value
 *   db-tool DB cut KEY BYTES         the value's first bytes alone
 *   db-tool DB zero KEY              as many zeros
 *   db-tool DB remove KEY
 *   db-tool DB swap KEY KEY          their values change places
 */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX 4096

struct tool {
	rocksdb_t *db;
	rocksdb_readoptions_t *reads;
	rocksdb_writeoptions_t *writes;
};

static void check(char *msg)
{
	if (!msg)
		return;
	fprintf(stderr, "db-tool: %s\n", msg);
	exit(1);
}

static size_t key_of(const char *hex, char out[KEY_MAX])
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n && n <= KEY_MAX; i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		out[i] = (char)strtoul(two, NULL, 16);
	}
	return n;
}

static void list(struct tool *t)
{
	rocksdb_iterator_t *it = rocksdb_create_iterator(t->db, t->reads);

	for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		size_t key_len, len;
		const char *key = rocksdb_iter_key(it, &key_len);

		(void)rocksdb_iter_value(it, &len);
		for (size_t i = 0; i < key_len; i++)
			printf("%02x", (unsigned char)key[i]);
		printf("\t%zu\n", len);
	}
	rocksdb_iter_destroy(it);
}

static char *get(struct tool *t, const char *hex, size_t *out_len)
{
	char key[KEY_MAX], *msg = NULL, *v;
	size_t n = key_of(hex, key);

	v = rocksdb_get(t->db, t->reads, key, n, out_len, &msg);
	check(msg);
	if (!v) {
		fprintf(stderr, "db-tool: no record %s\n", hex);
		exit(1);
	}
	return v;
}

static void put(struct tool *t, const char *hex, const char *v, size_t len)
{
	char key[KEY_MAX], *msg = NULL;
	size_t n = key_of(hex, key);

	rocksdb_put(t->db, t->writes, key, n, v, len, &msg);
	check(msg);
}

static void swap(struct tool *t, const char *a, const char *b)
{
	size_t a_len, b_len;
	char *va = get(t, a, &a_len), *vb = get(t, b, &b_len);

	put(t, a, vb, b_len);
	put(t, b, va, a_len);
	rocksdb_free(va);
	rocksdb_free(vb);
}

static void removed(struct tool *t, const char *hex)
{
	char key[KEY_MAX], *msg = NULL;
	size_t n = key_of(hex, key);

	rocksdb_delete(t->db, t->writes, key, n, &msg);
	check(msg);
}

static void damage(struct tool *t, const char *how, const char *key, const char *arg)
{
	size_t len, n = arg ? strtoul(arg, NULL, 10) : 0;
	char *v = get(t, key, &len);

	if (strcmp(how, "flip") == 0 && len > 0)
		v[n / 8 % len] = (char)(v[n / 8 % len] ^ (1 << n % 8));
	else if (strcmp(how, "zero") == 0)
		memset(v, 0, len);
	else if (strcmp(how, "cut") == 0)
		len = n < len ? n : len;
	put(t, key, v, len);
	rocksdb_free(v);
}

int main(int argc, char **argv)
{
	rocksdb_options_t *o = rocksdb_options_create();
	struct tool t = {
	    .reads = rocksdb_readoptions_create(), .writes = rocksdb_writeoptions_create()};
	char *msg = NULL;

	if (argc < 3)
		return 2;
	rocksdb_options_set_uint64add_merge_operator(o); /* the sum of commits */
	t.db = rocksdb_open(o, argv[1], &msg);
	check(msg);
	rocksdb_writeoptions_set_sync(t.writes, 1);
	if (strcmp(argv[2], "list") == 0)
		list(&t);
	else if (argc > 4 && strcmp(argv[2], "swap") == 0)
		swap(&t, argv[3], argv[4]);
	else if (argc > 3 && strcmp(argv[2], "remove") == 0)
		removed(&t, argv[3]);
	else if (argc > 3)
		damage(&t, argv[2], argv[3], argc > 4 ? argv[4] : NULL);
	rocksdb_close(t.db);
	rocksdb_options_destroy(o);
	rocksdb_readoptions_destroy(t.reads);
	rocksdb_writeoptions_destroy(t.writes);
	return 0;
}
