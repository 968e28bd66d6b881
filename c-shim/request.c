/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets and brigades, and the few answers that only macros or the core's own structs give. */
#include "margay.h"

apr_bucket_brigade *margay_brigade(request_rec *r)
{
    return apr_brigade_create(r->pool, r->connection->bucket_alloc);
}

void margay_out_add(request_rec *r, apr_bucket_brigade *out, const char *data, apr_size_t n)
{
    APR_BRIGADE_INSERT_TAIL(out, apr_bucket_transient_create(data, n, r->connection->bucket_alloc));
}

int margay_out_pass(request_rec *r, apr_bucket_brigade *out, int flags)
{
    apr_bucket_alloc_t *const alloc = r->connection->bucket_alloc;
    apr_status_t status;

    if (flags & MARGAY_END) {
        APR_BRIGADE_INSERT_TAIL(out, apr_bucket_eos_create(alloc));
    }
    else if (flags & MARGAY_FLUSH) {
        APR_BRIGADE_INSERT_TAIL(out, apr_bucket_flush_create(alloc));
    }
    status = ap_pass_brigade(r->output_filters, out);
    apr_brigade_cleanup(out);
    return status != APR_SUCCESS || r->connection->aborted;
}

void margay_out_cut(request_rec *r, apr_bucket_brigade *out)
{
    apr_bucket_alloc_t *const alloc = r->connection->bucket_alloc;

    /* The chunk filter looks for exactly this status before it leaves the last chunk away. */
    apr_brigade_cleanup(out);
    APR_BRIGADE_INSERT_TAIL(out, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, alloc));
    APR_BRIGADE_INSERT_TAIL(out, apr_bucket_eos_create(alloc));
    r->connection->keepalive = AP_CONN_CLOSE;
    ap_pass_brigade(r->output_filters, out);
    apr_brigade_cleanup(out);
}

void margay_content_type(request_rec *r, const char *type)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 132)
    /* A back end's word must not select a handler of ours after an internal redirect. */
    ap_set_content_type_ex(r, type, 0);
#else
    ap_set_content_type(r, type);
#endif
}

void margay_out_keep_whole(request_rec *r)
{
    /* httpd would cut pieces out of a response that happens to come in one brigade, and not out of any other. */
    if (apr_table_get(r->headers_in, "Range") || apr_table_get(r->headers_in, "Request-Range")) {
        ap_remove_output_filter_byhandle(r->output_filters, "BYTERANGE");
    }
}

int margay_body_read(request_rec *r, apr_bucket_brigade *kept, apr_size_t want, int wait, apr_size_t *got, int *end)
{
    const apr_read_type_e block = wait ? APR_BLOCK_READ : APR_NONBLOCK_READ;
    apr_bucket_brigade *in = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_status_t status = ap_get_brigade(r->input_filters, in, AP_MODE_READBYTES, block, (apr_off_t)want);

    *got = 0;
    if (!wait && APR_STATUS_IS_EAGAIN(status)) {
        status = APR_SUCCESS;
    }
    if (status != APR_SUCCESS) {
        apr_brigade_destroy(in);
        return ap_map_http_request_error(status, HTTP_BAD_REQUEST);
    }
    while (!APR_BRIGADE_EMPTY(in)) {
        apr_bucket *bucket = APR_BRIGADE_FIRST(in);
        const char *data;
        apr_size_t n = 0;

        if (APR_BUCKET_IS_EOS(bucket)) {
            *end = 1;
        }
        if (AP_BUCKET_IS_ERROR(bucket)) {
            int error = ((ap_bucket_error *)(bucket->data))->status;

            apr_brigade_destroy(in);
            return error ? error : HTTP_BAD_REQUEST;
        }
        if (APR_BUCKET_IS_METADATA(bucket)) {
            apr_bucket_delete(bucket);
            continue;
        }
        status = apr_bucket_read(bucket, &data, &n, APR_BLOCK_READ);
        if (status == APR_SUCCESS && n) {
            /* What lies in a filter's buffer would be overwritten by the next read. */
            status = apr_bucket_setaside(bucket, r->pool);
        }
        if (status != APR_SUCCESS && status != APR_ENOTIMPL) {
            apr_brigade_destroy(in);
            return ap_map_http_request_error(status, HTTP_BAD_REQUEST);
        }
        if (!n) {
            apr_bucket_delete(bucket);
            continue;
        }
        APR_BUCKET_REMOVE(bucket);
        APR_BRIGADE_INSERT_TAIL(kept, bucket);
        *got += n;
    }
    apr_brigade_destroy(in);
    return 0;
}

int margay_body_pieces(apr_bucket_brigade *kept, struct iovec *pieces, int max, apr_size_t limit)
{
    apr_bucket *bucket;
    int count = 0;

    for (bucket = APR_BRIGADE_FIRST(kept);
         bucket != APR_BRIGADE_SENTINEL(kept) && count < max && limit > 0;
         bucket = APR_BUCKET_NEXT(bucket)) {
        const char *data;
        apr_size_t n;

        if (apr_bucket_read(bucket, &data, &n, APR_BLOCK_READ) != APR_SUCCESS) {
            break;
        }
        if (n > limit) {
            n = limit;
        }
        pieces[count].iov_base = (void *)data;
        pieces[count].iov_len = n;
        limit -= n;
        ++count;
    }
    return count;
}

void margay_body_consume(apr_bucket_brigade *kept, apr_size_t n)
{
    while (n > 0 && !APR_BRIGADE_EMPTY(kept)) {
        apr_bucket *bucket = APR_BRIGADE_FIRST(kept);

        if (bucket->length > n) {
            apr_bucket_split(bucket, n);
        }
        n -= bucket->length;
        apr_bucket_delete(bucket);
    }
}

int margay_trace_refusal(request_rec *r)
{
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);

    if (core->trace_enable == AP_TRACE_DISABLE) {
        apr_table_setn(r->notes, "error-notes", "TRACE forbidden by server configuration");
        return HTTP_METHOD_NOT_ALLOWED;
    }
    if (core->trace_enable != AP_TRACE_EXTENDED && (r->read_length || r->read_chunked || r->remaining)) {
        apr_table_setn(r->notes, "error-notes", "TRACE with request body is not allowed");
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    }
    return 0;
}

int margay_is_ssl(request_rec *r)
{
    return ap_ssl_conn_is_ssl(r->connection);
}

const char *margay_ssl_variable(request_rec *r, const char *name)
{
    const char *value = ap_ssl_var_lookup(r->pool, r->server, r->connection, r, name);

    return value && *value ? value : NULL;
}

int margay_answer_locally(request_rec *r)
{
    if (r->method_number == M_TRACE) {
        int refusal = ap_send_http_trace(r);

        return refusal == DONE ? OK : refusal;
    }
    return ap_send_http_options(r);
}

int margay_keeps_encoded_slashes(const request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);

    return core->allow_encoded_slashes && !core->decode_encoded_slashes;
}
