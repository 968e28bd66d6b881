/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least an httpd handler can do: take the request in translate_name, skip the file-system walk, answer from memory.
 * What a request costs here is httpd's own share; the benchmark subtracts it from every module's figure.
 */
#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_protocol.h"
#include "http_request.h"
#include "util_filter.h"

#define HANDLER "bench-empty"
#define LARGEST (1024 * 1024)

/* The body every server of the benchmark sends and expects: byte i is 'a' + i % 23 (see benches/farm/body.rs). */
static char pattern[LARGEST];

static int reply_size(const char *uri)
{
    if (!strcmp(uri, "/1k"))
        return 1024;
    if (!strcmp(uri, "/64k"))
        return 64 * 1024;
    if (!strcmp(uri, "/1m"))
        return LARGEST;
    return -1;
}

static int is_ours(const request_rec *r)
{
    return r->handler && !strcmp(r->handler, HANDLER);
}

static int translate_name(request_rec *r)
{
    if (reply_size(r->uri) < 0)
        return DECLINED;
    r->handler = HANDLER;
    r->filename = apr_pstrcat(r->pool, "bench:", r->uri, NULL);
    return OK;
}

static int map_to_storage(request_rec *r)
{
    return is_ours(r) ? OK : DECLINED;
}

static int read_request_body(request_rec *r)
{
    char buffer[8192];
    apr_size_t at = 0;
    long n;
    int status = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);

    if (status != OK || !ap_should_client_block(r))
        return status;
    while ((n = ap_get_client_block(r, buffer, sizeof buffer)) > 0) {
        if (at + n > LARGEST || memcmp(pattern + at, buffer, n))
            return HTTP_BAD_REQUEST;
        at += n;
    }
    return n < 0 ? HTTP_BAD_REQUEST : OK;
}

static int handler(request_rec *r)
{
    apr_bucket_brigade *bb;
    int size, status;

    if (!is_ours(r))
        return DECLINED;
    size = reply_size(r->uri);
    status = read_request_body(r);
    if (status != OK)
        return status;
    ap_set_content_type(r, "text/plain;charset=UTF-8");
    ap_set_content_length(r, size);
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_immortal_create(pattern, size, bb->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    ap_pass_brigade(r->output_filters, bb);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    int i;

    for (i = 0; i < LARGEST; i++)
        pattern[i] = (char) ('a' + i % 23);
    ap_hook_translate_name(translate_name, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_FIRST);
}

module AP_MODULE_DECLARE_DATA bench_empty_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks
};
