noinst_LIBRARIES += %D%/libshim.a
%C%_libshim_a_SOURCES =

bin_PROGRAMS += %D%/orch-shim
%C%_orch_shim_SOURCES = %D%/main.c
%C%_orch_shim_LDADD = $(SHIM_LIBS)

# The first process of sandboxes and containers: static, alone, without the sanitizers of the rest.
pkglibexec_PROGRAMS += %D%/orch-init
%C%_orch_init_SOURCES = %D%/init.c
%C%_orch_init_CFLAGS = $(ORCH_CFLAGS) -fno-pie
%C%_orch_init_LDFLAGS = -static -Wl,--gc-sections
%C%_orch_init_LDADD =
