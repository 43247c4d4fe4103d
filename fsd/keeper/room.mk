noinst_LIBRARIES += %D%/libkeeper.a
%C%_libkeeper_a_SOURCES = \
	%D%/adopt.c %D%/adopt.h \
	%D%/answer.c %D%/answer.h \
	%D%/api.h \
	%D%/api_daemon.c \
	%D%/api_git.c \
	%D%/api_job.c \
	%D%/api_ref.c \
	%D%/api_snapshot.c \
	%D%/api_store.c \
	%D%/api_transfer.c \
	%D%/api_tree.c \
	%D%/api_workspace.c \
	%D%/background.c %D%/background.h \
	%D%/daemon.c %D%/daemon.h \
	%D%/ending.c %D%/ending.h \
	%D%/entry_json.c %D%/entry_json.h \
	%D%/events.c %D%/events.h \
	%D%/expect.c %D%/expect.h \
	%D%/git_fetch.c %D%/git_fetch.h \
	%D%/git_there.c %D%/git_there.h \
	%D%/http_limit.c %D%/http_limit.h \
	%D%/http_server.c %D%/http_server.h \
	%D%/idmap.c %D%/idmap.h \
	%D%/job.c %D%/job.h \
	%D%/jobs.c %D%/jobs.h \
	%D%/json_value.c %D%/json_value.h \
	%D%/layers.c %D%/layers.h \
	%D%/listen.c %D%/listen.h \
	%D%/mirrors.c %D%/mirrors.h \
	%D%/mount_client.c %D%/mount_client.h \
	%D%/mount_process.c %D%/mount_process.h \
	%D%/mountpoint.c %D%/mountpoint.h \
	%D%/pause.c %D%/pause.h \
	%D%/peer.c %D%/peer.h \
	%D%/registry.c %D%/registry.h \
	%D%/repair.c %D%/repair.h \
	%D%/request.c %D%/request.h \
	%D%/routes.c %D%/routes.h \
	%D%/settings.c %D%/settings.h \
	%D%/transfer.c %D%/transfer.h \
	%D%/url.c %D%/url.h \
	%D%/userns.c %D%/userns.h \
	%D%/views.c %D%/views.h \
	%D%/watch.c %D%/watch.h \
	%D%/worker.c %D%/worker.h \
	%D%/worker_output.c %D%/worker_output.h \
	%D%/ws_change.c %D%/ws_change.h \
	%D%/ws_changes.c \
	%D%/ws_commit.c \
	%D%/ws_fork.c \
	%D%/ws_mend.c %D%/ws_mend.h \
	%D%/ws_mount.c %D%/ws_mount.h \
	%D%/ws_place.c %D%/ws_place.h \
	%D%/ws_record.c %D%/ws_record.h \
	%D%/ws_seal.c %D%/ws_seal.h \
	%D%/ws_view.c %D%/ws_view.h \
	%D%/ws_visit.c %D%/ws_visit.h

bin_PROGRAMS += %D%/orch-fsd
%C%_orch_fsd_SOURCES = %D%/main.c
%C%_orch_fsd_LDADD = $(KEEPER_LIBS)
