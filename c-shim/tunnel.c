/* SPDX-License-Identifier: Apache-2.0 */
/* Interim responses, and the client's connection as a tunnel once the protocol was switched. */
#include "margay.h"
#include "apr_portable.h"

void margay_interim(request_rec *r)
{
    if (r->status == HTTP_CONTINUE) {
        /* Else the core holds it back: whoever calls has decided that the client is to see it. */
        r->expecting_100 = 1;
    }
    ap_send_interim_response(r, 1);
}

int margay_tunnel_open(request_rec *r)
{
    conn_rec *const c = r->connection;
    ap_filter_t *filter, *next;

    /* Whatever comes now belongs to the other protocol: nobody may look for a request in it. */
    c->keepalive = AP_CONN_CLOSE;
    r->expecting_100 = 0;
    ap_send_interim_response(r, 1);
    for (filter = c->input_filters; filter; filter = next) {
        next = filter->next;
        if (!strcasecmp(filter->frec->name, "reqtimeout")) {
            ap_remove_input_filter(filter);
        }
    }
    r->input_filters = r->proto_input_filters = c->input_filters;
    r->output_filters = r->proto_output_filters = c->output_filters;
    return c->aborted;
}

int margay_tunnel_fd(request_rec *r)
{
    apr_socket_t *const socket = ap_get_conn_socket(r->connection);
    apr_os_sock_t fd;

    return socket && apr_os_sock_get(&fd, socket) == APR_SUCCESS ? (int)fd : -1;
}

int margay_tunnel_read(request_rec *r, char *into, apr_size_t room, apr_size_t *got)
{
    conn_rec *const c = r->connection;
    apr_bucket_brigade *in = apr_brigade_create(r->pool, c->bucket_alloc);
    apr_status_t status =
        ap_get_brigade(c->input_filters, in, AP_MODE_READBYTES, APR_NONBLOCK_READ, (apr_off_t)room);
    int answer = MARGAY_TUNNEL_NOTHING;

    *got = 0;
    if (APR_STATUS_IS_EAGAIN(status)) {
        apr_brigade_destroy(in);
        return MARGAY_TUNNEL_NOTHING;
    }
    if (status != APR_SUCCESS) {
        apr_brigade_destroy(in);
        return APR_STATUS_IS_EOF(status) ? MARGAY_TUNNEL_END : MARGAY_TUNNEL_BROKEN;
    }
    if (!APR_BRIGADE_EMPTY(in) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(in))) {
        answer = MARGAY_TUNNEL_END;
    }
    *got = room;
    status = apr_brigade_flatten(in, into, got);
    apr_brigade_destroy(in);
    if (status != APR_SUCCESS) {
        return MARGAY_TUNNEL_BROKEN;
    }
    return *got ? MARGAY_TUNNEL_DATA : answer;
}

int margay_tunnel_write(request_rec *r, apr_bucket_brigade *out, const char *data, apr_size_t n)
{
    conn_rec *const c = r->connection;
    apr_status_t status;

    APR_BRIGADE_INSERT_TAIL(out, apr_bucket_transient_create(data, n, c->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(out, apr_bucket_flush_create(c->bucket_alloc));
    status = ap_pass_brigade(c->output_filters, out);
    apr_brigade_cleanup(out);
    return status != APR_SUCCESS || c->aborted;
}

void margay_tunnel_end(request_rec *r, apr_bucket_brigade *out)
{
    apr_socket_t *const socket = ap_get_conn_socket(r->connection);

    if (!socket) {
        return;
    }
    /* With TLS too it is the socket that ends: TLS itself would end for both directions, and what the client has still to
     * say would be lost. */
    APR_BRIGADE_INSERT_TAIL(out, apr_bucket_flush_create(r->connection->bucket_alloc));
    ap_pass_brigade(r->connection->output_filters, out);
    apr_brigade_cleanup(out);
    apr_socket_shutdown(socket, APR_SHUTDOWN_WRITE);
}

apr_interval_time_t margay_client_timeout(const request_rec *r)
{
    return r->server->timeout;
}
