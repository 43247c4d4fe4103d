# What a system that runs the daemon wants: units of systemd, the group of the socket, a sample of the settings.
SYSTEMD_IN = %D%/systemd/orch-fsd.service.in %D%/systemd/orch-fsd.socket.in
SYSTEMD_UNITS = $(SYSTEMD_IN:.in=)
EXTRA_DIST += $(SYSTEMD_IN) %D%/systemd/orch-sysusers.conf
CLEANFILES += $(SYSTEMD_UNITS)
dist_doc_DATA = %D%/orch-fsd.conf

if SYSTEMD_UNITS_WANTED
systemdsystemunit_DATA = $(SYSTEMD_UNITS)
endif
all-local: $(SYSTEMD_UNITS)

$(SYSTEMD_UNITS): $(SYSTEMD_IN) Makefile
	$(AM_V_at)$(MKDIR_P) $(@D)
	$(AM_V_GEN)sed -e 's|@bindir[@]|$(bindir)|g' -e 's|@runstatedir[@]|$(runstatedir)|g' '$(srcdir)/$@.in' >$@.tmp && mv $@.tmp $@

# sysusers.d wants files named after the package.
install-data-hook:
if SYSTEMD_UNITS_WANTED
	$(MKDIR_P) '$(DESTDIR)$(sysusersdir)'
	$(INSTALL_DATA) '$(srcdir)/%D%/systemd/orch-sysusers.conf' '$(DESTDIR)$(sysusersdir)/orch.conf'
endif

uninstall-hook:
if SYSTEMD_UNITS_WANTED
	rm -f '$(DESTDIR)$(sysusersdir)/orch.conf'
endif
