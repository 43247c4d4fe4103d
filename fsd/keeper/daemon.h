/* The daemon: what all handlers share, and its life from start to end. */
#ifndef FSD_KEEPER_DAEMON_H
#define FSD_KEEPER_DAEMON_H

#include <stdbool.h>
#include "cache/store.h"
#include "ending.h"
#include "http_server.h"
#include "listen.h"
#include "settings.h"

struct fsd_registry;
struct fsd_jobs;
struct fsd_mirrors;
struct fsd_workers;
struct fsd_journal;

struct fsd_daemon {
	const struct fsd_settings *settings;
	struct cas_store *store;
	struct fsd_http *http;
	struct fsd_registry *registry; /* workspaces */
	struct fsd_jobs *jobs;	       /* that run in workspaces */
	struct fsd_workers *workers;
	struct fsd_workers
	    *fetchers;		     /* these wait for other machines: nobody else waits for them */
	struct fsd_mirrors *mirrors; /* turns on mirrors of Git repositories */
	int64_t started_wall_ns;
	char *run_dir;			    /* folder of the control socket */
	char *mounts;			    /* real path of the setting's folder */
	struct fsd_listen_file socket_file; /* once it serves */
	int listen_fd;		  /* for a successor, once the server has ended; else -1 */
	int stop_fd;		  /* eventfd: somebody asked for the end */
	struct fsd_ending ending; /* what may still begin, and how it ends */
};

/* fsd_daemon_run's way to say: execute the program again. *out_listen_fd, the caller's, is for
 * fsd_listen_bequeath; mounts go on and are adopted. */
#define FSD_DAEMON_REPLACE 1

/* Serves until SIGTERM, SIGINT, a stop request or the idle time-out. ready_fd: -1, or where
 * "ready\n" is written once the daemon answers. Signals must not be used by anybody else.
 * -errno with a message when it could not come up. */
int fsd_daemon_run(const struct fsd_settings *s, int ready_fd, int *out_listen_fd,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;

/* Asks for that end; returns at once. False: another one was decided before. */
bool fsd_daemon_end(struct fsd_daemon *d, enum fsd_end how) ORCH_NONNULL(1) ORCH_WUR;
/* The program that would be executed: this one's path, where a newer one may lie now. malloc'd. */
char *fsd_daemon_program(struct orch_err *err) ORCH_WUR;

#endif
