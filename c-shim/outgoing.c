/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to members through the server's own outgoing TLS, so that every SSLProxy directive acts. */
#include "margay.h"
#include "apr_optional_hooks.h"
#include "apr_portable.h"

/* Everything of a connection lies in its own pool. */
struct margay_outgoing {
    apr_pool_t *pool;
    apr_socket_t *socket;
    conn_rec *c;
    apr_bucket_brigade *in, *out;
    int fd;
};

/* mod_ssl waits on this hook to learn of the sections that may hold its directives. */
#define MARGAY_DECLARE(type) type
APR_DECLARE_EXTERNAL_HOOK(margay, MARGAY, int, section_post_config,
                          (apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *server,
                           ap_conf_vector_t *section))
APR_IMPLEMENT_OPTIONAL_HOOK_RUN_ALL(margay, MARGAY, int, section_post_config,
                                    (apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *server,
                                     ap_conf_vector_t *section),
                                    (pconf, plog, ptemp, server, section), OK, DECLINED)

int margay_announce_section(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *server,
                            ap_conf_vector_t *section)
{
    return margay_run_section_post_config(pconf, plog, ptemp, server, section);
}

/* The family the socket has; without it the addresses of the connection cannot be told. */
static int family_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);

    return getsockname(fd, (struct sockaddr *)&address, &length) ? APR_INET : address.ss_family;
}

static apr_socket_t *socket_of(int fd, apr_pool_t *pool)
{
    apr_os_sock_info_t known = { 0 };
    apr_os_sock_t own = fd;
    apr_socket_t *socket = NULL;

    known.os_sock = &own;
    known.family = family_of(fd);
    known.type = SOCK_STREAM;
    return apr_os_sock_make(&socket, &known, pool) == APR_SUCCESS ? socket : NULL;
}

static int connect_filters(margay_outgoing *o, server_rec *server, ap_conf_vector_t *settings, const char *name,
                           apr_interval_time_t limit)
{
    int result;

    o->c = ap_run_create_connection(o->pool, server, o->socket, 0, NULL, apr_bucket_alloc_create(o->pool));
    if (!o->c) {
        return MARGAY_OUTGOING_FAILED;
    }
    if (ap_ssl_bind_outgoing(o->c, settings, 1) != OK) {
        return MARGAY_OUTGOING_OFF;
    }
    apr_table_setn(o->c->notes, "proxy-request-hostname", apr_pstrdup(o->pool, name));
    result = ap_run_pre_connection(o->c, o->socket);
    if (result != OK && result != DONE) {
        return MARGAY_OUTGOING_FAILED;
    }
    o->in = apr_brigade_create(o->pool, o->c->bucket_alloc);
    o->out = apr_brigade_create(o->pool, o->c->bucket_alloc);
    /* The core has set the limit of its clients. */
    apr_socket_timeout_set(o->socket, limit);
    return MARGAY_OUTGOING_READY;
}

/* The handshake is made before anything else, so that its failure is known to have harmed nobody. */
static int shake_hands(margay_outgoing *o, apr_interval_time_t limit)
{
    const apr_time_t start = apr_time_now();
    const apr_status_t status = ap_get_brigade(o->c->input_filters, o->in, AP_MODE_INIT, APR_BLOCK_READ, 0);
    const char *const result = apr_table_get(o->c->notes, "SSL_connect_rv");

    apr_brigade_cleanup(o->in);
    if (status != APR_SUCCESS || o->c->aborted || (result && strcmp(result, "ok"))) {
        /* mod_ssl says the same of a member that is silent. */
        return apr_time_now() - start >= limit ? MARGAY_OUTGOING_SLOW : MARGAY_OUTGOING_REFUSED;
    }
    return MARGAY_OUTGOING_READY;
}

int margay_outgoing_open(server_rec *server, ap_conf_vector_t *settings, int fd, const char *name,
                         apr_interval_time_t limit, margay_outgoing **opened)
{
    apr_pool_t *pool = NULL;
    margay_outgoing *o;
    int result;

    *opened = NULL;
    if (!ap_ssl_has_outgoing_handlers()) {
        close(fd);
        return MARGAY_OUTGOING_NO_TLS;
    }
    /* Without a parent and with an allocator of its own: made, used and destroyed by whichever thread has the connection. */
    if (apr_pool_create_unmanaged_ex(&pool, apr_pool_abort_get(server->process->pool), NULL) != APR_SUCCESS) {
        close(fd);
        return MARGAY_OUTGOING_FAILED;
    }
    apr_pool_tag(pool, "margay_outgoing");
    o = apr_pcalloc(pool, sizeof(*o));
    o->pool = pool;
    o->fd = fd;
    /* From here on the pool closes the descriptor. */
    o->socket = socket_of(fd, pool);
    if (!o->socket) {
        close(fd);
        apr_pool_destroy(pool);
        return MARGAY_OUTGOING_FAILED;
    }
    result = connect_filters(o, server, settings, name, limit);
    if (result == MARGAY_OUTGOING_READY) {
        result = shake_hands(o, limit);
    }
    if (result == MARGAY_OUTGOING_READY) {
        *opened = o;
    } else {
        apr_pool_destroy(pool);
    }
    return result;
}

void margay_outgoing_close(margay_outgoing *o)
{
    apr_pool_destroy(o->pool);
}

int margay_outgoing_fd(const margay_outgoing *o)
{
    return o->fd;
}

int margay_outgoing_bind(margay_outgoing *o, request_rec *r)
{
    return ap_ssl_bind_outgoing(o->c, r->per_dir_config, 1) == OK;
}

void margay_outgoing_rest(margay_outgoing *o)
{
    /* The configuration of the request ends with it; that of the server does not. */
    ap_ssl_bind_outgoing(o->c, o->c->base_server->lookup_defaults, 1);
}

void margay_outgoing_limit(margay_outgoing *o, apr_interval_time_t limit)
{
    apr_socket_timeout_set(o->socket, limit);
}

/* What became of a transfer. */
static int outcome(apr_status_t status)
{
    if (status == APR_SUCCESS) {
        return MARGAY_OUTGOING_READY;
    }
    if (APR_STATUS_IS_EAGAIN(status)) {
        return MARGAY_OUTGOING_NOTHING;
    }
    if (APR_STATUS_IS_EOF(status)) {
        return MARGAY_OUTGOING_END;
    }
    return APR_STATUS_IS_TIMEUP(status) ? MARGAY_OUTGOING_SLOW : MARGAY_OUTGOING_FAILED;
}

int margay_outgoing_send(margay_outgoing *o, const struct iovec *pieces, apr_size_t count)
{
    apr_status_t status;
    apr_size_t i;

    for (i = 0; i < count; ++i) {
        if (pieces[i].iov_len) {
            APR_BRIGADE_INSERT_TAIL(o->out, apr_bucket_transient_create(pieces[i].iov_base, pieces[i].iov_len,
                                                                        o->c->bucket_alloc));
        }
    }
    APR_BRIGADE_INSERT_TAIL(o->out, apr_bucket_flush_create(o->c->bucket_alloc));
    status = ap_pass_brigade(o->c->output_filters, o->out);
    apr_brigade_cleanup(o->out);
    return status == APR_SUCCESS && o->c->aborted ? MARGAY_OUTGOING_FAILED : outcome(status);
}

int margay_outgoing_recv(margay_outgoing *o, char *into, apr_size_t room, int wait, apr_size_t *got)
{
    const apr_read_type_e block = wait ? APR_BLOCK_READ : APR_NONBLOCK_READ;

    for (;;) {
        apr_status_t status = ap_get_brigade(o->c->input_filters, o->in, AP_MODE_READBYTES, block, (apr_off_t)room);
        const int is_end = !APR_BRIGADE_EMPTY(o->in) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(o->in));

        *got = room;
        if (status == APR_SUCCESS) {
            status = apr_brigade_flatten(o->in, into, got);
        }
        apr_brigade_cleanup(o->in);
        if (status != APR_SUCCESS) {
            return outcome(status);
        }
        if (*got) {
            return MARGAY_OUTGOING_READY;
        }
        if (is_end) {
            return MARGAY_OUTGOING_END;
        }
        if (!wait) {
            return MARGAY_OUTGOING_NOTHING;
        }
    }
}
