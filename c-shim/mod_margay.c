/* SPDX-License-Identifier: Apache-2.0 */
/* The module record and its hooks. */
#include "margay.h"

#include <mpm_common.h>

extern const command_rec margay_own_commands[];
int margay_map_to_storage(request_rec *r);

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *server)
{
    return margay_on_check_config(pconf, plog, ptemp, server);
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *server)
{
    const int result = margay_announce_sections(pconf, plog, ptemp, server);

    margay_heartbeat_attach(pconf);
    return result == OK ? margay_on_post_config(pconf, plog, ptemp, server) : result;
}

/* In the parent, every ten seconds or so. */
static int monitor(apr_pool_t *p, server_rec *server)
{
    margay_on_monitor();
    return DECLINED;
}

static int status_section(request_rec *r, int flags)
{
    return margay_on_status_section(r, flags & AP_STATUS_SHORT);
}

static void register_hooks(apr_pool_t *p)
{
    /* A RewriteRule speaks first, as with mod_proxy; then our rules, before aliases and the document root. */
    static const char *const after_rewrite[] = { "mod_rewrite.c", NULL };
    /* The settings of a server must be complete before those of its <Proxy> sections are made of them, and the memory of
     * heartbeats must be there. */
    static const char *const after_others[] = { "mod_ssl.c", "mod_heartmonitor.c", NULL };

    margay_register_expressions();
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, after_others, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(margay_on_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(margay_on_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(margay_forward_detect, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_pre_translate_name(margay_on_pre_translate, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_translate_name(margay_on_translate, after_rewrite, NULL, APR_HOOK_FIRST);
    ap_hook_map_to_storage(margay_map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(margay_on_request, NULL, NULL, APR_HOOK_FIRST);
    margay_register_jk();
    APR_OPTIONAL_HOOK(ap, status_hook, status_section, NULL, NULL, APR_HOOK_MIDDLE);
    margay_stand_in(p);
}

__attribute__((visibility("default")))
module AP_MODULE_DECLARE_DATA margay_module = {
    STANDARD20_MODULE_STUFF,
    margay_on_create_dir,
    margay_on_merge_dir,
    margay_on_create_server,
    margay_on_merge_server,
    margay_own_commands,
    register_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE
#endif
};
