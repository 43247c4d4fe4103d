/* The error object: formatting and the names of errnos. No I/O; any thread, one object each. */
#include "core/err.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ERRNO_MAX 4095

/* The conditions of our own, by the name that JSON and logs show. */
static const struct {
	int code;
	const char *name;
	const char *text; /* NULL: the system's text says it well enough */
} own[] = {
    {ORCH_ECORRUPT, "ECORRUPT", "damaged data"},
    {ORCH_EFORMAT, "EFORMAT", NULL},
    {ORCH_EQUOTA, "EQUOTA", NULL},
    {ORCH_ECANCELLED, "ECANCELLED", "cancelled"},
    {ORCH_ETIMEOUT, "ETIMEOUT", "timed out"},
    {ORCH_ECONFLICT, "ECONFLICT", NULL},
    {ORCH_EUSAGE, "EUSAGE", NULL},
    {ORCH_ENODAEMON, "ENODAEMON", "no daemon answers"},
};

static const char *code_text(int code)
{
	const char *s;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(own); i++)
		if (own[i].code == code && own[i].text)
			return own[i].text;
	s = strerrordesc_np(code);
	return s ? s : "unknown error";
}

/* Drops the head of a UTF-8 sequence whose rest was cut off. */
static void cut_at_character(char *msg, size_t len)
{
	size_t back = 0;

	while (back < 3 && back < len && ((unsigned char)msg[len - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back < len && ((unsigned char)msg[len - 1 - back] & 0xc0) == 0xc0) {
		unsigned char lead = (unsigned char)msg[len - 1 - back];
		size_t want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;

		if (back < want)
			msg[len - 1 - back] = '\0';
	}
}

/* "fmt" + tail into msg; fmt's arguments may point into msg. */
static void set_message(struct orch_err *err, const char *tail, const char *fmt, va_list ap)
{
	char tmp[sizeof(err->msg)];
	int n = vsnprintf(tmp, sizeof(tmp), fmt, ap);
	size_t len = n < 0 ? 0 : (size_t)n;

	if (n < 0)
		tmp[0] = '\0';
	if (len < sizeof(tmp) && tail)
		len += (size_t)snprintf(tmp + len, sizeof(tmp) - len, ": %s", tail);
	if (len >= sizeof(tmp))
		cut_at_character(tmp, sizeof(tmp) - 1);
	memcpy(err->msg, tmp, sizeof(tmp));
}

int orch_err_set(struct orch_err *err, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	ORCH_BUG_ON(code <= 0);
	if (err) {
		va_start(ap, fmt);
		set_message(err, NULL, fmt, ap);
		va_end(ap);
		err->code = code;
	}
	errno = saved;
	return -code;
}

int orch_err_sys(struct orch_err *err, int code, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	ORCH_BUG_ON(code <= 0);
	if (err) {
		va_start(ap, fmt);
		set_message(err, code_text(code), fmt, ap);
		va_end(ap);
		err->code = code;
	}
	errno = saved;
	return -code;
}

void orch_err_wrap(struct orch_err *err, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	int saved = errno;
	va_list ap;

	if (!err || err->code <= 0)
		return;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	set_message(err, old, fmt, ap);
	va_end(ap);
	errno = saved;
}

const char *orch_err_name(int code)
{
	const char *s;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(own); i++)
		if (own[i].code == code)
			return own[i].name;
	s = strerrorname_np(code);
	return s ? s : "EUNKNOWN";
}

int orch_err_code(const char *name)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(own); i++)
		if (strcmp(own[i].name, name) == 0)
			return own[i].code;
	for (int code = 1; code <= ERRNO_MAX; code++) {
		const char *s = strerrorname_np(code);

		if (s && strcmp(s, name) == 0)
			return code;
	}
	return 0;
}
