/* What is pure about Git: URLs, revisions, lists of refs, what git says, what the credential helper answers. */
#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include "core/fd.h"
#include "sync/gitcred.h"
#include "sync/gitrev.h"
#include "sync/gitsay.h"
#include "sync/giturl.h"

#define A "1111111111111111111111111111111111111111"
#define B "2222222222222222222222222222222222222222"
#define C "3333333333333333333333333333333333333333"

static void is(const char *got, const char *want)
{
	if (!want)
		assert_null(got);
	else
		assert_string_equal(got ? got : "(null)", want);
}

static void test_urls(void **state)
{
	static const struct {
		const char *text, *url, *canonical, *origin, *user, *password;
	} rows[] = {
	    {"https://Example.org/a/b.git", "https://Example.org/a/b.git",
		"https://example.org/a/b", "https://example.org", NULL, NULL},
	    {"HTTPS://example.org:443/a//b/", "https://example.org:443/a//b/",
		"https://example.org/a/b", "https://example.org", NULL, NULL},
	    {"http://joe:s%40cret@h:8080/r", "http://h:8080/r", "http://h:8080/r", "http://h:8080",
		"joe", "s@cret"},
	    {"https://tok@h/r", "https://h/r", "https://h/r", "https://h", "tok", NULL},
	    {"https://a@b@h/r", "https://h/r", "https://h/r", "https://h", "a@b", NULL},
	    {"ssh://git@h:22/r.git", "ssh://git@h:22/r.git", "ssh://git@h/r", "ssh://h", "git",
		NULL},
	    {"git@h:a/b.git", "git@h:a/b.git", "ssh://git@h/~/a/b", "ssh://h", "git", NULL},
	    {"git@h:/a/b.git", "git@h:/a/b.git", "ssh://git@h/a/b", "ssh://h", "git", NULL},
	    {"git://[::1]:9418/x", "git://[::1]:9418/x", "git://[::1]/x", "git://[::1]", NULL,
		NULL},
	    {"/srv/a b.git/", "/srv/a b.git/", "file:///srv/a b", NULL, NULL, NULL},
	    {"file:///srv/a%20b", "/srv/a b", "file:///srv/a b", NULL, NULL, NULL},
	    {"file://localhost/x", "/x", "file:///x", NULL, NULL, NULL},
	};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(rows); i++) {
		struct orch_err err = ORCH_ERR_INIT;
		struct sync_giturl u;

		if (sync_giturl_parse(rows[i].text, &u, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.msg);
		is(u.url, rows[i].url);
		is(u.canonical, rows[i].canonical);
		is(u.origin, rows[i].origin);
		is(u.user, rows[i].user);
		is(u.password, rows[i].password);
		sync_giturl_fini(&u);
	}
}

static void test_wrong_urls(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
	    {"", "empty"},
	    {"-u/x", "begins with '-'"},
	    {"ext::sh -c id", "blank"},
	    {"ext::x", "transport"},
	    {"fd::17", "transport"},
	    {"ftp://h/x", "transport"},
	    {"sub/dir", "neither a URL nor an absolute path"},
	    {"./a:b", "neither a URL nor an absolute path"},
	    {"https://h", "no repository"},
	    {"https://h//", "no repository"},
	    {"https:///x", "no valid host"},
	    {"https://-oProxyCommand=x/y", "no valid host"},
	    {"ssh://-oProxyCommand=x/y", "no valid host"},
	    {"-oProxyCommand=x:y", "begins with '-'"},
	    {"ssh://-l@h/y", "user name"},
	    {"x@-h:y", "no valid host"},
	    {"https://h:99999/x", "port"},
	    {"https://h:1x/x", "port"},
	    {"https://h/x\n", "control byte"},
	    {"https://u:p%0ahost=evil@h/x", "password that can't be"},
	    {"https://u%0a:p@h/x", "user name"},
	    {"ssh://u:p@h/x", "password"},
	    {"file://host/x", "absolute path"},
	    {"file:///%", "escape"},
	    {"file:///%4", "escape"},
	    {"/", "absolute path"},
	    {"https://[::1/x", "no valid host"},
	};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(rows); i++) {
		struct orch_err err = ORCH_ERR_INIT;
		struct sync_giturl u;

		assert_int_equal(sync_giturl_parse(rows[i].text, &u, &err), -EINVAL);
		if (!strstr(err.msg, rows[i].why))
			fail_msg("%s: %s", rows[i].text, err.msg);
	}
}

static void test_keys(void **state)
{
	static const char *const same[] = {
	    "https://h/a/b", "https://H/a/b.git", "https://u:p@h:443/a/b.git/", "https://t@h/a//b"};
	static const char *const others[] = {"http://h/a/b", "https://h/a/B", "https://h:8443/a/b",
	    "ssh://h/a/b", "x@h:a/b", "y@h:a/b", "/h/a/b"};
	struct orch_digest first, d;
	struct sync_giturl u;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(same); i++) {
		assert_int_equal(sync_giturl_parse(same[i], &u, NULL), 0);
		sync_giturl_key(&u, i == 0 ? &first : &d);
		sync_giturl_fini(&u);
		assert_true(i == 0 || orch_digest_eq(&first, &d));
	}
	for (size_t i = 0; i < ORCH_ARRAY_LEN(others); i++) {
		assert_int_equal(sync_giturl_parse(others[i], &u, NULL), 0);
		sync_giturl_key(&u, &d);
		sync_giturl_fini(&u);
		assert_false(orch_digest_eq(&first, &d));
	}
}

static void scrubbed(const char *text, const char *secret, const char *want)
{
	orch_auto(free) char *got = sync_giturl_scrub(text, secret);

	is(got, want);
}

static void test_scrub(void **state)
{
	scrubbed(
	    "to https://a:b@h/x and 'ssh://c@h/y'", NULL, "to https://***@h/x and 'ssh://***@h/y'");
	scrubbed("https://h/x?y=a@b", NULL, "https://h/x?y=a@b");
	scrubbed("https://a:b@c@h/x", NULL, "https://***@h/x");
	scrubbed("bad tok3n tok3n\033[2J", "tok3n", "bad *** *** [2J");
	scrubbed("nothing", "", "nothing");
}

static void test_revs(void **state)
{
	static const struct {
		const char *text;
		enum sync_gitrev_kind kind;
		const char *out;
	} rows[] = {
	    {"1111111111111111111111111111111111111aAA", SYNC_GITREV_ID,
		"1111111111111111111111111111111111111aaa"},
	    {"abcdef1", SYNC_GITREV_ABBREV, "abcdef1"},
	    {"ABCDEF", SYNC_GITREV_NAME, "ABCDEF"},
	    {"HEAD", SYNC_GITREV_HEAD_REF, ""},
	    {"refs/pull/7/head", SYNC_GITREV_REF, "refs/pull/7/head"},
	    {"feature/x", SYNC_GITREV_NAME, "feature/x"},
	};
	static const char *const wrong[] = {"", "-x", "a..b", "a b", "a~1", "a^", "@{-1}", "a:b",
	    "*", "refs/orch/head", "x.lock", "a//b", "/a", "a\\b"};
	struct sync_gitrev rev;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(rows); i++) {
		assert_int_equal(sync_gitrev_parse(rows[i].text, &rev, NULL), 0);
		assert_int_equal(rev.kind, rows[i].kind);
		is(rev.text, rows[i].out);
	}
	for (size_t i = 0; i < ORCH_ARRAY_LEN(wrong); i++)
		assert_int_equal(sync_gitrev_parse(wrong[i], &rev, NULL), -EINVAL);
	assert_int_equal(sync_gitrev_parse(A "111111111111111111111111", &rev, NULL), -EOPNOTSUPP);
}

static int refs_of(const char *text, struct sync_gitrefs *out)
{
	return sync_gitrefs_parse(text, strlen(text), out, NULL);
}

static void test_refs(void **state)
{
	static const char *const wrong[] = {A " refs/heads/a", "x\n", A "\n", A " heads/a\n",
	    A " refs/heads/a b\n", A " refs/heads/../x\n", "A" A " refs/heads/a\n",
	    A " refs/heads/a\n" B " refs/heads/a\n"};
	struct sync_gitrefs refs;

	assert_int_equal(
	    refs_of("# pack-refs with: peeled\n" B " refs/tags/t\n^" C "\n" A " refs/heads/a\n\n",
		&refs),
	    0);
	assert_int_equal(refs.count, 2);
	is(refs.v[0].name, "refs/heads/a");
	is(sync_gitrefs_find(&refs, "refs/tags/t")->id, B);
	assert_null(sync_gitrefs_find(&refs, "refs/tags/u"));
	assert_true(sync_gitrefs_has_id(&refs, A) && !sync_gitrefs_has_id(&refs, C));
	sync_gitrefs_fini(&refs);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(wrong); i++)
		assert_int_equal(refs_of(wrong[i], &refs), -ORCH_ECORRUPT);
	assert_int_equal(
	    sync_gitrefs_parse(A " refs/heads/a\0\n", 55, &refs, NULL), -ORCH_ECORRUPT);
}

static void merged(const char *mirror, const char *brought, struct sync_gitrefs_scope scope,
    size_t changed, const char *want)
{
	struct sync_gitrefs m, b;
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	size_t got = 99;

	assert_int_equal(refs_of(mirror, &m), 0);
	assert_int_equal(refs_of(brought, &b), 0);
	assert_int_equal(sync_gitrefs_merge(&m, &b, &scope, &out, &got, NULL), 0);
	is((char *)out.data + strcspn((char *)out.data, "\n") + 1, want);
	assert_int_equal(got, changed);
	sync_gitrefs_fini(&m);
	sync_gitrefs_fini(&b);
}

static void test_merge(void **state)
{
	const char *mirror = A " refs/heads/gone\n" A " refs/heads/moves\n" A " refs/orch/head\n" A
			       " refs/pull/1/head\n" A " refs/tags/stays\n";
	const char *brought = B " refs/evil\n" B " refs/heads/moves\n" C " refs/heads/new\n" B
				" refs/orch/head\n" B " refs/pull/1/head\n" A " refs/tags/stays\n";
	struct sync_gitrefs_scope none = {0}, all = {.all = true},
				  one = {.name = "refs/pull/1/head"}, id = {.id = C};

	merged(mirror, brought, none, 0, mirror);
	merged(mirror, brought, all, 3,
	    B " refs/heads/moves\n" C " refs/heads/new\n" A " refs/orch/head\n" A
	      " refs/pull/1/head\n" A " refs/tags/stays\n");
	merged(mirror, brought, one, 1,
	    A " refs/heads/gone\n" A " refs/heads/moves\n" A " refs/orch/head\n" B
	      " refs/pull/1/head\n" A " refs/tags/stays\n");
	merged("", "", id, 1, C " refs/orch/commits/" C "\n");
	merged(C " refs/orch/commits/" C "\n", "", id, 0, C " refs/orch/commits/" C "\n");
}

static void test_progress(void **state)
{
	struct sync_gitsay_progress p;

	assert_true(
	    sync_gitsay_parse("Receiving objects:  12% (120/1000), 1.50 MiB | 300.00 KiB/s", &p));
	is(p.phase, "receive");
	assert_int_equal(p.done, 120);
	assert_int_equal(p.total, 1000);
	assert_int_equal(p.bytes, 1572864);
	assert_int_equal(p.rate_bytes, 307200);
	assert_int_equal(sync_gitsay_left_ms(&p, 12000000000), 88000);
	assert_true(sync_gitsay_parse("remote: Counting objects: 77, done.", &p));
	assert_int_equal(p.done, 77);
	assert_int_equal(p.total, 0);
	assert_int_equal(sync_gitsay_left_ms(&p, 5), 0);
	assert_true(sync_gitsay_parse("Receiving objects: 1% (99999999999999999999/1), 9 GiB", &p));
	assert_int_equal(p.done, 0);
	assert_false(sync_gitsay_parse("fatal: early EOF", &p));
	assert_false(sync_gitsay_parse("", &p));
}

static void test_causes(void **state)
{
	static const struct {
		const char *said;
		int code;
		bool again;
	} rows[] = {
	    {"fatal: Authentication failed for 'http://h/x/'\n", EACCES, false},
	    {"fatal: could not read Username for 'http://h': terminal prompts disabled\n", EACCES,
		false},
	    {"fatal: repository 'http://h/x/' not found\n", ENOENT, false},
	    {"fatal: couldn't find remote ref refs/pull/9/head\n", ENOENT, false},
	    {"fatal: remote error: upload-pack: not our ref " A "\n", ENOENT, false},
	    {"error: Server does not allow request for unadvertised object " A "\n", ENOENT, false},
	    {"fatal: unable to access 'http://h/': Could not resolve host: h\n", EHOSTUNREACH,
		false},
	    {"fatal: unable to connect to localhost:\nlocalhost[0: 127.0.0.1]: errno=Connection "
	     "refused\n",
		ECONNREFUSED, true},
	    {"fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF\n",
		ECONNRESET, true},
	    {"fatal: write error: No space left on device\nfatal: early EOF\n", ENOSPC, false},
	    {"something else\n", EIO, false},
	    {"", EIO, false},
	};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(rows); i++) {
		const struct sync_gitsay_cause *c = sync_gitsay_cause(rows[i].said);

		assert_int_equal(c->code, rows[i].code);
		assert_int_equal(c->again, rows[i].again);
	}
}

static void line_is(const char *said, const char *want)
{
	size_t n;
	const char *line = sync_gitsay_line(said, &n);

	assert_int_equal(n, strlen(want));
	assert_memory_equal(line, want, n);
}

static void test_line(void **state)
{
	line_is("warning: x\nfatal: one\nfatal: two\n", "fatal: one");
	line_is("a\nb\n\n", "b");
	line_is("", "");
}

static void answers(const char *file, const char *asked, const char *want)
{
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;

	assert_int_equal(sync_gitcred_answer(file, asked, &out), 0);
	is(out.len ? (char *)out.data : "", want);
}

static void test_helper(void **state)
{
	const char *file = "https://h:8443\njoe\ns3cret\n",
		   *yes = "username=joe\npassword=s3cret\n";
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;

	answers(file, "protocol=https\nhost=h:8443\n", yes);
	answers(file, "capability[]=x\nprotocol=HTTPS\nhost=H:8443\nusername=other\n", yes);
	answers(file, "protocol=http\nhost=h:8443\n", "");
	answers(file, "protocol=https\nhost=h\n", "");
	answers(file, "protocol=https\nhost=evil:8443\n", "");
	answers(file, "protocol=https\nhost=evil@h:8443\n", "");
	answers(file, "protocol=https\nhost=h:8443/../x\n", "");
	answers(file, "host=h:8443\n", "");
	answers(file, "", "");
	answers("https://h\nu\np\n", "protocol=https\nhost=h:443\n", "username=u\npassword=p\n");
	assert_int_equal(sync_gitcred_answer("https://h\nu\n", "", &out), -EINVAL);
	assert_int_equal(sync_gitcred_file("https://h", "a\nb", "c"), -EINVAL);
	assert_int_equal(sync_gitcred_header("Aladdin", "open sesame", &out), 0);
	is((char *)out.data, "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_urls),
	    cmocka_unit_test(test_wrong_urls),
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_scrub),
	    cmocka_unit_test(test_revs),
	    cmocka_unit_test(test_refs),
	    cmocka_unit_test(test_merge),
	    cmocka_unit_test(test_progress),
	    cmocka_unit_test(test_causes),
	    cmocka_unit_test(test_line),
	    cmocka_unit_test(test_helper),
	};

	return tap_run(tests);
}
