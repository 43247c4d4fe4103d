/* Git's words; see gitsay.h. */
#include "sync/gitsay.h"

#include <stdlib.h>
#include <string.h>
#include "core/clock.h"
#include "core/number.h"

/* ---- progress ---- */

static const struct {
	const char *prefix, *phase;
} phases[] = {
    {"remote: Enumerating objects:", "count"},
    {"remote: Counting objects:", "count"},
    {"remote: Compressing objects:", "compress"},
    {"Receiving objects:", "receive"},
    {"Resolving deltas:", "resolve"},
    {"Indexing objects:", "resolve"},
    {"Checking connectivity:", "check"},
    {"Checking objects:", "check"},
};

/* Digits at *s; past them. */
static uint64_t number_at(const char **s)
{
	size_t n = strspn(*s, "0123456789");
	uint64_t v = 0;

	if (orch_number_parse(*s, n, UINT64_MAX >> 1, &v) < 0)
		v = 0;
	*s += n;
	return v;
}

/* "(120/1000)" behind the per cent, or the plain count that git shows when it knows no total. */
static void parse_counts(const char *s, struct sync_gitsay_progress *out)
{
	const char *open = strchr(s, '(');

	s += strspn(s, " ");
	if (!open) {
		out->done = number_at(&s);
		return;
	}
	s = open + 1;
	out->done = number_at(&s);
	if (*s == '/') {
		s++;
		out->total = number_at(&s);
	}
}

/* "1.20 MiB" or "300.00 KiB/s" */
static uint64_t parse_amount(const char *s)
{
	static const struct {
		const char *unit;
		uint64_t factor;
	} units[] = {{"bytes", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
	uint64_t whole, hundredths = 0;

	s += strspn(s, " ");
	whole = number_at(&s);
	if (*s == '.') {
		s++;
		hundredths = number_at(&s) % 100;
	}
	s += strspn(s, " ");
	for (size_t i = 0; whole < UINT32_MAX && i < ORCH_ARRAY_LEN(units); i++)
		if (strncmp(s, units[i].unit, strlen(units[i].unit)) == 0)
			return whole * units[i].factor + hundredths * units[i].factor / 100;
	return 0;
}

bool sync_gitsay_parse(const char *line, struct sync_gitsay_progress *out)
{
	struct sync_gitsay_progress p = {0};
	const char *comma, *bar;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(phases); i++) {
		size_t n = strlen(phases[i].prefix);

		if (strncmp(line, phases[i].prefix, n) != 0)
			continue;
		p.phase = phases[i].phase;
		parse_counts(line + n, &p);
		comma = strchr(line + n, ',');
		if (comma)
			p.bytes = parse_amount(comma + 1);
		bar = strchr(line + n, '|');
		if (bar)
			p.rate_bytes = parse_amount(bar + 1);
		*out = p;
		return true;
	}
	return false;
}

uint64_t sync_gitsay_left_ms(const struct sync_gitsay_progress *p, uint64_t elapsed_ns)
{
	uint64_t elapsed_ms = elapsed_ns / ORCH_NS_PER_MS;

	if (p->done == 0 || p->total <= p->done || p->total > UINT32_MAX || elapsed_ms > UINT32_MAX)
		return 0;
	return elapsed_ms * (p->total - p->done) / p->done;
}

/* ---- causes ---- */

#define NETWORK "is the network there? The next fetch goes on from what was taken over"

#define MIRROR                                                                                     \
	"the mirror in the store is damaged: DELETE /v1/git/KEY removes it, the next fetch makes " \
	"it anew"

/* The first that is found in what git said; the surer ones stand in front. */
static const struct {
	const char *text;
	struct sync_gitsay_cause cause;
} causes[] = {
    {"No space left on device", {ENOSPC, false, "the disk of the store is full"}},
    {"Disk quota exceeded", {EDQUOT, false, "a quota of the store's disk is used up"}},
    {"dubious ownership", {EPERM, false,
			      "it belongs to another user: `git config --global --add "
			      "safe.directory PATH` allows it"}},
    {"Host key verification failed",
	{EPERM, false,
	    "the host's key is not known: put it into known_hosts of the user who asks"}},
    {"REMOTE HOST IDENTIFICATION HAS CHANGED",
	{EPERM, false, "the host's key is another than known_hosts has"}},
    {"SSL certificate problem", {EPERM, false,
				    "the server's certificate is not trusted: GIT_SSL_CAINFO names "
				    "the file of another authority"}},
    {"certificate verification failed", {EPERM, false,
					    "the server's certificate is not trusted: "
					    "GIT_SSL_CAINFO names the file of another authority"}},
    {"Could not resolve", {EHOSTUNREACH, false, "the host is not known: is its name right?"}},
    {"Unable to look up", {EHOSTUNREACH, false, "the host is not known: is its name right?"}},
    {"Name or service not known",
	{EHOSTUNREACH, false, "the host is not known: is its name right?"}},
    {"Authentication failed",
	{EACCES, false,
	    "the server refuses these credentials: is the token right and not expired?"}},
    {"could not read Username",
	{EACCES, false,
	    "the server asks for credentials and there are none: give GIT_PRIVATE_TOKEN or "
	    "GITHUB_TOKEN, or configure a credential helper"}},
    {"could not read Password",
	{EACCES, false,
	    "the server asks for credentials and there are none: give GIT_PRIVATE_TOKEN or "
	    "GITHUB_TOKEN, or configure a credential helper"}},
    {"terminal prompts disabled",
	{EACCES, false,
	    "the server asks for credentials and there are none: give GIT_PRIVATE_TOKEN or "
	    "GITHUB_TOKEN, or configure a credential helper"}},
    {"Permission denied (", {EACCES, false, "ssh lets this user not in: is the right key there?"}},
    {"returned error: 403", {EACCES, false, "the server forbids it to this user"}},
    {"returned error: 401", {EACCES, false, "the server refuses these credentials"}},
    {"not our ref", {ENOENT, false, "the repository does not have that commit"}},
    {"unadvertised object", {ENOENT, false,
				"no ref of the repository leads to that commit, and the server "
				"gives nothing else by its id"}},
    {"couldn't find remote ref", {ENOENT, false, "the repository has no such ref"}},
    {"returned error: 30", {EXDEV, false,
			       "the server sends elsewhere, where a token must not follow: give "
			       "the URL that it names"}},
    {"unable to update url base from redirection",
	{EXDEV, false, "the server sends elsewhere: give the URL that it names"}},
    {"does not support --d", {EOPNOTSUPP, false, "the server gives no part of a history"}},
    {"does not support shallow", {EOPNOTSUPP, false, "the server gives no part of a history"}},
    {"object format", {EOPNOTSUPP, false, "it is a SHA-256 repository, which orch can't read yet"}},
    {"' not allowed", {ORCH_EUSAGE, false, "that transport is not used"}},
    {"Connection refused", {ECONNREFUSED, true, "nobody listens there: is the server up?"}},
    {"Failed to connect", {ECONNREFUSED, true, "no connection: is the server up?"}},
    {"Couldn't connect", {ECONNREFUSED, true, "no connection: is the server up?"}},
    {"unable to connect", {ECONNREFUSED, true, "no connection: is the server up?"}},
    {"Connection timed out", {ECONNREFUSED, true, "no connection in time: is the server up?"}},
    {"No route to host", {EHOSTUNREACH, true, "no way to the host"}},
    {"Network is unreachable", {EHOSTUNREACH, true, "no way to the host"}},
    {"Operation too slow", {ECONNRESET, true, "almost nothing came for a minute; " NETWORK}},
    {"does not appear to be a git repository",
	{ENOENT, false, "there is no repository, or this user may not see it"}},
    {"' not found", {ENOENT, false, "there is no repository, or this user may not see it"}},
    {"returned error: 404", {ENOENT, false, "there is no repository, or this user may not see it"}},
    {"access denied or repository not exported",
	{ENOENT, false, "there is no repository, or the server does not show it"}},
    {"not valid: is this a git repository",
	{ENOENT, false, "there is no Git repository at that address"}},
    {"unexpected disconnect", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"early EOF", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"hung up", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"RPC failed", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"Connection reset", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"Connection closed", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"Broken pipe", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"transfer closed", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"Empty reply", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"fatal: expected ", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"invalid server response", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"returned error: 5", {ECONNRESET, true, "the server has failed"}},
    {"returned error: 429", {ECONNRESET, true, "the server says: too often"}},
    {"Could not read from remote repository", {ECONNRESET, true, "the connection broke; " NETWORK}},
    {"non-monotonic index", {ORCH_ECORRUPT, false, MIRROR}},
    {"does not match index", {ORCH_ECORRUPT, false, MIRROR}},
    {"packfile ", {ORCH_ECORRUPT, false, MIRROR}},
    {"index file ", {ORCH_ECORRUPT, false, MIRROR}},
    {"pack/pack-", {ORCH_ECORRUPT, false, MIRROR}},
    {"bad object", {ORCH_ECORRUPT, false, "what the server sent is damaged"}},
    {"bad pack", {ORCH_ECORRUPT, false, "what the server sent is damaged"}},
    {"inflate", {ORCH_ECORRUPT, false, "what the server sent is damaged"}},
    {"fsck error", {ORCH_ECORRUPT, false, "what the server sent is no sound repository"}},
    {"missing object", {ORCH_ECORRUPT, false, "what the server sent is not complete"}},
    {"did not receive expected object",
	{ORCH_ECORRUPT, false, "what the server sent is not complete"}},
    {"pack has ", {ORCH_ECORRUPT, false, "what the server sent is not complete"}},
    {"protocol error", {EPROTO, false, "the server does not speak Git's protocol"}},
};

const struct sync_gitsay_cause *sync_gitsay_cause(const char *said)
{
	static const struct sync_gitsay_cause other = {EIO, false, "git failed"};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(causes); i++)
		if (strstr(said, causes[i].text))
			return &causes[i].cause;
	return &other;
}

static bool tells(const char *line, size_t n)
{
	static const char *const words[] = {"fatal:", "ERROR", "error:", "remote: fatal"};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(words); i++)
		if (n >= strlen(words[i]) && memcmp(line, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

const char *sync_gitsay_line(const char *said, size_t *out_len)
{
	const char *last = said, *best = NULL;
	size_t last_len = 0, best_len = 0;

	for (const char *s = said; *s;) {
		size_t n = strcspn(s, "\n\r");

		if (n > 0) {
			last = s;
			last_len = n;
		}
		if (!best && tells(s, n)) {
			best = s;
			best_len = n;
		}
		s += n;
		s += strspn(s, "\n\r");
	}
	*out_len = best ? best_len : last_len;
	return best ? best : last;
}
