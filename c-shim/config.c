/* SPDX-License-Identifier: Apache-2.0 */
/* The command table, and the <Proxy> container: sections that apply to forwarded URLs. */
#include "margay.h"

/* One <Proxy> section of a server. */
typedef struct {
    const char *pattern;
    int is_wildcard;
    /* Of <ProxyMatch> and <Proxy ~>: takes the place of the pattern. */
    ap_regex_t *expression;
    /* Names of its groups as variables (MATCH_NAME), by number; NULL for groups without a name. */
    apr_array_header_t *groups;
    ap_conf_vector_t *config;
} proxy_section;

/* The sections of a configuration pass, by server. It lives in pconf, like everything in it. */
static apr_hash_t *sections_by_server;

static apr_status_t forget_sections(void *unused)
{
    sections_by_server = NULL;
    return APR_SUCCESS;
}

static apr_array_header_t *sections_of(const server_rec *server, apr_pool_t *pool)
{
    apr_array_header_t *sections;

    if (!sections_by_server) {
        if (!pool) {
            return NULL;
        }
        sections_by_server = apr_hash_make(pool);
        apr_pool_cleanup_register(pool, NULL, forget_sections, apr_pool_cleanup_null);
    }
    sections = apr_hash_get(sections_by_server, &server, sizeof(server));
    if (!sections && pool) {
        const server_rec **key = apr_pmemdup(pool, &server, sizeof(server));

        sections = apr_array_make(pool, 4, sizeof(proxy_section));
        apr_hash_set(sections_by_server, key, sizeof(server), sections);
    }
    return sections;
}

/* The directives of a dialect belong to the record that stands in for its module; the values are ours. */
static const char *directive(cmd_parms *cmd, void *unused, const char *args)
{
    void *const dir = ap_set_config_vectors(cmd->server, cmd->context, cmd->path, &margay_module, cmd->pool);

    return margay_on_directive(cmd, dir, (unsigned)(apr_uintptr_t)cmd->info, args);
}

static const char *proxy_container(cmd_parms *cmd, void *outer, const char *args)
{
    const char *refusal, *words;
    const char *end = ap_strrchr_c(args, '>');
    char *const old_path = cmd->path;
    const int old_override = cmd->override;
    ap_directive_t *const old_directive = cmd->directive;
    /* <ProxyMatch> has something there, <Proxy> has not. */
    int is_expression = cmd->info != NULL;
    ap_regex_t *expression = NULL;
    ap_conf_vector_t *config;
    proxy_section *section;
    char *pattern;
    void *dir;

    if (margay_dialect_owner(MARGAY_DIALECT_PROXY) != MARGAY_OWNER_US) {
        /* mod_proxy walks through the section; a second walk would end in an error of its own. */
        return margay_on_proxy_section(cmd, NULL, args, is_expression);
    }
    refusal = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);
    if (refusal) {
        return margay_on_bad_section(cmd, refusal);
    }
    if (!end) {
        return margay_on_bad_section(cmd, apr_pstrcat(cmd->pool, cmd->cmd->name, "> directive missing closing '>'", NULL));
    }
    args = apr_pstrmemdup(cmd->pool, args, end - args);
    words = args;
    pattern = ap_getword_conf(cmd->pool, &words);
    if (!is_expression && !strcmp(pattern, "~")) {
        is_expression = 1;
        args = words;
        pattern = ap_getword_conf(cmd->pool, &words);
        if (!*pattern) {
            return margay_on_bad_section(cmd, apr_pstrcat(cmd->pool, cmd->cmd->name, " ~> block must specify a path", NULL));
        }
    }
    if (!strncasecmp(pattern, "proxy:", 6)) {
        pattern += 6;
    }
    if (is_expression) {
        expression = ap_pregcomp(cmd->pool, pattern, AP_REG_EXTENDED);
        if (!expression) {
            return margay_on_bad_section(cmd, "Regex could not be compiled");
        }
    }

    config = ap_create_per_dir_config(cmd->pool);
    cmd->path = pattern;
    cmd->override = OR_ALL | ACCESS_CONF | PROXY_CONF;
    dir = ap_set_config_vectors(cmd->server, config, pattern, &margay_module, cmd->pool);
    refusal = margay_on_proxy_section(cmd, dir, args, is_expression);
    if (!refusal) {
        refusal = ap_walk_config(cmd->directive->first_child, cmd, config);
    }
    if (refusal) {
        /* cmd->directive stays at the line that is wrong: httpd names it. */
        return refusal;
    }
    cmd->path = old_path;
    cmd->override = old_override;
    cmd->directive = old_directive;

    section = apr_array_push(sections_of(cmd->server, cmd->pool));
    section->pattern = pattern;
    section->is_wildcard = apr_fnmatch_test(pattern);
    section->expression = expression;
    section->groups = NULL;
    if (expression) {
        section->groups = apr_array_make(cmd->pool, 4, sizeof(const char *));
        ap_regname(expression, section->groups, AP_REG_MATCH, 1);
    }
    section->config = config;
    return NULL;
}

int margay_announce_sections(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *server)
{
    for (; server; server = server->next) {
        const apr_array_header_t *sections = sections_of(server, NULL);
        int i;

        for (i = 0; sections && i < sections->nelts; ++i) {
            const int result = margay_announce_section(pconf, plog, ptemp, server,
                                                       APR_ARRAY_IDX(sections, i, proxy_section).config);

            if (result != OK && result != DECLINED) {
                return result;
            }
        }
    }
    return OK;
}

/* An expression also sets what its named groups have matched, if there are variables. */
static int expression_covers(const proxy_section *section, apr_pool_t *pool, apr_table_t *variables, const char *url)
{
    const int count = section->groups->nelts;
    ap_regmatch_t *const found = count ? apr_palloc(pool, count * sizeof(*found)) : NULL;
    int i;

    if (ap_regexec(section->expression, url, count, found, 0)) {
        return 0;
    }
    for (i = 0; variables && i < count; ++i) {
        const char *const name = APR_ARRAY_IDX(section->groups, i, const char *);

        if (name && found[i].rm_so >= 0 && found[i].rm_eo >= found[i].rm_so) {
            apr_table_setn(variables, name,
                           apr_pstrmemdup(pool, url + found[i].rm_so, found[i].rm_eo - found[i].rm_so));
        }
    }
    return 1;
}

/* The scheme of a balancer URL is compared as written, its name without letter case: <Proxy balancer://C> must guard
 * what ProxyPass sends to balancer://c. */
static int covers(const proxy_section *section, apr_pool_t *pool, apr_table_t *variables, const char *url)
{
    if (section->expression) {
        return expression_covers(section, pool, variables, url);
    }
    if (section->is_wildcard) {
        return apr_fnmatch(section->pattern, url, 0) == APR_SUCCESS;
    }
    if (!strncasecmp(section->pattern, "balancer://", 11) && !strncasecmp(url, "balancer://", 11)) {
        const char *name = section->pattern + 11;
        const char *slash = ap_strchr_c(name, '/');
        const apr_size_t length = slash ? (apr_size_t)(slash - name) : strlen(name);

        return !strncasecmp(name, url + 11, length)
            && (!slash || !strncmp(slash, url + 11 + length, strlen(slash)));
    }
    return !strncmp(section->pattern, url, strlen(section->pattern));
}

static ap_conf_vector_t *merge_sections(apr_pool_t *pool, apr_table_t *variables, const char *url, const char *plain,
                                        const server_rec *server, ap_conf_vector_t *merged)
{
    const apr_array_header_t *sections = sections_of(server, NULL);
    int i;

    for (i = 0; sections && i < sections->nelts; ++i) {
        const proxy_section *section = &APR_ARRAY_IDX(sections, i, proxy_section);

        if (covers(section, pool, variables, url) || (plain && covers(section, pool, variables, plain))) {
            merged = ap_merge_per_dir_configs(pool, merged, section->config);
        }
    }
    return merged;
}

/* Those of the main server come first, as for any other section. */
static ap_conf_vector_t *settings_of(apr_pool_t *pool, apr_table_t *variables, const char *url, const char *plain,
                                     const server_rec *server)
{
    ap_conf_vector_t *merged = server->lookup_defaults;

    if (sections_by_server) {
        if (server != ap_server_conf) {
            merged = merge_sections(pool, variables, url, plain, ap_server_conf, merged);
        }
        merged = merge_sections(pool, variables, url, plain, server, merged);
    }
    return merged;
}

ap_conf_vector_t *margay_outgoing_settings(apr_pool_t *pool, const server_rec *server, const char *url)
{
    return settings_of(pool, NULL, url, NULL, server);
}

/* Our requests have no file: the <Proxy> sections take the place of the walk through directories. */
int margay_map_to_storage(request_rec *r)
{
    if (!r->proxyreq || !r->filename || strncmp(r->filename, "proxy:", 6)
        || !margay_dialect_is_ours(MARGAY_DIALECT_PROXY)) {
        return DECLINED;
    }
    r->per_dir_config = settings_of(r->pool, r->subprocess_env, r->filename + 6,
                                    r->proxyreq == PROXYREQ_PROXY ? margay_forward_plain_url(r) : NULL, r->server);
    return OK;
}

#define SERVER RSRC_CONF
#define ANYWHERE (RSRC_CONF | ACCESS_CONF)

#define DIRECTIVE(name, dialect, where, help) id_##name,
enum {
#include "directives.def"
};
#undef DIRECTIVE

/* A table for each dialect: the lines of its own, and nothing of the others'. */
#define DIRECTIVE(name, dialect, where, help) OF_##dialect(name, where, help)
#define ENTRY(name, where, help) AP_INIT_RAW_ARGS(#name, directive, (void *)(apr_uintptr_t)id_##name, where, help),
#define NOTHING(name, where, help)

#define OF_own ENTRY
#define OF_proxy NOTHING
#define OF_jk NOTHING
#define OF_heartmonitor NOTHING
const command_rec margay_own_commands[] = {
#include "directives.def"
    { NULL }
};

#undef OF_own
#undef OF_proxy
#define OF_own NOTHING
#define OF_proxy ENTRY
const command_rec margay_proxy_commands[] = {
    AP_INIT_RAW_ARGS("<Proxy", proxy_container, NULL, RSRC_CONF, "url [key=value ...]: settings and access rules of a back end"),
    AP_INIT_RAW_ARGS("<ProxyMatch", proxy_container, (void *)1, RSRC_CONF, "regex: access rules of back ends whose URL matches"),
#include "directives.def"
    { NULL }
};

#undef OF_proxy
#undef OF_jk
#define OF_proxy NOTHING
#define OF_jk ENTRY
const command_rec margay_jk_commands[] = {
#include "directives.def"
    { NULL }
};

#undef OF_jk
#undef OF_heartmonitor
#define OF_jk NOTHING
#define OF_heartmonitor ENTRY
const command_rec margay_heartmonitor_commands[] = {
#include "directives.def"
    { NULL }
};
