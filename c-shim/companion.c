/* SPDX-License-Identifier: Apache-2.0 */
/* The end of the companion, as the parent's main loop is told of it. */
#include "margay.h"

/* The parent watches one process at a time. */
static apr_proc_t companion;

static void tell(int reason, void *unused, int status)
{
    if (reason == APR_OC_REASON_DEATH || reason == APR_OC_REASON_LOST) {
        const long pid = companion.pid;

        /* This calls us again, with a reason that is not for us. */
        apr_proc_other_child_unregister(&companion);
        margay_on_companion_end(pid, status);
    }
}

void margay_companion_watch(apr_pool_t *pool, long pid)
{
    memset(&companion, 0, sizeof(companion));
    companion.pid = (pid_t)pid;
    apr_proc_other_child_register(&companion, tell, &companion, NULL, pool);
}

void margay_companion_forget(void)
{
    apr_proc_other_child_unregister(&companion);
}
