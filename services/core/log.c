/*
 * The structured log. The destination is set once in main before other threads start, so reading it
 * takes no lock; a line is built on its own and written with one write.
 */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/utf8.h"

#define LINE_MAX_BYTES ((size_t)64 << 10)

static struct {
	int fd;
	enum orch_log_level level;
	enum orch_log_format format;
} destination = {.fd = STDERR_FILENO, .level = ORCH_LOG_INFO, .format = ORCH_LOG_TEXT};

static const char *const level_names[] = {
    [ORCH_LOG_ERROR] = "error",
    [ORCH_LOG_WARN] = "warn",
    [ORCH_LOG_INFO] = "info",
    [ORCH_LOG_DEBUG] = "debug",
};

void orch_log_setup(int fd, enum orch_log_level level, enum orch_log_format format)
{
	destination.fd = fd;
	destination.level = level;
	destination.format = format;
}

int orch_log_level_parse(const char *s, enum orch_log_level *out)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(level_names); i++) {
		if (strcmp(level_names[i], s) == 0) {
			*out = (enum orch_log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool orch_log_enabled(enum orch_log_level level)
{
	return level <= destination.level;
}

/* Inside quotes: JSON's escapes; a byte that is not text becomes \xNN, in JSON U+FFFD. */
static void add_escaped(struct orch_buf *line, const uint8_t *p, size_t n, bool json)
{
	for (size_t at = 0, len; at < n; at += len) {
		uint8_t c = p[at];

		len = orch_utf8_sequence(p + at, n - at);
		if (len == 0) {
			len = 1;
			orch_buf_printf(line, json ? "\\ufffd" : "\\x%02x", c);
		} else if (c == '"' || c == '\\') {
			orch_buf_printf(line, "\\%c", c);
		} else if (c == '\n') {
			orch_buf_add_str(line, "\\n");
		} else if (c < 0x20 || c == 0x7f) {
			orch_buf_printf(line, json ? "\\u%04x" : "\\x%02x", c);
		} else {
			orch_buf_add(line, p + at, len);
		}
	}
}

static bool is_plain(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] >= 0x7f || p[i] == '"' || p[i] == '\\' || p[i] == '=')
			return false;
	return n > 0;
}

static void add_field(struct orch_buf *line, const char *key, size_t key_len,
    const struct orch_buf *value, bool number)
{
	bool json = destination.format == ORCH_LOG_JSON;

	if (json)
		orch_buf_printf(line, "%s\"%.*s\":", line->len > 1 ? "," : "", (int)key_len, key);
	else
		orch_buf_printf(line, " %.*s=", (int)key_len, key);
	if (json ? number : is_plain(value->data, value->len)) {
		orch_buf_add(line, value->data, value->len);
		return;
	}
	orch_buf_add_str(line, "\"");
	add_escaped(line, value->data, value->len, json);
	orch_buf_add_str(line, "\"");
}

static void add_text_field(struct orch_buf *line, const char *key, const char *value)
{
	orch_auto(buf) struct orch_buf v = ORCH_BUF_INIT;

	orch_buf_add_str(&v, value);
	add_field(line, key, strlen(key), &v, false);
}

enum length { LENGTH_INT, LENGTH_LONG, LENGTH_LONG_LONG, LENGTH_SIZE };

static enum length length_parse(const char **fmt)
{
	if (**fmt == 'z') {
		(*fmt)++;
		return LENGTH_SIZE;
	}
	if (**fmt != 'l')
		return LENGTH_INT;
	(*fmt)++;
	if (**fmt != 'l')
		return LENGTH_LONG;
	(*fmt)++;
	return LENGTH_LONG_LONG;
}

static long long signed_arg(enum length length, va_list *ap)
{
	switch (length) {
	case LENGTH_LONG:
		return va_arg(*ap, long);
	case LENGTH_LONG_LONG:
		return va_arg(*ap, long long);
	case LENGTH_SIZE:
		return va_arg(*ap, ssize_t);
	case LENGTH_INT:
		break;
	}
	return va_arg(*ap, int);
}

static unsigned long long unsigned_arg(enum length length, va_list *ap)
{
	switch (length) {
	case LENGTH_LONG:
		return va_arg(*ap, unsigned long);
	case LENGTH_LONG_LONG:
		return va_arg(*ap, unsigned long long);
	case LENGTH_SIZE:
		return va_arg(*ap, size_t);
	case LENGTH_INT:
		break;
	}
	return va_arg(*ap, unsigned);
}

/* Formats one conversion; *fmt is behind the '%'. True when the value is a decimal number. */
static bool add_conversion(struct orch_buf *value, const char **fmt, va_list *ap)
{
	enum length length = length_parse(fmt);
	const char *s;

	switch (*(*fmt)++) {
	case 'd':
	case 'i':
		orch_buf_printf(value, "%lld", signed_arg(length, ap));
		return true;
	case 'u':
		orch_buf_printf(value, "%llu", unsigned_arg(length, ap));
		return true;
	case 'x':
		orch_buf_printf(value, "%llx", unsigned_arg(length, ap));
		return false;
	case 'o':
		orch_buf_printf(value, "%llo", unsigned_arg(length, ap));
		return false;
	case 'c':
		orch_buf_printf(value, "%c", va_arg(*ap, int));
		return false;
	case 's':
		s = va_arg(*ap, const char *);
		orch_buf_add_str(value, s ? s : "(null)");
		return false;
	case '%':
		orch_buf_add_str(value, "%");
		return false;
	default:
		ORCH_BUG_ON(!"a conversion that log.h does not list");
	}
	return false;
}

/* One "key=value" up to the next blank of the template. */
static const char *add_one(struct orch_buf *line, const char *fmt, va_list *ap)
{
	orch_auto(buf) struct orch_buf value = ORCH_BUF_INIT;
	size_t key_len = strcspn(fmt, "=");
	const char *key = fmt;
	size_t parts = 0;
	bool number = false;

	ORCH_BUG_ON(fmt[key_len] != '=');
	fmt += key_len + 1;
	for (; *fmt && *fmt != ' '; parts++) {
		if (*fmt == '%') {
			fmt++;
			number = add_conversion(&value, &fmt, ap);
		} else {
			orch_buf_add(&value, fmt++, 1);
		}
	}
	add_field(line, key, key_len, &value, number && parts == 1);
	return fmt + strspn(fmt, " ");
}

static void add_head(
    struct orch_buf *line, enum orch_log_level level, const char *module, const char *event)
{
	char time[ORCH_RFC3339_BYTES];

	orch_wall_format(orch_wall_ns(), time);
	memcpy(strrchr(time, '.') + 4, "Z", sizeof("Z")); /* milliseconds are enough to read */
	if (destination.format == ORCH_LOG_JSON) {
		orch_buf_add_str(line, "{");
		add_text_field(line, "time", time);
	} else {
		orch_buf_add_str(line, time);
	}
	add_text_field(line, "level", level_names[level]);
	add_text_field(line, "module", module);
	add_text_field(line, "event", event);
}

void orch_log(
    enum orch_log_level level, const char *module, const char *event, const char *fields, ...)
{
	orch_auto(buf) struct orch_buf line = ORCH_BUF_INIT;
	int saved = errno;
	va_list ap;

	if (!orch_log_enabled(level))
		return;
	orch_buf_init(&line, LINE_MAX_BYTES);
	add_head(&line, level, module, event);
	va_start(ap, fields);
	while (*fields)
		fields = add_one(&line, fields, &ap);
	va_end(ap);
	orch_buf_add_str(&line, destination.format == ORCH_LOG_JSON ? "}\n" : "\n");
	if (line.failed) {
		/* too long, or no memory: what happened is still told */
		orch_buf_fini(&line);
		add_head(&line, level, module, event);
		orch_buf_add_str(&line,
		    destination.format == ORCH_LOG_JSON ? ",\"log\":\"cut\"}\n" : " log=cut\n");
	}
	/* A log that can't be written has nobody to be told to. */
	if (!line.failed && orch_fd_write_all(destination.fd, line.data, line.len) < 0) {
	}
	errno = saved;
}

void orch_log_err(const char *module, const char *event, const struct orch_err *err)
{
	orch_log(
	    ORCH_LOG_ERROR, module, event, "code=%s error=%s", orch_err_name(err->code), err->msg);
}
