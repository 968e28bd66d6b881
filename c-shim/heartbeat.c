/* SPDX-License-Identifier: Apache-2.0 */
/* What mod_heartmonitor keeps in shared memory: the heartbeats of back ends. */
#include "margay.h"
#include "ap_provider.h"
#include "ap_slotmem.h"
#include "heartbeat.h"

static const ap_slotmem_provider_t *provider;
static ap_slotmem_instance_t *slots;

static apr_status_t forget_slots(void *unused)
{
    provider = NULL;
    slots = NULL;
    return APR_SUCCESS;
}

void margay_heartbeat_attach(apr_pool_t *pconf)
{
    apr_size_t size = 0;
    unsigned int count = 0;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG || !margay_is_loaded("mod_heartmonitor.c")) {
        return;
    }
    provider = ap_lookup_provider(AP_SLOTMEM_PROVIDER_GROUP, "shm", AP_SLOTMEM_PROVIDER_VERSION);
    if (!provider) {
        return;
    }
    apr_pool_cleanup_register(pconf, NULL, forget_slots, apr_pool_cleanup_null);
    if (provider->attach(&slots, "mod_heartmonitor", &size, &count, pconf) != APR_SUCCESS
        || size < sizeof(hm_slot_server_t)) {
        slots = NULL;
    }
}

int margay_heartbeat_is_attached(void)
{
    return slots != NULL;
}

typedef struct {
    margay_heartbeat_each *each;
    void *baton;
} reading;

static apr_status_t read_slot(void *memory, void *data, apr_pool_t *pool)
{
    const reading *to = data;
    hm_slot_server_t copy = *(const hm_slot_server_t *)memory;

    /* Another process may be writing. */
    copy.ip[MAXIPSIZE - 1] = '\0';
    if (*copy.ip) {
        to->each(to->baton, copy.ip, copy.ready, copy.busy, copy.seen);
    }
    return APR_SUCCESS;
}

int margay_heartbeat_read(apr_pool_t *pool, margay_heartbeat_each *each, void *baton)
{
    reading to = { each, baton };

    return slots && provider->doall(slots, read_slot, &to, pool) == APR_SUCCESS;
}
