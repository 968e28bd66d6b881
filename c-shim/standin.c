/* SPDX-License-Identifier: Apache-2.0 */
/* Standing in for the modules whose dialects we speak, where other parts of a configuration ask for them by name:
 * <IfModule>, LogLevel, Mutex, and mod_rewrite's [P].
 *
 * A dialect whose real module was loaded before us is that module's: neither its directives nor its names are
 * registered. Which modules are loaded, and in which order, may change at each reading of the configuration, so it is
 * decided anew each time.
 *
 * Records with their names are linked behind ours, empty but for the directives of the dialect in the first, and mod_so's
 * look-up of symbols is wrapped, so that proxy_module is found too. A symbol of that name must never be exported: it would
 * take the place of mod_proxy's own.
 */
#include "margay.h"
#include "apr_optional.h"
#include "mod_so.h"
#include "util_mutex.h"

#define STAND_IN(file) \
    { MODULE_MAGIC_NUMBER_MAJOR, MODULE_MAGIC_NUMBER_MINOR, -1, file, NULL, NULL, MODULE_MAGIC_COOKIE, \
      NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 }

/* The first ones have levels of their own in LogLevel. */
enum { PROXY, PROXY_BALANCER, PROXY_AJP, PROXY_HTTP, PROXY_HCHECK, WITH_LEVEL };

static module records[] = {
    STAND_IN("mod_proxy.c"),
    STAND_IN("mod_proxy_balancer.c"),
    STAND_IN("mod_proxy_ajp.c"),
    STAND_IN("mod_proxy_http.c"),
    STAND_IN("mod_proxy_hcheck.c"),
    STAND_IN("mod_lbmethod_byrequests.c"),
    STAND_IN("mod_lbmethod_bytraffic.c"),
    STAND_IN("mod_lbmethod_bybusyness.c"),
    STAND_IN("mod_lbmethod_heartbeat.c"),
    STAND_IN("mod_jk.c"),
    STAND_IN("mod_margay_heartmonitor.c"),
};

static const char *const symbols[] = {
    "proxy_module",
    "proxy_balancer_module",
    "proxy_ajp_module",
    "proxy_http_module",
    "proxy_hcheck_module",
    "lbmethod_byrequests_module",
    "lbmethod_bytraffic_module",
    "lbmethod_bybusyness_module",
    "lbmethod_heartbeat_module",
    "jk_module",
    "margay_heartmonitor_module",
};

#define COUNT ((int)(sizeof(records) / sizeof(records[0])))

/* The records with the directives of a dialect; those of mod_proxy's companions lie between the first two. */
enum { JK = COUNT - 2, HEARTMONITOR = COUNT - 1 };

/* By MARGAY_DIALECT_…. The first record of each has the directives. */
static struct {
    const char *real;
    /* The names of the first record: usually, and where names are switched off. */
    const char *name, *plain;
    const command_rec *commands;
    int first, end;
    int is_ours;
} dialects[] = {
    { "mod_proxy.c", "mod_proxy.c", "mod_margay_proxy.c", margay_proxy_commands, PROXY, JK, 0 },
    { "mod_jk.c", "mod_jk.c", "mod_margay_jk.c", margay_jk_commands, JK, HEARTMONITOR, 0 },
    { "mod_heartmonitor.c", "mod_margay_heartmonitor.c", "mod_margay_heartmonitor.c", margay_heartmonitor_commands,
      HEARTMONITOR, COUNT, 0 },
};

/* mod_so's own look-up; set anew in each pass, because httpd forgets optional functions between passes. */
static APR_OPTIONAL_FN_TYPE(ap_find_loaded_module_symbol) *look_up_before;

static int is_linked(const module *record)
{
    return record->module_index != -1;
}

/* The file stays loaded when httpd lets go of it, and a record whose `next` is set would not be linked again. */
static apr_status_t unlink_records(void *unused)
{
    int i;

    for (i = COUNT - 1; i >= 0; --i) {
        if (is_linked(&records[i])) {
            ap_remove_module(&records[i]);
        }
        records[i].next = NULL;
    }
    margay_module.next = NULL;
    return APR_SUCCESS;
}

static module *look_up(server_rec *server, const char *name)
{
    module *found = look_up_before ? look_up_before(server, name) : NULL;
    int i;

    for (i = 0; !found && i < COUNT; ++i) {
        if (is_linked(&records[i]) && !strcmp(symbols[i], name)) {
            found = &records[i];
        }
    }
    return found;
}

/* Mutex lines that name mod_proxy's types stay valid; nothing of ours needs a mutex. */
static int register_mutexes(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    ap_mutex_register(pconf, "proxy", NULL, APR_LOCK_DEFAULT, 0);
    ap_mutex_register(pconf, "proxy-balancer-shm", NULL, APR_LOCK_DEFAULT, 0);
    return OK;
}

/* False if httpd has no room for more modules; the names that are missing are as if we had not come. */
static int link_record(int i, apr_pool_t *pool)
{
    return !ap_add_module(&records[i], pool, symbols[i]);
}

/* Links what stands for a dialect: with_names all its records, else only the directives, under a name nobody asks for. */
static void link_dialect(int dialect, int with_names, apr_pool_t *pool)
{
    const int first = dialects[dialect].first;
    int i;

    records[first].name = with_names ? dialects[dialect].name : dialects[dialect].plain;
    records[first].cmds = dialects[dialect].commands;
    if (!link_record(first, pool) || !with_names) {
        return;
    }
    for (i = first + 1; i < dialects[dialect].end; ++i) {
        if (!ap_find_linked_module(records[i].name) && !link_record(i, pool)) {
            return;
        }
    }
}

void margay_stand_in(apr_pool_t *pool)
{
    const int with_names = !ap_exists_config_define("MARGAY_NO_COMPAT");
    int i;

    for (i = 0; i < MARGAY_DIALECTS; ++i) {
        dialects[i].is_ours = !ap_find_linked_module(dialects[i].real);
    }
    apr_pool_cleanup_register(pool, NULL, unlink_records, apr_pool_cleanup_null);
    for (i = 0; i < MARGAY_DIALECTS; ++i) {
        /* A dialect without a directive is not spoken. */
        if (dialects[i].is_ours && dialects[i].commands->name) {
            link_dialect(i, with_names, pool);
        }
    }
    if (!with_names) {
        return;
    }
    look_up_before = APR_RETRIEVE_OPTIONAL_FN(ap_find_loaded_module_symbol);
    apr_dynamic_fn_register("ap_find_loaded_module_symbol", (apr_opt_fn_t *)look_up);
    if (dialects[MARGAY_DIALECT_PROXY].is_ours) {
        ap_hook_pre_config(register_mutexes, NULL, NULL, APR_HOOK_MIDDLE);
    }
}

int margay_dialect_is_ours(int dialect)
{
    return dialects[dialect].is_ours;
}

int margay_dialect_owner(int dialect)
{
    if (!dialects[dialect].is_ours) {
        return MARGAY_OWNER_THEM;
    }
    return margay_is_loaded(dialects[dialect].real) ? MARGAY_OWNER_BOTH : MARGAY_OWNER_US;
}

/* The record that stands for mod_jk has the place of its requests' state. */
static const module *jk_record(void)
{
    return &records[dialects[MARGAY_DIALECT_JK].first];
}

void *margay_jk_state(const request_rec *r)
{
    return is_linked(jk_record()) ? ap_get_module_config(r->request_config, jk_record()) : NULL;
}

void margay_jk_set_state(request_rec *r, void *state)
{
    if (is_linked(jk_record())) {
        ap_set_module_config(r->request_config, jk_record(), state);
    }
}

int margay_is_loaded(const char *module_name)
{
    const module *linked;

    for (linked = ap_top_module; linked; linked = linked->next) {
        const int is_ours = linked >= records && linked < records + COUNT;

        if (!is_ours && linked->name && !strcmp(linked->name, module_name)) {
            return 1;
        }
    }
    return 0;
}

static int shows(const request_rec *r, const module *record, int level)
{
    return is_linked(record) && APLOG_R_MODULE_IS_LEVEL(r, record->module_index, level);
}

/* Our own level decides; a line it keeps back is written under the name whose level lets it pass. */
int margay_log_index(const request_rec *r, int level)
{
    int i;

    if (APLOG_R_MODULE_IS_LEVEL(r, margay_module.module_index, level)) {
        return margay_module.module_index;
    }
    for (i = 0; i < WITH_LEVEL; ++i) {
        if (shows(r, &records[i], level)) {
            return records[i].module_index;
        }
    }
    return shows(r, jk_record(), level) ? jk_record()->module_index : -1;
}
