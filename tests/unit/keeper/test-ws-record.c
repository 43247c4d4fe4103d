/* Records of workspaces: what is written is what is read, and what is damaged is refused. */
#include <stdlib.h>
#include "fsd/keeper/ws_record.h"
#include "tests/lib/tap.h"

static struct fsd_ws_record sample(void)
{
	struct fsd_ws_record r = {
	    .name = "w.1_x-y",
	    .state = FSD_WS_MOUNTED,
	    .path = "/mnt/\xff\xfe of w",
	    .at_given = true,
	    .layer = 12,
	    .seq = 99,
	    .uid = 4294967294u,
	    .gid = 7,
	    .read_only = true,
	    .passthrough = true,
	    .created_wall_ns = 1234567890123456789,
	    .control = "0011-12.sock",
	    .process = {.pid = 77, .start_ticks = 123456},
	    .boot = "01234567-89ab-cdef-0123-456789abcdef",
	    .error = "why",
	};

	memset(r.snapshot.b, 0xab, sizeof(r.snapshot.b));
	return r;
}

static void round_trip(void **state)
{
	struct fsd_ws_record a = sample(), b;
	struct orch_json *j = fsd_ws_record_format(&a);
	struct orch_err err = ORCH_ERR_INIT;

	(void)state;
	assert_non_null(j);
	memset(&b, 0, sizeof(b));
	assert_int_equal(fsd_ws_record_parse(j, &b, &err), 0);
	orch_json_free(j);
	assert_string_equal(b.name, a.name);
	assert_string_equal(b.path, a.path);
	assert_string_equal(b.control, a.control);
	assert_string_equal(b.boot, a.boot);
	assert_string_equal(b.error, a.error);
	assert_true(orch_digest_eq(&a.snapshot, &b.snapshot));
	assert_int_equal(b.state, a.state);
	assert_int_equal(b.layer, a.layer);
	assert_int_equal(b.seq, a.seq);
	assert_int_equal(b.uid, a.uid);
	assert_int_equal(b.gid, a.gid);
	assert_int_equal(b.created_wall_ns, a.created_wall_ns);
	assert_int_equal(b.process.pid, a.process.pid);
	assert_int_equal(b.process.start_ticks, a.process.start_ticks);
	assert_true(b.at_given && b.read_only && b.passthrough);
}

static void is_shown(void **state)
{
	struct fsd_ws_record r = sample();
	struct orch_json *j = fsd_ws_record_show(&r);
	int64_t v;

	(void)state;
	assert_string_equal(orch_json_str(orch_json_get(j, "state")), "mounted");
	assert_true(orch_json_int(orch_json_get(j, "pid"), &v));
	assert_int_equal(v, 77);
	assert_null(orch_json_get(j, "boot"));
	assert_null(orch_json_get(j, "path"));
	assert_non_null(orch_json_get(j, "path_b64"));
	orch_json_free(j);
}

/* Each member missing, and each of another type. */
static void damaged_is_refused(void **state)
{
	static const char *const members[] = {"name", "state", "path_b64", "snapshot", "layer",
	    "seq", "read_only", "passthrough", "at_given", "uid", "gid", "created_wall_ns",
	    "control", "start_ticks", "boot", "pid"};
	struct fsd_ws_record r = sample(), out;

	(void)state;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		struct orch_err err = ORCH_ERR_INIT;
		struct orch_json *j = fsd_ws_record_format(&r), *odd = orch_json_array();

		assert_int_equal(orch_json_set_json(j, members[i], &odd), 0);
		assert_true(fsd_ws_record_parse(j, &out, &err) < 0);
		orch_json_free(j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(round_trip),
	    cmocka_unit_test(is_shown),
	    cmocka_unit_test(damaged_is_refused),
	};

	return tap_run(tests);
}
