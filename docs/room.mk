# Pages and man pages. That of orch-shim is made from the same tables as its --help.
EXTRA_DIST += docs
dist_man_MANS += %D%/man/orch-fsd.8
nodist_man_MANS += %D%/man/orch-shim.1
CLEANFILES += %D%/man/orch-shim.1

%D%/man/orch-shim.1: shim/orch-shim$(EXEEXT)
	$(AM_V_at)$(MKDIR_P) $(@D)
	$(AM_V_GEN)shim/orch-shim$(EXEEXT) --help-man >$@.tmp && mv $@.tmp $@
