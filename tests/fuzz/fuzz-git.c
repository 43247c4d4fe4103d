/*
 * What comes from clients and servers about Git: the first byte says which. A URL that is accepted
 * shows no password, and is the same when it is read again; a list of refs comes out as it went in.
 */
#include "core/fd.h"
#include "core/path.h"
#include "sync/gitcred.h"
#include "sync/gitrev.h"
#include "sync/gitsay.h"
#include "sync/giturl.h"
#include "tests/lib/fuzz.h"

static void no_control(const char *s)
{
	for (; *s; s++)
		fuzz_must((unsigned char)*s >= 0x20 && *s != 0x7f);
}

static void url(const char *text)
{
	struct sync_giturl u, again;

	if (sync_giturl_parse(text, &u, NULL) < 0)
		return;
	fuzz_must(u.url[0] != '-' && u.url[0]);
	no_control(u.url);
	no_control(u.canonical);
	fuzz_must((u.scheme == SYNC_GITURL_FILE) == (u.origin == NULL));
	fuzz_must((u.scheme == SYNC_GITURL_FILE) == (u.url[0] == '/'));
	if (u.password)
		fuzz_must(u.scheme == SYNC_GITURL_HTTP || u.scheme == SYNC_GITURL_HTTPS);
	fuzz_must(sync_giturl_parse(u.url, &again, NULL) == 0);
	fuzz_must(again.scheme == u.scheme && again.password == NULL);
	fuzz_must(strcmp(again.url, u.url) == 0 && strcmp(again.canonical, u.canonical) == 0);
	sync_giturl_fini(&again);
	sync_giturl_fini(&u);
}

static void scrub(const char *text)
{
	char *once = sync_giturl_scrub(text, "tok"), *twice;

	fuzz_must(once && !strstr(once, "tok"));
	no_control(once);
	twice = sync_giturl_scrub(once, "tok");
	fuzz_must(twice && strcmp(once, twice) == 0);
	free(once);
	free(twice);
}

static void rev(const char *text)
{
	struct sync_gitrev r;

	if (sync_gitrev_parse(text, &r, NULL) < 0)
		return;
	fuzz_must(r.kind == SYNC_GITREV_HEAD_REF || orch_ref_name_valid(r.text));
	fuzz_must(r.text[0] != '-' && strncmp(r.text, SYNC_GITREF_OWN, 10) != 0);
}

static void refs(const uint8_t *p, size_t n)
{
	struct sync_gitrefs r, again;
	struct sync_gitrefs_scope all = {.all = true, .name = "refs/x"};
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	size_t changed;

	if (sync_gitrefs_parse((const char *)p, n, &r, NULL) < 0)
		return;
	fuzz_must(sync_gitrefs_merge(&r, &r, &all, &out, &changed, NULL) == 0 && changed == 0);
	fuzz_must(sync_gitrefs_parse((const char *)out.data, out.len, &again, NULL) == 0);
	fuzz_must(again.count == r.count);
	for (size_t i = 0; i < r.count; i++)
		fuzz_must(strcmp(r.v[i].name, again.v[i].name) == 0 &&
			  strcmp(r.v[i].id, again.v[i].id) == 0);
	sync_gitrefs_fini(&r);
	sync_gitrefs_fini(&again);
}

static void say(const char *text)
{
	struct sync_gitsay_progress p;
	size_t n;
	const char *line = sync_gitsay_line(text, &n);

	fuzz_must(line >= text && n <= strlen(line));
	fuzz_must(sync_gitsay_cause(text)->code > 0);
	if (sync_gitsay_parse(text, &p))
		fuzz_must(p.phase && sync_gitsay_left_ms(&p, 1000000000) < UINT64_MAX);
}

/* Whatever is asked, the token goes to its own host alone. */
static void cred(const char *asked)
{
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;

	fuzz_must(sync_gitcred_answer("https://h:8443\nu\np\n", asked, &out) == 0);
	if (out.len)
		fuzz_must(strcasestr(asked, "host=h:") && strcasestr(asked, "protocol=https\n"));
}

static void shallow(const char *text)
{
	size_t n = strlen(text), count;

	if (sync_gitshallow_parse(text, n, &count, NULL) == 0)
		fuzz_must(count * (SYNC_GITREV_HEX + 1) == n);
}

static void cred_file(const char *file)
{
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;

	(void)!sync_gitcred_answer(file, "protocol=https\nhost=h\n", &out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const char *) = {
	    url, scrub, rev, say, cred, cred_file, shallow};
	char *text;

	if (size == 0)
		return 0;
	if (data[0] == 'l') {
		refs(data + 1, size - 1);
		return 0;
	}
	text = fuzz_text(data + 1, size - 1);
	parsers[(size_t)(data[0] & 15) % ORCH_ARRAY_LEN(parsers)](text);
	free(text);
	return 0;
}
