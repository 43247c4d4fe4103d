noinst_LIBRARIES += %D%/libworker.a
%C%_libworker_a_SOURCES =

pkglibexec_PROGRAMS += %D%/orch-worker
%C%_orch_worker_SOURCES = %D%/main.c
%C%_orch_worker_LDADD = $(WORKER_LIBS)
