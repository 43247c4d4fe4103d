/* --print-input and --dry-run: what would be done, and nothing done. */
#include <stdio.h>
#include <string.h>
#include "shim/api.h"
#include "shim/build.h"
#include "shim/out.h"

/* Every value of it; of secrets nothing, of --env only the names. false: absent. */
static bool show(const struct shim_value *v, struct orch_buf *out)
{
	bool names_only = strcmp(v->option->name, "env") == 0;

	if (!v->text)
		return false;
	if ((v->option->flags & SHIM_SECRET) && v->text[0]) {
		orch_buf_add_str(out, "***");
		return true;
	}
	for (size_t i = 0; i < v->all.count; i++) {
		const char *s = v->all.v[i];
		size_t n = names_only ? strcspn(s, "=") : strlen(s);

		orch_buf_printf(out, "%s%.*s%s", i ? " " : "", (int)n, s, s[n] ? "=***" : "");
	}
	return true;
}

static int add_json(struct orch_json *list, const struct shim_value *v)
{
	static const char *const origins[] = {"none", "default", "environment", "input", "flag"};
	struct orch_json *o = orch_json_object();
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	bool has = show(v, &text);
	int r = o && !text.failed ? 0 : -ENOMEM;

	if (r == 0)
		r = orch_json_set_str(o, "name", v->option->name);
	if (r == 0)
		r = has ? orch_json_set_bytes(
			      o, "value", text.data ? (const void *)text.data : "", text.len)
			: orch_json_set_null(o, "value");
	if (r == 0)
		r = orch_json_set_str(o, "origin", origins[v->origin]);
	if (r == 0)
		r = orch_json_set_str(o, "from", v->from);
	if (r == 0)
		return orch_json_push(list, &o);
	orch_json_free(o);
	return r;
}

static int print_json(const struct shim_values *s, struct orch_err *err)
{
	orch_auto(json) struct orch_json *root = orch_json_object();
	struct orch_json *list = orch_json_array();
	int r = root && list ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < s->count; i++)
		r = add_json(list, &s->v[i]);
	if (r == 0)
		r = orch_json_set_json(root, "inputs", &list);
	orch_json_free(list);
	return r < 0 ? orch_err_sys(err, -r, "print the inputs") : shim_out_json(root, err);
}

int shim_build_print_input(struct shim_build *b, struct orch_err *err)
{
	static const char *const headings[] = {"OPTION", "VALUE", "FROM", NULL};
	struct shim_table *t;

	if (b->cli->json)
		return print_json(b->in, err);
	t = shim_table_new(headings);
	if (!t)
		return orch_err_sys(err, ENOMEM, "print the inputs");
	for (size_t i = 0; i < b->in->count; i++) {
		const struct shim_value *v = &b->in->v[i];
		orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;

		if (v->option->flags & SHIM_FLAG_ONLY)
			continue;
		shim_table_cell(t, "%s", v->option->name);
		shim_table_cell(
		    t, "%s", show(v, &text) && text.data ? (const char *)text.data : "");
		shim_table_cell(t, "%s", v->from ? v->from : "-");
	}
	return shim_table_print(t, err);
}

/* What a build would start from, when a daemon answers; "" else. */
static void look_up_start(struct shim_build *b, char out[SHIM_ID_BYTES])
{
	orch_auto(json) struct orch_json *ref = NULL;
	struct shim_call call = {
	    .method = "GET", .path = "/v1/refs/%", .parts = {b->build_ref}, .timeout_ms = 5000};

	out[0] = '\0';
	if (shim_call(b->cli, &call, &ref, NULL) == 0)
		snprintf(out, SHIM_ID_BYTES, "%s", shim_get(ref, "id"));
}

int shim_build_print_plan(struct shim_build *b, struct orch_err *err)
{
	orch_auto(json) struct orch_json *plan = orch_json_object();
	char start[SHIM_ID_BYTES];
	int r;

	look_up_start(b, start);
	if (!plan || orch_json_set_str(plan, "run", b->run) < 0 ||
	    orch_json_set_bytes(plan, "source", b->source_dir, strlen(b->source_dir)) < 0 ||
	    orch_json_set_str(plan, "key", b->key) < 0 ||
	    orch_json_set_str(plan, "start", start[0] ? start : NULL) < 0 ||
	    orch_json_set_str(plan, "workspace", b->workspace) < 0 ||
	    orch_json_set_bool(plan, "retain", b->retained) < 0 ||
	    orch_json_set_str(plan, "provider", b->provider) < 0 ||
	    orch_json_set_bytes(plan, "folder", b->output_dir, strlen(b->output_dir)) < 0)
		return orch_err_sys(err, ENOMEM, "print the plan");
	r = shim_json_add_list(plan, "command", &b->argv, err);
	if (r == 0)
		r = shim_json_add_list(plan, "outputs", shim_list(b->in, "output"), err);
	if (r == 0)
		r = shim_json_add_list(plan, "test_results", shim_list(b->in, "testResults"), err);
	if (r < 0)
		return r;
	return b->cli->json ? shim_out_json(plan, err) : shim_out_members(plan, err);
}
