noinst_LIBRARIES += %D%/libkeeper.a
%C%_libkeeper_a_SOURCES =

bin_PROGRAMS += %D%/orch-fsd
%C%_orch_fsd_SOURCES = %D%/main.c
%C%_orch_fsd_LDADD = $(KEEPER_LIBS)
