/*
 * What orch-init and the provider that started it say to one another, over the socket (SOCK_SEQPACKET)
 * or pipe whose number orch-init is given. Fixed size, native byte order: both are on one host and of
 * one build; `version` tells when they are not. Included by a program that has nothing but libc.
 */
#ifndef ORCH_PROVIDERS_INIT_PROTOCOL_H
#define ORCH_PROVIDERS_INIT_PROTOCOL_H

#include <stdint.h>

#define PRV_INIT_MAGIC	 0x4f524349u /* "ORCI" */
#define PRV_INIT_VERSION 1

enum prv_init_kind {
	/* orch-init to provider */
	PRV_INIT_READY = 1, /* it is set up and is about to start the command; value: its own pid */
	PRV_INIT_SETUP_FAILED, /* value: errno; step: which of enum prv_init_step */
	PRV_INIT_EXEC_FAILED,  /* value: errno of execve, or of chdir to the folder */
	PRV_INIT_ENDED,	       /* value: the raw wait status of the command; all others are gone */
	/* provider to orch-init */
	PRV_INIT_SIGNAL = 100, /* value: the signal that every process is to be sent */
};

enum prv_init_step {
	PRV_INIT_STEP_NONE,
	PRV_INIT_STEP_ENVIRONMENT,
	PRV_INIT_STEP_OWNER,
	PRV_INIT_STEP_CAPABILITIES,
	PRV_INIT_STEP_PROCESS,
	PRV_INIT_STEP_FOLDER, /* of EXEC_FAILED: the folder, not the command, is the reason */
};

struct prv_init_message {
	uint32_t magic;
	uint16_t version;
	uint16_t kind;
	int32_t value;
	int32_t step;
};

#endif
