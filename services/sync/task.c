/* The context of one task; see task.h. */
#include "sync/task.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/buf.h"
#include "core/clock.h"

#define TICK_NS (100 * ORCH_NS_PER_MS)

void sync_task_init(
    struct sync_task *t, const atomic_bool *cancel, const struct sync_listener *listener)
{
	*t = (struct sync_task){.cancel = cancel, .listener = listener, .phase = "start"};
	pthread_mutex_init(&t->lock, NULL);
}

void sync_task_fini(struct sync_task *t)
{
	orch_strv_fini(&t->skipped_paths);
	orch_strv_fini(&t->unreadable);
	pthread_mutex_destroy(&t->lock);
}

bool sync_task_stopped(struct sync_task *t)
{
	return *t->cancel || atomic_load_explicit(&t->failed, memory_order_relaxed);
}

void sync_task_fail(struct sync_task *t, const struct orch_err *err, int code)
{
	pthread_mutex_lock(&t->lock);
	if (!t->err.code) {
		if (err && err->code)
			t->err = *err;
		else
			orch_err_sys(&t->err, code ? code : EIO, "%s", t->phase);
	}
	pthread_mutex_unlock(&t->lock);
	atomic_store(&t->failed, true);
}

void sync_task_unreadable(struct sync_task *t, const char *path, int code)
{
	pthread_mutex_lock(&t->lock);
	if (!t->unreadable_count++)
		t->unreadable_code = code;
	if (t->unreadable.count < SYNC_UNREADABLE_MAX &&
	    orch_strv_addf(&t->unreadable, "%s (%s)", *path ? path : ".", strerrordesc_np(code)) <
		0)
		atomic_store(&t->failed, true);
	pthread_mutex_unlock(&t->lock);
}

static int unreadable_error(struct sync_task *t, struct orch_err *err)
{
	struct orch_buf b = ORCH_BUF_INIT;

	for (size_t i = 0; i < t->unreadable.count; i++)
		(void)orch_buf_printf(&b, "%s%s", i ? ", " : "", t->unreadable.v[i]);
	if (t->unreadable_count > t->unreadable.count)
		(void)orch_buf_printf(
		    &b, " and %zu more", t->unreadable_count - t->unreadable.count);
	orch_err_set(err, t->unreadable_code, "can't be read: %s",
	    b.data ? (const char *)b.data : "(no memory for names)");
	orch_buf_fini(&b);
	return -t->unreadable_code;
}

int sync_task_result(struct sync_task *t, struct orch_err *err)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	if (*t->cancel) {
		r = orch_err_set(err, ORCH_ECANCELLED, "cancelled");
	} else if (t->err.code) {
		if (err)
			*err = t->err;
		r = -t->err.code;
	} else if (t->unreadable_count) {
		r = unreadable_error(t, err);
	} else if (t->failed) {
		r = orch_err_sys(err, ENOMEM, "%s", t->phase);
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

void sync_task_warn(struct sync_task *t, const char *fmt, ...)
{
	struct orch_buf b = ORCH_BUF_INIT;
	va_list ap;

	if (!t->listener || !t->listener->on_warning)
		return;
	va_start(ap, fmt);
	if (orch_buf_vprintf(&b, fmt, ap) == 0) {
		pthread_mutex_lock(&t->lock);
		t->listener->on_warning(t->listener->priv, (const char *)b.data);
		pthread_mutex_unlock(&t->lock);
	}
	va_end(ap);
	orch_buf_fini(&b);
}

void sync_task_skip(struct sync_task *t, const char *what, const char *path)
{
	int r = 0;

	atomic_fetch_add(&t->skipped, 1);
	pthread_mutex_lock(&t->lock);
	if (t->skipped_paths.count < SYNC_SKIPPED_MAX)
		r = orch_strv_add(&t->skipped_paths, path);
	pthread_mutex_unlock(&t->lock);
	if (r < 0)
		sync_task_fail(t, NULL, -r);
	sync_task_warn(t, "skipped %s %s", what, path);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

const struct orch_strv *sync_task_skipped(struct sync_task *t)
{
	if (t->skipped_paths.count)
		qsort(t->skipped_paths.v, t->skipped_paths.count, sizeof(char *), by_bytes);
	return &t->skipped_paths;
}

void sync_task_tick(struct sync_task *t)
{
	uint64_t next, now;

	if (!t->listener || !t->listener->on_progress)
		return;
	now = orch_clock_ns();
	next = atomic_load_explicit(&t->next_tick_ns, memory_order_relaxed);
	if (now < next || !atomic_compare_exchange_strong(&t->next_tick_ns, &next, now + TICK_NS))
		return;
	pthread_mutex_lock(&t->lock);
	t->listener->on_progress(t->listener->priv, t->phase, t->files, t->bytes);
	pthread_mutex_unlock(&t->lock);
}

void sync_task_transfer(struct sync_task *t, const char *phase, const struct sync_transfer *how)
{
	if (!t->listener || !t->listener->on_transfer)
		return;
	pthread_mutex_lock(&t->lock);
	t->listener->on_transfer(t->listener->priv, phase, how);
	pthread_mutex_unlock(&t->lock);
}
