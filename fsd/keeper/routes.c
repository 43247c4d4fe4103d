/* The control API as a table. */
#include "routes.h"
#include "api.h"

#define REV "/v1/snapshots/{}"
#define WS  "/v1/workspaces/{}"

const struct fsd_route fsd_routes[] = {
    {"GET", "/healthz", fsd_api_health, NULL, NULL, 0},
    {"GET", "/metrics", fsd_api_metrics, NULL, NULL, FSD_ROUTE_TEXT},
    {"GET", "/v1/daemon", fsd_api_daemon, NULL, NULL, 0},
    {"POST", "/v1/daemon/stop", fsd_api_stop, "force:b?", NULL, 0},
    {"POST", "/v1/daemon/upgrade", fsd_api_upgrade, NULL, NULL, 0},

    {"GET", "/v1/snapshots", fsd_api_snapshot_list, NULL, NULL, 0},
    {"GET", REV, fsd_api_snapshot_get, NULL, NULL, 0},
    {"DELETE", REV, fsd_api_snapshot_delete, NULL, NULL, 0},
    {"GET", REV "/tree", fsd_api_tree, NULL, "path? path_b64?", 0},
    {"POST", "/v1/snapshots/import", fsd_api_import,
	"dir:p ref:s? expect:s? exclude:a? ignore_file:s? parent:s? source:s? record:o?", NULL,
	FSD_ROUTE_STREAM | FSD_ROUTE_MAKES},
    {"POST", "/v1/snapshots/git", fsd_api_import_git,
	"url:s rev:s auth_mode:s? env:o? stall_s:*? step_commits:*? ref:s? expect:s? include:a? "
	"exclude:a? "
	"parent:s? record:o?",
	NULL, FSD_ROUTE_STREAM | FSD_ROUTE_MAKES},
    {"POST", REV "/export", fsd_api_export, "dir:p", NULL, FSD_ROUTE_STREAM},
    {"POST", "/v1/snapshots/apply", fsd_api_apply,
	"base:s incoming:s mine:s conflict:s? ref:s? expect:s? record:o?", NULL,
	FSD_ROUTE_STREAM | FSD_ROUTE_MAKES},
    {"GET", "/v1/diff", fsd_api_diff, NULL, "a b", FSD_ROUTE_STREAM},

    {"POST", "/v1/git/fetch", fsd_api_git_fetch,
	"url:s rev:s auth_mode:s? env:o? stall_s:*? step_commits:*?", NULL,
	FSD_ROUTE_STREAM | FSD_ROUTE_MAKES},
    {"GET", "/v1/git", fsd_api_git_list, NULL, NULL, 0},
    {"DELETE", "/v1/git/{}", fsd_api_git_remove, NULL, NULL, 0},
    {"POST", "/v1/git/{}/verify", fsd_api_git_verify, NULL, NULL, FSD_ROUTE_STREAM},

    {"GET", "/v1/refs", fsd_api_ref_list, NULL, "prefix?", 0},
    {"GET", "/v1/refs/{}", fsd_api_ref_get, NULL, NULL, 0},
    {"PUT", "/v1/refs/{}", fsd_api_ref_put, "id:s expect:s?", NULL, 0},
    {"DELETE", "/v1/refs/{}", fsd_api_ref_delete, NULL, "expect?", 0},

    {"GET", "/v1/workspaces", fsd_api_workspace_list, NULL, NULL, 0},
    {"POST", "/v1/workspaces", fsd_api_workspace_create,
	"name:s from:s at:p? owner:*? read_only:b? passthrough:b? mount:b?", NULL, FSD_ROUTE_MAKES},
    {"GET", WS, fsd_api_workspace_get, NULL, NULL, 0},
    {"DELETE", WS, fsd_api_workspace_drop, NULL, "force?", 0},
    {"POST", WS "/fork", fsd_api_workspace_fork, "name:s at:p? mount:b?", NULL, FSD_ROUTE_MAKES},
    {"POST", WS "/mount", fsd_api_workspace_mount, "at:p?", NULL, 0},
    {"POST", WS "/view", fsd_api_workspace_view, "uid:* gid:*?", NULL, 0},
    {"POST", WS "/umount", fsd_api_workspace_umount, "lazy:b?", NULL, 0},
    {"POST", WS "/commit", fsd_api_workspace_commit, "ref:s? expect:s? record:o?", NULL,
	FSD_ROUTE_STREAM | FSD_ROUTE_MAKES},
    {"GET", WS "/changes", fsd_api_workspace_changes, NULL, "since?", FSD_ROUTE_STREAM},
    {"PUT", WS "/jobs/{}", fsd_api_job_put, "cgroup:a pid:*?", NULL, 0},
    {"DELETE", WS "/jobs/{}", fsd_api_job_delete, NULL, NULL, 0},

    {"GET", "/v1/store", fsd_api_store, NULL, NULL, 0},
    {"POST", "/v1/store/verify", fsd_api_verify, "repair:b?", NULL, FSD_ROUTE_STREAM},

    {NULL, NULL, NULL, NULL, NULL, 0},
};
