/* SPDX-License-Identifier: Apache-2.0 */
/* Logging: the one place with formats, so that text from elsewhere is never taken for one. */
#include "margay.h"
#include <time.h>

APLOG_USE_MODULE(margay);

void margay_log_request(request_rec *r, int level, apr_status_t status, const char *text, apr_size_t n)
{
    const int index = margay_log_index(r, level);

    if (index != -1) {
        ap_log_rerror(__FILE__, __LINE__, index, level, status, r, "%.*s", (int)n, text);
    }
}

void margay_log_server(server_rec *server, int level, apr_status_t status, const char *text, apr_size_t n)
{
    ap_log_error(APLOG_MARK, level, status, server, "%.*s", (int)n, text);
}

int margay_log_enabled(const request_rec *r, int level)
{
    return margay_log_index(r, level) != -1;
}

apr_size_t margay_local_time(char *into, apr_size_t room, const char *format, apr_int64_t seconds)
{
    const time_t moment = (time_t)seconds;
    struct tm parts;

    return localtime_r(&moment, &parts) ? strftime(into, room, format, &parts) : 0;
}
