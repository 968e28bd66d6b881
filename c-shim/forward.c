/* SPDX-License-Identifier: Apache-2.0 */
/* Requests whose URL names another server. */
#include "margay.h"
#include "http_vhost.h"

/* Does an absolute URL name the server that got the request? */
static int is_own(request_rec *r)
{
    const apr_uri_t *const url = &r->parsed_uri;
    const apr_port_t port = url->port_str ? url->port : ap_default_port(r);

    return url->hostname && !strcasecmp(url->scheme, ap_http_scheme(r)) && ap_matches_request_vhost(r, url->hostname, port);
}

int margay_forward_detect(request_rec *r)
{
    const apr_uri_t *const url = &r->parsed_uri;
    /* CONNECT names host and port, and nothing else. */
    const int is_tunnel = !url->scheme && r->method_number == M_CONNECT && url->hostname && url->port_str;

    if (!url->scheme && !is_tunnel) {
        return DECLINED;
    }
    if (margay_on_foreign(r) && (is_tunnel || !is_own(r))) {
        r->proxyreq = PROXYREQ_PROXY;
        /* The URL is not this server's to look into: it stays as it came. */
        r->uri = r->unparsed_uri;
        r->filename = apr_pstrcat(r->pool, "proxy:", r->uri, NULL);
        r->handler = "proxy-server";
    }
    return DECLINED;
}

const char *margay_forward_with_domain(request_rec *r, const char *domain)
{
    apr_uri_t url = r->parsed_uri;

    if (r->method_number != M_GET || !url.hostname || !*url.hostname || strpbrk(url.hostname, ".:")
        || !strcasecmp(url.hostname, "localhost")) {
        return NULL;
    }
    url.hostname = apr_pstrcat(r->pool, url.hostname, domain, NULL);
    return apr_uri_unparse(r->pool, &url, APR_URI_UNP_REVEALPASSWORD);
}

const char *margay_forward_host(const request_rec *r)
{
    return r->hostname ? r->hostname : r->parsed_uri.hostname;
}

/* The port that a URL of this scheme needs not name; 0 if there is none. */
static int usual_port(const char *scheme, apr_size_t length)
{
    static const struct { const char *scheme; int port; } known[] = {
        { "http", 80 }, { "ws", 80 }, { "https", 443 }, { "wss", 443 }, { "ajp", 8009 }, { "ftp", 21 }
    };
    apr_size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); ++i) {
        if (strlen(known[i].scheme) == length && !memcmp(known[i].scheme, scheme, length)) {
            return known[i].port;
        }
    }
    return 0;
}

/* A client must not get around a section by spelling a host in another way. */
const char *margay_forward_plain_url(request_rec *r)
{
    const char *const url = r->filename + strlen("proxy:");
    const char *const host = strstr(url, "://");
    const apr_size_t length = host ? (apr_size_t)(host - url) + 3 + strcspn(host + 3, "/?#") : 0;
    char *const start = apr_pstrmemdup(r->pool, url, length);
    const char *plain;
    char *colon;

    if (!length) {
        return NULL;
    }
    ap_str_tolower(start);
    colon = strrchr(start + (host - url) + 3, ':');
    /* Within the brackets of an IPv6 address there are others. */
    if (colon && !strchr(colon, ']') && (!colon[1] || atoi(colon + 1) == usual_port(start, host - url))) {
        *colon = '\0';
    }
    plain = apr_pstrcat(r->pool, start, url[length] == '/' ? "" : "/", url + length, NULL);
    return strcmp(plain, url) ? plain : NULL;
}
