/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions of health checks: httpd's expressions, evaluated for an answer that belongs to no request. */
#include "margay.h"
#include "ap_expr.h"

APLOG_USE_MODULE(margay);

static const char body_note[] = "margay-check-body";

static const char *body_of(ap_expr_eval_ctx_t *ctx, const char *what)
{
    return ctx->r && what && !strcasecmp(what, "body") ? apr_table_get(ctx->r->notes, body_note) : NULL;
}

static const char *hc_variable(ap_expr_eval_ctx_t *ctx, const void *data)
{
    return body_of(ctx, data);
}

static const char *hc_function(ap_expr_eval_ctx_t *ctx, const void *data, const char *argument)
{
    return body_of(ctx, argument);
}

/* hc('body') and %{HC_BODY} */
static int lookup(ap_expr_lookup_parms *asked)
{
    if (asked->type == AP_EXPR_FUNC_VAR && !strcasecmp(asked->name, "HC_BODY")) {
        *asked->func = hc_variable;
        *asked->data = "body";
        return OK;
    }
    if (asked->type == AP_EXPR_FUNC_STRING && !strcasecmp(asked->name, "hc")) {
        *asked->func = hc_function;
        *asked->data = "hc";
        return OK;
    }
    return DECLINED;
}

void margay_register_expressions(void)
{
    ap_hook_expr_lookup(lookup, NULL, NULL, APR_HOOK_MIDDLE);
}

const void *margay_expression_parse(apr_pool_t *pool, const char *text, const char **error)
{
    ap_expr_info_t *parsed = apr_pcalloc(pool, sizeof(*parsed));

    parsed->filename = "hcexpr";
    parsed->flags = AP_EXPR_FLAG_DONT_VARY;
    parsed->module_index = APLOG_MODULE_INDEX;
    *error = ap_expr_parse(pool, pool, parsed, text, NULL);
    return *error ? NULL : parsed;
}

/* Whatever an expression may ask of a request or its connection is there, mostly empty. */
static request_rec *made_up_request(apr_pool_t *pool)
{
    request_rec *r = apr_pcalloc(pool, sizeof(*r));
    conn_rec *c = apr_pcalloc(pool, sizeof(*c));
    apr_sockaddr_t *nowhere = NULL;

    if (apr_sockaddr_info_get(&nowhere, "127.0.0.1", APR_INET, 0, 0, pool) != APR_SUCCESS) {
        return NULL;
    }
    c->pool = pool;
    c->base_server = ap_server_conf;
    c->local_addr = c->client_addr = nowhere;
    c->local_ip = c->client_ip = "127.0.0.1";
    c->notes = apr_table_make(pool, 1);
    c->conn_config = ap_create_conn_config(pool);

    r->pool = pool;
    r->connection = c;
    r->server = ap_server_conf;
    r->request_time = apr_time_now();
    r->useragent_addr = nowhere;
    r->useragent_ip = "127.0.0.1";
    r->headers_in = apr_table_make(pool, 1);
    r->trailers_in = apr_table_make(pool, 1);
    r->headers_out = apr_table_make(pool, 8);
    r->err_headers_out = apr_table_make(pool, 1);
    r->trailers_out = apr_table_make(pool, 1);
    r->subprocess_env = apr_table_make(pool, 1);
    r->notes = apr_table_make(pool, 1);
    r->request_config = ap_create_request_config(pool);
    ap_set_core_module_config(r->request_config, apr_pcalloc(pool, sizeof(core_request_config)));
    r->per_dir_config = ap_server_conf->lookup_defaults;
    r->proxyreq = PROXYREQ_RESPONSE;
    r->method = r->hostname = "";
    r->protocol = apr_pstrdup(pool, "");
    r->uri = r->unparsed_uri = apr_pstrdup(pool, "/");
    return r;
}

int margay_expression_true(const void *expression, int status, const margay_header *headers, apr_size_t count,
                           const char *body, apr_size_t n, char *why, apr_size_t room)
{
    const char *error = NULL;
    apr_pool_t *pool;
    request_rec *r;
    apr_size_t i;
    int result = -1;

    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        apr_cpystrn(why, "no memory", room);
        return -1;
    }
    r = made_up_request(pool);
    if (r) {
        r->status = status;
        for (i = 0; i < count; ++i) {
            apr_table_addn(r->headers_out, apr_pstrmemdup(pool, headers[i].name, headers[i].name_length),
                           apr_pstrmemdup(pool, headers[i].value, headers[i].value_length));
        }
        apr_table_setn(r->notes, body_note, apr_pstrmemdup(pool, body, n));
        result = ap_expr_exec(r, expression, &error);
        if (error) {
            apr_cpystrn(why, error, room);
            result = -1;
        }
    }
    apr_pool_destroy(pool);
    return result;
}
