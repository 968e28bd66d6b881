/* SPDX-License-Identifier: Apache-2.0 */
/* The contract between httpd's side (C) and the adapter (Rust): everything that crosses stands here.
 *
 * Ownership: pointers of httpd (request, server, pool, command) are borrowed for the call. Text that Rust hands to httpd
 * comes from a pool of httpd's. Nothing is freed on the other side.
 */
#ifndef MARGAY_H
#define MARGAY_H

#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "http_log.h"
#include "http_main.h"
#include "http_protocol.h"
#include "http_request.h"
#include "http_ssl.h"
#include "http_connection.h"
#include "mod_core.h"
#include "mod_status.h"
#include "ap_mpm.h"
#include "unixd.h"
#include "apr_strings.h"
#include "apr_fnmatch.h"
#include "apr_thread_proc.h"
#include "util_filter.h"

extern module AP_MODULE_DECLARE_DATA margay_module;

/* ---- Within the shim -------------------------------------------------------------------------------------------- */

/* forward.c: the URL with scheme and host in lower case and without the usual port, if that is not how it came; else NULL. */
const char *margay_forward_plain_url(request_rec *r);

/* standin.c: links the records that stand in for the modules whose dialects are ours in this pass, with the directives;
 * called by register_hooks. */
void margay_stand_in(apr_pool_t *pool);
/* config.c: the directives of each dialect. */
extern const command_rec margay_own_commands[], margay_proxy_commands[], margay_jk_commands[],
    margay_heartmonitor_commands[];
/* outgoing.c: tells the modules that want to know of a <Proxy> section; OK, or what refuses the configuration. */
int margay_announce_section(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *server,
                            ap_conf_vector_t *section);
/* config.c: does so for all sections of all servers. */
int margay_announce_sections(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *server);
/* standin.c: under which module's name a line of this level is written, or -1 if it is not. */
int margay_log_index(const request_rec *r, int level);

/* jk.c: the hooks of mod_jk's dialect; called by register_hooks. */
void margay_register_jk(void);

/* ---- C calls Rust: src/httpd/entry.rs ------------------------------------------------------------------------- */

/* A line of the configuration; the text to refuse it with, or NULL. */
const char *margay_on_directive(cmd_parms *cmd, void *dir, unsigned id, const char *args);
/* The opening line of a <Proxy> section, up to its '>', or the expression of a <ProxyMatch>; dir is the new section's
 * configuration. */
const char *margay_on_proxy_section(cmd_parms *cmd, void *dir, const char *args, int is_expression);
/* A <Proxy> line that is wrong before its words are looked at; the text to refuse it with, or NULL at a restart. */
const char *margay_on_bad_section(cmd_parms *cmd, const char *text);
void *margay_on_create_server(apr_pool_t *pool, server_rec *server);
void *margay_on_merge_server(apr_pool_t *pool, void *base, void *add);
void *margay_on_create_dir(apr_pool_t *pool, char *path);
void *margay_on_merge_dir(apr_pool_t *pool, void *base, void *add);
/* OK, or a HTTP status that refuses the configuration. */
int margay_on_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *server);
int margay_on_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *server);
void margay_on_child_init(apr_pool_t *pchild, server_rec *server);
void margay_on_child_status(server_rec *server, pid_t pid, ap_generation_t generation, int slot, mpm_child_status state);
/* The companion ended; told to the parent. The status is that of waitpid. */
void margay_on_companion_end(long pid, int status);
/* Time to look whether the companion hangs; told to the parent. */
void margay_on_monitor(void);
/* 1 if the server is a forward proxy (ProxyRequests). */
int margay_on_foreign(request_rec *r);
/* Names the back end of the request, or DECLINED. */
int margay_on_pre_translate(request_rec *r);
int margay_on_translate(request_rec *r);
/* Forwards the request, or DECLINED. */
int margay_on_request(request_rec *r);

/* mod_status makes its page: writes the balancers to it, as lines for programs or as tables. */
int margay_on_status_section(request_rec *r, int lines);

/* ---- C calls Rust: src/httpd/jk/entry.rs, only while mod_jk's dialect is ours ------------------------------------- */

/* Finds the rule of mod_jk for a decoded path. */
int margay_on_jk_translate(request_rec *r);
/* Takes the session out of a path that no rule maps; DECLINED. */
int margay_on_jk_strip(request_rec *r);
/* The same for requests whose path others have translated; a request with a worker has no file. */
int margay_on_jk_map_to_storage(request_rec *r);
/* Forwards a request whose handler is mod_jk's or a directory's, or DECLINED. */
int margay_on_jk_request(request_rec *r);
/* A request is over. */
int margay_on_jk_log(request_rec *r);

/* ---- Rust calls C ----------------------------------------------------------------------------------------------- */

/* log.c: text of n bytes, not ended by a zero. */
void margay_log_request(request_rec *r, int level, apr_status_t status, const char *text, apr_size_t n);
void margay_log_server(server_rec *server, int level, apr_status_t status, const char *text, apr_size_t n);
int margay_log_enabled(const request_rec *r, int level);

/* Local time by strftime's rules; the number of characters, 0 if there is no room. */
apr_size_t margay_local_time(char *into, apr_size_t room, const char *format, apr_int64_t seconds);

/* request.c: the response. Every function that passes data on returns 0, or another value if the client is gone. */
apr_bucket_brigade *margay_brigade(request_rec *r);
/* Adds bytes that stay valid until the next pass. */
void margay_out_add(request_rec *r, apr_bucket_brigade *out, const char *data, apr_size_t n);
#define MARGAY_FLUSH 1
#define MARGAY_END 2
int margay_out_pass(request_rec *r, apr_bucket_brigade *out, int flags);
/* Ends the response so that the client can tell it is cut. */
void margay_out_cut(request_rec *r, apr_bucket_brigade *out);
void margay_content_type(request_rec *r, const char *type);
/* A Range of the client is for the back end alone. */
void margay_out_keep_whole(request_rec *r);

/* request.c: the request body. `kept` holds what was read and not yet consumed. */
/* Reads once, at most `want` bytes; without `wait` perhaps nothing. 0, or the HTTP status of the failure (AP_FILTER_ERROR: already answered). */
int margay_body_read(request_rec *r, apr_bucket_brigade *kept, apr_size_t want, int wait, apr_size_t *got,
                     int *end);
/* Describes the first `limit` bytes of `kept` in at most `max` pieces; returns how many pieces. */
int margay_body_pieces(apr_bucket_brigade *kept, struct iovec *pieces, int max, apr_size_t limit);
void margay_body_consume(apr_bucket_brigade *kept, apr_size_t n);
/* spool.c: moves all that is kept into a temporary file, made when *file is NULL. Nothing may have been consumed. */
apr_status_t margay_body_spool(request_rec *r, apr_bucket_brigade *kept, apr_file_t **file);

/* tunnel.c: the client's connection as a tunnel. */
/* Sends what r->status and r->headers_out say as an interim response. */
void margay_interim(request_rec *r);
/* Sends the 101 of r->headers_out and takes the request's filters away; 0, or another value if the client is gone. */
int margay_tunnel_open(request_rec *r);
/* The client's socket, or -1. */
int margay_tunnel_fd(request_rec *r);
#define MARGAY_TUNNEL_DATA 0
#define MARGAY_TUNNEL_NOTHING 1
#define MARGAY_TUNNEL_END 2
#define MARGAY_TUNNEL_BROKEN 3
/* Reads at most `room` bytes without waiting. */
int margay_tunnel_read(request_rec *r, char *into, apr_size_t room, apr_size_t *got);
/* Sends at once; 0, or another value if the client is gone. */
int margay_tunnel_write(request_rec *r, apr_bucket_brigade *out, const char *data, apr_size_t n);
/* Ends sending where the client can still send. */
void margay_tunnel_end(request_rec *r, apr_bucket_brigade *out);
/* Timeout of the server, in microseconds. */
apr_interval_time_t margay_client_timeout(const request_rec *r);

/* outgoing.c: connections to members through the server's own TLS. One belongs to the thread that has it. */
typedef struct margay_outgoing margay_outgoing;
#define MARGAY_OUTGOING_READY 0
/* No module offers TLS to members. */
#define MARGAY_OUTGOING_NO_TLS 1
/* SSLProxyEngine is not On where the request is handled. */
#define MARGAY_OUTGOING_OFF 2
/* The handshake failed, or took too long. */
#define MARGAY_OUTGOING_REFUSED 3
#define MARGAY_OUTGOING_SLOW 4
#define MARGAY_OUTGOING_FAILED 5
#define MARGAY_OUTGOING_NOTHING 6
#define MARGAY_OUTGOING_END 7
/* Makes the handshake over a connected socket, as the settings (of a request, or those below) say. `name` is asked for and
 * checked. The descriptor is taken over whatever the answer is. */
int margay_outgoing_open(server_rec *server, ap_conf_vector_t *settings, int fd, const char *name,
                         apr_interval_time_t limit, margay_outgoing **opened);
/* config.c: the settings for a URL that no request asks for, made in this pool. */
ap_conf_vector_t *margay_outgoing_settings(apr_pool_t *pool, const server_rec *server, const char *url);
void margay_outgoing_close(margay_outgoing *o);
int margay_outgoing_fd(const margay_outgoing *o);
/* From now on the configuration of this request acts; 0 if it does not allow TLS. */
int margay_outgoing_bind(margay_outgoing *o, request_rec *r);
/* The request is over: nothing of it is referred to any more. */
void margay_outgoing_rest(margay_outgoing *o);
/* Limit of each wait, in microseconds. */
void margay_outgoing_limit(margay_outgoing *o, apr_interval_time_t limit);
/* Sends all pieces at once: READY, SLOW or FAILED. */
int margay_outgoing_send(margay_outgoing *o, const struct iovec *pieces, apr_size_t count);
/* Receives what is there, or waits for something: READY with some bytes, END, SLOW or FAILED; NOTHING if it may not wait. */
int margay_outgoing_recv(margay_outgoing *o, char *into, apr_size_t room, int wait, apr_size_t *got);

/* request.c: answers only the core's private data gives. */
/* 0, or the status with which TRACE is refused (TraceEnable). */
int margay_trace_refusal(request_rec *r);
int margay_is_ssl(request_rec *r);
const char *margay_ssl_variable(request_rec *r, const char *name);
/* Answers TRACE or OPTIONS by the server itself. */
int margay_answer_locally(request_rec *r);
/* 1 if AllowEncodedSlashes is NoDecode for this request: %2F is left in r->uri. */
int margay_keeps_encoded_slashes(const request_rec *r);

/* forward.c: marks requests for URLs of other servers, where ProxyRequests is on. */
int margay_forward_detect(request_rec *r);
/* The URL of the request with `domain` behind its host, if that has no dot; NULL if there is nothing to add. */
const char *margay_forward_with_domain(request_rec *r, const char *domain);
/* The host the request is for, or NULL. */
const char *margay_forward_host(const request_rec *r);

/* expression.c: conditions of health checks. */
typedef struct {
    const char *name;
    apr_size_t name_length;
    const char *value;
    apr_size_t value_length;
} margay_header;
void margay_register_expressions(void);
/* The expression, which refers to `text`; NULL with *error set if it is none. */
const void *margay_expression_parse(apr_pool_t *pool, const char *text, const char **error);
/* 1 or 0; -1 with a text in `why` if it cannot be evaluated. Any thread may ask. */
int margay_expression_true(const void *expression, int status, const margay_header *headers, apr_size_t count,
                           const char *body, apr_size_t n, char *why, apr_size_t room);

/* jk.c */
/* What mod_dir wants to know of a sub-request it made for an index file; OK, or DECLINED where httpd has to look. */
int margay_jk_name_file(request_rec *r);
/* Puts what httpd gathers for CGI programs, like HTTP_HOST, into the environment of the request. */
void margay_jk_cgi_variables(request_rec *r);
int margay_is_directory(apr_pool_t *pool, const char *path);
int margay_is_file(apr_pool_t *pool, const char *path);
/* A path as httpd encodes it for URLs. */
const char *margay_escape_path(apr_pool_t *pool, const char *path);
/* Where to write for a program that reads a log; -1 if it cannot be started. */
int margay_piped_log(apr_pool_t *pool, const char *program);
/* Reads what is left of the request body. */
int margay_discard_body(request_rec *r);
/* Port of the server of a request, or its scheme's. */
unsigned margay_port(const request_rec *r);

/* heartbeat.c: what mod_heartmonitor keeps in shared memory. */
/* Looks for that memory; called in post_config, after mod_heartmonitor's. */
void margay_heartbeat_attach(apr_pool_t *pconf);
/* True if it was found. */
int margay_heartbeat_is_attached(void);
/* Describes each back end to `each`; `ip` is valid during the call, `seen` is in microseconds. */
typedef void margay_heartbeat_each(void *baton, const char *ip, int ready, int busy, apr_time_t seen);
int margay_heartbeat_read(apr_pool_t *pool, margay_heartbeat_each *each, void *baton);

/* companion.c: the end of one process, which httpd's main loop is to tell us of. The pool lives as long as the parent. */
void margay_companion_watch(apr_pool_t *pool, long pid);
/* It is not told of any more. */
void margay_companion_forget(void);

/* standin.c */
/* What mod_jk's dialect keeps of a request; NULL for nothing. */
void *margay_jk_state(const request_rec *r);
void margay_jk_set_state(request_rec *r, void *state);
/* True if a module of this name (mod_proxy.c) is loaded that is not ours. */
int margay_is_loaded(const char *module_name);
/* The languages of other modules that we speak; the names of directives.def in capitals. */
#define MARGAY_DIALECT_PROXY 0
#define MARGAY_DIALECT_JK 1
/* Directives for what mod_heartmonitor does; without names, and not refused beside it. */
#define MARGAY_DIALECT_HEARTMONITOR 2
#define MARGAY_DIALECTS 3
/* Its directives are registered by us alone. */
#define MARGAY_OWNER_US 0
/* The real module was loaded before us: we have registered nothing and stay out of its way. */
#define MARGAY_OWNER_THEM 1
/* The real module was loaded after us: both would carry out each line. */
#define MARGAY_OWNER_BOTH 2
/* Looks through all modules. */
int margay_dialect_owner(int dialect);
/* 1 unless the owner is THEM. */
int margay_dialect_is_ours(int dialect);

#endif
