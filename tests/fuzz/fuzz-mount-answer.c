/*
 * What a mount process says to the keeper: the line when it is ready (the input begins with '!'), else an
 * answer: type, status, then fields of a tag, a length and bytes, put into a message that is whole.
 */
#include "core/json.h"
#include "fsd/keeper/mount_client.h"
#include "fsd/keeper/mount_process.h"
#include "tests/lib/fuzz.h"

static void ready_line(const uint8_t *data, size_t size)
{
	struct orch_err err = ORCH_ERR_INIT;
	char *line = fuzz_text(data, size);

	if (fsd_mount_ready_parse(line, &err) < 0)
		fuzz_must(err.code > 0);
	free(line);
}

static void add_fields(struct fuzz_input *in, struct orch_buf *out)
{
	while (in->left > 0) {
		uint16_t tag = fuzz_u8(in);
		size_t len = fuzz_u8(in);

		if (len > in->left)
			len = in->left;
		fuzz_must(fmt_msg_add(out, tag, in->p, len) == 0);
		in->p += len;
		in->left -= len;
	}
}

static void hello(const struct fmt_msg *m)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_mount_hello h = {.mountpoint = NULL};

	if (fsd_mount_hello_parse(m, &h, &err) < 0)
		fuzz_must(err.code == EPROTO);
	else
		fuzz_must(memchr(h.workspace, '\0', sizeof(h.workspace)) != NULL && h.pid > 0);
	fsd_mount_hello_fini(&h);
}

static void seal(const struct fmt_msg *m)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_seal s = {.last_write_seen = NULL};

	if (fsd_seal_parse(m, &s, &err) < 0)
		fuzz_must(err.code != 0 && s.last_write_seen == NULL);
	else
		fuzz_must(orch_json_is_array(s.last_write_seen));
	fsd_seal_fini(&s);
}

static void answer(struct fuzz_input *in)
{
	struct orch_buf b;
	struct orch_err err = ORCH_ERR_INIT;
	uint16_t type = fuzz_u8(in) | FMT_MSG_REPLY;
	int32_t status = -(int32_t)fuzz_u8(in);
	struct fmt_msg m;

	if (status == -255)
		status = INT32_MIN;
	orch_buf_init(&b, (size_t)4 * FMT_MSG_MAX);
	fuzz_must(fmt_msg_begin(&b, type, 7, status) == 0);
	add_fields(in, &b);
	if (fmt_msg_end(&b) == 0) {
		fuzz_must((fmt_msg_parse(b.data, b.len, &m, NULL) == 0) == (status != INT32_MIN));
		if (status != INT32_MIN) {
			fuzz_must(m.type == type && m.id == 7 && m.status == status);
			hello(&m);
			seal(&m);
			if (status < 0)
				fuzz_must(fsd_mount_answer_error(&m, &err) == status);
		}
	}
	orch_buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};

	if (size > 40000)
		return 0;
	if (size > 0 && data[0] == '!')
		ready_line(data + 1, size - 1);
	else
		answer(&in);
	return 0;
}
