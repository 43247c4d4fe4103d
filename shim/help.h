/* Help and synopses, made from the tables of commands and options. */
#ifndef ORCH_SHIM_HELP_H
#define ORCH_SHIM_HELP_H

#include "core/buf.h"
#include "shim/cli.h"

void shim_help_program(struct orch_buf *out) ORCH_NONNULL(1);
void shim_help_family(const struct shim_family *f, struct orch_buf *out) ORCH_NONNULL(1, 2);
void shim_help_command(const struct shim_command *c, struct orch_buf *out) ORCH_NONNULL(1, 2);
/* "orch-shim snapshot import DIR --ref NAME [options]" */
void shim_help_synopsis(const struct shim_command *c, struct orch_buf *out) ORCH_NONNULL(1, 2);
/* The whole surface as Markdown: what docs/cli.md holds between its marks. */
void shim_help_markdown(struct orch_buf *out) ORCH_NONNULL(1);
/* Every command and option as roff, for the man page. */
void shim_help_man(struct orch_buf *out) ORCH_NONNULL(1);

#endif
