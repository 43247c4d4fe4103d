/* Hostile text into a page: whatever comes in, no markup comes out, and it is text that can be read. */
#include <stdlib.h>
#include <string.h>
#include "core/utf8.h"
#include "output/html.h"
#include "tests/lib/fuzz.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* A log may also hold newlines and tabs. */
static void look(struct orch_buf *b, bool log)
{
	static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
	const char *p = (const char *)b->data;

	must(!b->failed);
	must(b->len == 0 || orch_utf8_valid(p, b->len));
	for (size_t i = 0; i < b->len; i++) {
		bool known = false;

		must(p[i] != '<' && p[i] != '>' && p[i] != '"' && p[i] != '\'' && p[i] != '\x7f');
		must((unsigned char)p[i] >= 0x20 || (log && (p[i] == '\n' || p[i] == '\t')));
		for (size_t k = 0; p[i] == '&' && k < ORCH_ARRAY_LEN(entities); k++)
			known |= strncmp(p + i, entities[k], strlen(entities[k])) == 0;
		must(p[i] != '&' || known);
	}
	orch_buf_fini(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct orch_buf b = ORCH_BUF_INIT;
	char *text = strndup((const char *)data, size);

	must(text != NULL);
	html_text(&b, text);
	look(&b, false);
	html_log(&b, (const char *)data, size);
	look(&b, true);
	html_href(&b, text);
	look(&b, false);
	free(text);
	return 0;
}
