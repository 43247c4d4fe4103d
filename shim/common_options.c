/* The options that every command takes. */
#include "shim/cli.h"

static const struct shim_option common[] = {
    {.name = "socket",
	.arg = "PATH",
	.type = SHIM_TEXT,
	.flags = SHIM_OWN,
	.help = "Control socket of the daemon (ORCH_SOCKET); by default that of this user"},
    {.name = "json",
	.type = SHIM_SWITCH,
	.flags = SHIM_FLAG_ONLY,
	.help = "Print the result as JSON: stable names, sizes in bytes, times in RFC 3339"},
    {.name = "quiet",
	.letter = 'q',
	.type = SHIM_SWITCH,
	.flags = SHIM_FLAG_ONLY,
	.help = "Say nothing but errors and warnings"},
    {.name = "verbose",
	.letter = 'v',
	.type = SHIM_SWITCH,
	.flags = SHIM_FLAG_ONLY,
	.help = "Say what is done and why"},
    {.name = "logFormat",
	.arg = "text|json",
	.type = SHIM_CHOICE,
	.choices = "text|json",
	.fallback = "text",
	.flags = SHIM_OWN,
	.help = "How messages on standard error look"},
    {.name = "help",
	.letter = 'h',
	.type = SHIM_SWITCH,
	.flags = SHIM_FLAG_ONLY,
	.help = "Show this help"},
};

const struct shim_options shim_common_options = {
    .title = "Options of every command",
    .v = common,
    .count = ORCH_ARRAY_LEN(common),
};
