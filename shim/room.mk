noinst_LIBRARIES += %D%/libshim.a
%C%_libshim_a_SOURCES = \
	%D%/api.c %D%/api.h \
	%D%/build.c %D%/build.h \
	%D%/build_collect.c \
	%D%/build_env.c \
	%D%/build_folder.c %D%/build_folder.h \
	%D%/build_hint.c %D%/build_hint.h \
	%D%/build_inputs.c \
	%D%/build_options.c %D%/build_options.h \
	%D%/build_print.c \
	%D%/build_report.c \
	%D%/build_run.c \
	%D%/build_source.c %D%/build_store.h \
	%D%/build_tests.c \
	%D%/build_workspace.c \
	%D%/cancel.c %D%/cancel.h \
	%D%/changes.c \
	%D%/checkout.c %D%/checkout.h \
	%D%/cli.c %D%/cli.h \
	%D%/commands.c %D%/commands.h \
	%D%/common_options.c \
	%D%/daemon.c \
	%D%/daemon_start.c %D%/daemon_start.h \
	%D%/doctor.c %D%/doctor.h %D%/doctor_checks.c \
	%D%/doctor_facts.c %D%/doctor_facts.h \
	%D%/doctor_store.c %D%/doctor_store.h \
	%D%/doctor_user.c %D%/doctor_user.h \
	%D%/github.c \
	%D%/help.c %D%/help.h %D%/help_pages.c \
	%D%/init_parse.c %D%/init_parse.h \
	%D%/job.c %D%/job.h \
	%D%/journal.c %D%/journal.h \
	%D%/journal_text.c %D%/journal_text.h \
	%D%/key.c %D%/key.h \
	%D%/leftovers.c %D%/leftovers.h \
	%D%/machine.c %D%/machine.h \
	%D%/mount_watch.c %D%/mount_watch.h \
	%D%/option.c %D%/option.h \
	%D%/out.c %D%/out.h \
	%D%/owner.c %D%/owner.h \
	%D%/ref.c \
	%D%/say.c %D%/say.h \
	%D%/snapshot.c \
	%D%/socket.c %D%/socket.h \
	%D%/store.c \
	%D%/task.c %D%/task.h \
	%D%/test_report.c %D%/test_report.h \
	%D%/workspace.c %D%/workspace.h %D%/workspace_exec.c

bin_PROGRAMS += %D%/orch-shim
%C%_orch_shim_SOURCES = %D%/main.c
%C%_orch_shim_LDADD = $(SHIM_LIBS)

# The first process of sandboxes and containers: static, alone, without the sanitizers of the rest.
pkglibexec_PROGRAMS += %D%/orch-init
%C%_orch_init_SOURCES = %D%/init.c %D%/init_parse.c
%C%_orch_init_CFLAGS = $(ORCH_CFLAGS) -fno-pie
%C%_orch_init_LDFLAGS = -static -Wl,--gc-sections
%C%_orch_init_LDADD =
