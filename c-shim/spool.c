/* SPDX-License-Identifier: Apache-2.0 */
/* A request body whose length must be told before it is sent: in a file, not in memory. */
#include "margay.h"

/* A file nobody else can open; it is gone when it is closed, whatever becomes of the process. */
static apr_status_t open_nameless(apr_pool_t *pool, apr_file_t **file)
{
    const char *folder;
    char *name;
    apr_status_t status = apr_temp_dir_get(&folder, pool);

    if (status != APR_SUCCESS) {
        return status;
    }
    name = apr_pstrcat(pool, folder, "/margay.tmp.XXXXXX", NULL);
    status = apr_file_mktemp(file, name, APR_FOPEN_CREATE | APR_FOPEN_READ | APR_FOPEN_WRITE | APR_FOPEN_EXCL, pool);
    return status == APR_SUCCESS ? apr_file_remove(name, pool) : status;
}

/* Appends to the file what lies in memory, and takes it out of the brigade. */
static apr_status_t write_out(apr_bucket_brigade *kept, apr_file_t *file, apr_off_t *written)
{
    apr_bucket *bucket = APR_BRIGADE_FIRST(kept);
    apr_off_t end = 0;
    apr_status_t status = apr_file_seek(file, APR_END, &end);

    while (status == APR_SUCCESS && bucket != APR_BRIGADE_SENTINEL(kept)) {
        apr_bucket *const next = APR_BUCKET_NEXT(bucket);
        const char *data;
        apr_size_t n;

        if (!APR_BUCKET_IS_FILE(bucket)) {
            status = apr_bucket_read(bucket, &data, &n, APR_BLOCK_READ);
            if (status == APR_SUCCESS) {
                status = apr_file_write_full(file, data, n, NULL);
                *written += n;
                apr_bucket_delete(bucket);
            }
        }
        bucket = next;
    }
    return status;
}

apr_status_t margay_body_spool(request_rec *r, apr_bucket_brigade *kept, apr_file_t **file)
{
    apr_off_t written = 0;
    apr_status_t status = APR_SUCCESS;
    apr_bucket *bucket;

    if (!*file) {
        status = open_nameless(r->pool, file);
    }
    if (status == APR_SUCCESS) {
        status = write_out(kept, *file, &written);
    }
    if (status != APR_SUCCESS || !written) {
        return status;
    }
    bucket = APR_BRIGADE_FIRST(kept);
    if (bucket == APR_BRIGADE_SENTINEL(kept)) {
        apr_brigade_insert_file(kept, *file, 0, written, r->pool);
    }
    else {
        bucket->length += (apr_size_t)written;
    }
    return APR_SUCCESS;
}
