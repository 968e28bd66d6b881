/* SPDX-License-Identifier: Apache-2.0 */
/* mod_jk's place in the life of a request, and what of httpd only its dialect needs. */
#include "margay.h"
#include "apr_lib.h"
#include "util_script.h"

static int is_ours(void)
{
    return margay_dialect_is_ours(MARGAY_DIALECT_JK);
}

static int translate(request_rec *r)
{
    return is_ours() ? margay_on_jk_translate(r) : DECLINED;
}

static int strip_session(request_rec *r)
{
    return is_ours() ? margay_on_jk_strip(r) : DECLINED;
}

static int map_to_storage(request_rec *r)
{
    return is_ours() ? margay_on_jk_map_to_storage(r) : DECLINED;
}

static int handler(request_rec *r)
{
    if (!r->handler || (strcmp(r->handler, "jakarta-servlet") && strcmp(r->handler, DIR_MAGIC_TYPE))) {
        return DECLINED;
    }
    return is_ours() ? margay_on_jk_request(r) : DECLINED;
}

static int log_transaction(request_rec *r)
{
    return is_ours() ? margay_on_jk_log(r) : DECLINED;
}

void margay_register_jk(void)
{
    static const char *const after_rewrite[] = { "mod_rewrite.c", NULL };
    static const char *const before_aliases[] = { "mod_alias.c", NULL };

    /* An Alias has to see the path without its session, whichever module was loaded first. */
    ap_hook_translate_name(strip_session, after_rewrite, before_aliases, APR_HOOK_MIDDLE);
    /* Where mod_jk stands: mod_proxy's rules come before, and mod_alias by the order of the LoadModule lines. */
    ap_hook_translate_name(translate, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_log_transaction(log_transaction, NULL, NULL, APR_HOOK_MIDDLE);
}

int margay_jk_name_file(request_rec *r)
{
    const char *const main_name = r->main && r->main->filename ? apr_filepath_name_get(r->main->filename) : NULL;

    r->filename = (char *)apr_filepath_name_get(r->uri);
    if (main_name && !*main_name) {
        if (apr_filepath_merge(&r->filename, r->main->filename, r->filename,
                               APR_FILEPATH_SECUREROOT | APR_FILEPATH_TRUENAME, r->pool) != APR_SUCCESS) {
            return DECLINED;
        }
        apr_stat(&r->finfo, r->filename, APR_FINFO_TYPE, r->pool);
    }
    return OK;
}

int margay_is_directory(apr_pool_t *pool, const char *path)
{
    apr_finfo_t found;

    return apr_stat(&found, path, APR_FINFO_TYPE, pool) == APR_SUCCESS && found.filetype == APR_DIR;
}

int margay_is_file(apr_pool_t *pool, const char *path)
{
    apr_finfo_t found;

    return apr_stat(&found, path, APR_FINFO_TYPE, pool) == APR_SUCCESS && found.filetype == APR_REG;
}

const char *margay_escape_path(apr_pool_t *pool, const char *path)
{
    return ap_os_escape_path(pool, path, 1);
}

int margay_piped_log(apr_pool_t *pool, const char *program)
{
    piped_log *const log = ap_open_piped_log(pool, program);
    apr_os_file_t fd = -1;

    if (!log || apr_os_file_get(&fd, ap_piped_log_write_fd(log)) != APR_SUCCESS) {
        return -1;
    }
    return fd;
}

int margay_discard_body(request_rec *r)
{
    return ap_discard_request_body(r);
}

unsigned margay_port(const request_rec *r)
{
    return r->server->port ? r->server->port : ap_default_port(r);
}

void margay_jk_cgi_variables(request_rec *r)
{
    ap_add_common_vars(r);
}
