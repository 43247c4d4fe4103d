/* orch-shim doctor: runs the checks of doctor_checks.c and tells. */
#include "shim/doctor.h"

#include <string.h>
#include "shim/machine.h"
#include "shim/out.h"

static const char *const health_names[] = {"yes", "no", "NEEDED"};

const char *shim_mend_of(const struct shim_check *c, const struct shim_finding *f)
{
	return f->health == SHIM_HAS ? NULL : f->mend[0] ? f->mend : c->mend;
}

static int add_json(
    struct orch_json *list, const struct shim_check *c, const struct shim_finding *f)
{
	struct orch_json *o = orch_json_object();

	if (!o || orch_json_set_str(o, "name", c->name) < 0 ||
	    orch_json_set_bool(o, "ok", f->health == SHIM_HAS) < 0 ||
	    orch_json_set_bool(o, "needed", f->health == SHIM_NEEDS) < 0 ||
	    orch_json_set_bytes(o, "found", f->found, strlen(f->found)) < 0 ||
	    orch_json_set_str(o, "cost", f->health == SHIM_HAS ? NULL : c->cost) < 0 ||
	    orch_json_set_bool(o, "roots", f->roots) < 0 ||
	    orch_json_set_str(o, "mend", shim_mend_of(c, f)) < 0) {
		orch_json_free(o);
		return -ENOMEM;
	}
	return orch_json_push(list, &o);
}

static void add_text(
    struct orch_buf *lacks, const struct shim_check *c, const struct shim_finding *f)
{
	if (f->health == SHIM_HAS)
		return;
	orch_buf_printf(lacks, "\n%s: %s\n", c->name, c->cost);
	if (shim_mend_of(c, f))
		orch_buf_printf(lacks, "    %s\n", shim_mend_of(c, f));
}

static int print_lacks(struct orch_buf *lacks, const struct orch_buf *roots, struct orch_err *err)
{
	if (roots->len) {
		orch_buf_add_str(lacks,
		    "\nOnly a daemon of root's has these. Builds, forks and commits "
		    "work without them:\n");
		orch_buf_add(lacks, roots->data, roots->len);
	}
	return shim_out(lacks, err);
}

int shim_doctor(struct shim_cli *cli)
{
	static const char *const headings[] = {"WHAT", "HERE", "FOUND", NULL};
	orch_auto(json) struct orch_json *root = orch_json_object();
	orch_auto(buf) struct orch_buf lacks = ORCH_BUF_INIT, roots = ORCH_BUF_INIT;
	struct shim_table *table = shim_table_new(headings);
	struct orch_json *list = orch_json_array();
	struct orch_err err = ORCH_ERR_INIT;
	bool works = true;
	int r = root && table && list ? 0 : orch_err_sys(&err, ENOMEM, "doctor");

	for (const struct shim_check *c = shim_checks; r == 0 && c->name; c++) {
		struct shim_finding f = {.health = SHIM_LACKS};

		c->look(cli, &f);
		works &= f.health != SHIM_NEEDS;
		shim_table_cell(table, "%s", c->name);
		shim_table_cell(table, "%s", health_names[f.health]);
		shim_table_cell(table, "%s", f.found);
		add_text(f.roots ? &roots : &lacks, c, &f);
		r = add_json(list, c, &f);
	}
	if (r == 0 && cli->json && (r = orch_json_set_json(root, "checks", &list)) == 0)
		r = shim_out_json(root, &err);
	else if (r == 0 && (r = shim_table_print(orch_take(table), &err)) == 0)
		r = print_lacks(&lacks, &roots, &err);
	orch_json_free(list);
	shim_table_free(table);
	return r < 0 ? shim_fail(cli, &err) : works ? SHIM_OK : SHIM_FAILED;
}
