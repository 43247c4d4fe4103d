/* The handlers of the control API, by the file that has them. Contract: request.h. */
#ifndef FSD_KEEPER_API_H
#define FSD_KEEPER_API_H

#include "request.h"

/* api_daemon.c */
fsd_handler fsd_api_health, fsd_api_daemon, fsd_api_stop, fsd_api_upgrade, fsd_api_metrics;
/* api_ref.c */
fsd_handler fsd_api_ref_list, fsd_api_ref_get, fsd_api_ref_put, fsd_api_ref_delete;
/* api_snapshot.c */
fsd_handler fsd_api_snapshot_list, fsd_api_snapshot_get, fsd_api_snapshot_delete;
/* api_tree.c */
fsd_handler fsd_api_tree, fsd_api_diff;
/* api_store.c */
fsd_handler fsd_api_store, fsd_api_verify;
/* api_transfer.c */
fsd_handler fsd_api_import, fsd_api_import_git, fsd_api_export, fsd_api_apply;
/* api_git.c */
fsd_handler fsd_api_git_fetch, fsd_api_git_list, fsd_api_git_remove, fsd_api_git_verify;
/* api_job.c */
fsd_handler fsd_api_job_put, fsd_api_job_delete;
/* api_workspace.c */
fsd_handler fsd_api_workspace_list, fsd_api_workspace_get, fsd_api_workspace_create,
    fsd_api_workspace_fork, fsd_api_workspace_mount, fsd_api_workspace_umount,
    fsd_api_workspace_drop, fsd_api_workspace_commit, fsd_api_workspace_changes,
    fsd_api_workspace_view;

#endif
