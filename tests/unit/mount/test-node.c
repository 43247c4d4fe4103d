/* The table of nodes: found by both keys, names keep parents, superseded ones keep their id. */
#include <stdlib.h>
#include "tests/lib/tap.h"
#include "fsd/mount/node.h"

static void test_found_by_id_and_number(void **state)
{
	struct mnt_nodes t;
	struct mnt_node *n[5000];

	assert_int_equal(mnt_nodes_init(&t), 0);
	for (uint64_t i = 0; i < 5000; i++) {
		n[i] = mnt_nodes_add(&t, 1000 + i * 7);
		assert_non_null(n[i]);
	}
	assert_int_equal(n[0]->id, MNT_ROOT_ID);
	for (uint64_t i = 0; i < 5000; i++) {
		assert_ptr_equal(mnt_nodes_by_ino(&t, 1000 + i * 7), n[i]);
		assert_ptr_equal(mnt_nodes_by_id(&t, n[i]->id), n[i]);
	}
	assert_null(mnt_nodes_by_ino(&t, 1001));
	for (uint64_t i = 1; i < 5000; i += 2)
		mnt_nodes_remove(&t, n[i]);
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(mnt_nodes_by_ino(&t, 1000 + i * 7) == NULL, i % 2 == 1);
	assert_int_equal(t.count, 2500);
	mnt_nodes_fini(&t);
}

static void test_each_is_met_once(void **state)
{
	struct mnt_nodes t;
	struct mnt_node *n = NULL;
	size_t bucket = 0, count = 0;

	assert_int_equal(mnt_nodes_init(&t), 0);
	for (uint64_t i = 1; i <= 3000; i++)
		assert_non_null(mnt_nodes_add(&t, i));
	while ((n = mnt_nodes_next(&t, &bucket, n)))
		count++;
	assert_int_equal(count, 3000);
	mnt_nodes_fini(&t);
}

static void test_a_superseded_node_keeps_its_id_only(void **state)
{
	struct mnt_nodes t;
	struct mnt_node *root, *old, *new_node;
	uint64_t id;

	assert_int_equal(mnt_nodes_init(&t), 0);
	root = mnt_nodes_add(&t, 1);
	old = mnt_nodes_add(&t, 7);
	id = old->id;
	assert_int_equal(mnt_node_name_add(old, root, "a", 1), 0);
	mnt_nodes_supersede(&t, old);
	assert_null(mnt_nodes_by_ino(&t, 7));
	new_node = mnt_nodes_add(&t, 7);
	assert_ptr_equal(mnt_nodes_by_ino(&t, 7), new_node);
	assert_ptr_equal(mnt_nodes_by_id(&t, id), old);
	assert_ptr_equal(mnt_node_name_pop(old), root);
	mnt_nodes_remove(&t, old);
	assert_ptr_equal(mnt_nodes_by_ino(&t, 7), new_node);
	mnt_nodes_fini(&t);
}

static void test_names_keep_their_parents(void **state)
{
	struct mnt_nodes t;
	struct mnt_node *root, *dir, *file;

	assert_int_equal(mnt_nodes_init(&t), 0);
	root = mnt_nodes_add(&t, 1);
	dir = mnt_nodes_add(&t, 2);
	file = mnt_nodes_add(&t, 3);
	assert_int_equal(mnt_node_name_add(dir, root, "d", 1), 0);
	assert_int_equal(mnt_node_name_add(file, dir, "f", 1), 0);
	assert_int_equal(mnt_node_name_add(file, dir, "f", 1), 0); /* known already */
	assert_int_equal(mnt_node_name_add(file, root, "g", 1), 0);
	assert_int_equal(dir->children, 1);
	assert_false(mnt_node_idle(dir));
	mnt_node_name_remove(file, dir, "absent", 6);
	mnt_node_name_remove(file, dir, "f", 1);
	assert_true(mnt_node_idle(dir));
	assert_ptr_equal(mnt_node_name_pop(file), root);
	assert_null(mnt_node_name_pop(file));
	assert_false(mnt_node_idle(root)); /* for ever */
	mnt_nodes_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_found_by_id_and_number),
	    cmocka_unit_test(test_each_is_met_once),
	    cmocka_unit_test(test_a_superseded_node_keeps_its_id_only),
	    cmocka_unit_test(test_names_keep_their_parents),
	};

	return tap_run(tests);
}
