noinst_LIBRARIES += %D%/libworker.a
%C%_libworker_a_SOURCES = \
	%D%/events.c %D%/events.h \
	%D%/job_apply.c \
	%D%/job_commit.c \
	%D%/job_export.c \
	%D%/job_git.c \
	%D%/job_git_import.c \
	%D%/job_import.c \
	%D%/jobs.c %D%/jobs.h \
	%D%/request.c %D%/request.h \
	%D%/start.c %D%/start.h

pkglibexec_PROGRAMS += %D%/orch-worker
%C%_orch_worker_SOURCES = %D%/main.c
%C%_orch_worker_LDADD = $(WORKER_LIBS)
