// SPDX-License-Identifier: Apache-2.0
//! Memory of httpd's pools and text that lies in it.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

use super::ffi;

/// Copies bytes into a pool, with a final zero.
///
/// # Safety
/// `pool` is a live pool that no other thread uses now.
pub(super) unsafe fn text(pool: *mut ffi::apr_pool_t, parts: &[&[u8]]) -> *mut c_char {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // SAFETY: the caller vouches for the pool; apr_palloc never returns null (httpd aborts when memory ends).
    let start: *mut u8 = unsafe { ffi::apr_palloc(pool, length + 1) }.cast();
    let mut at = start;
    for part in parts {
        // SAFETY: `start` has room for all parts and the zero, and a fresh allocation overlaps nothing.
        unsafe {
            ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
            at = at.add(part.len());
        }
    }
    // SAFETY: one byte was kept for the zero.
    unsafe { at.write(0) };
    start.cast()
}

/// Puts a plain value into a pool. It is never dropped, so it must own nothing.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn value<T: Copy>(pool: *mut ffi::apr_pool_t, value: T) -> *mut T {
    const { assert!(align_of::<T>() <= 8, "pools align to 8 bytes") };
    // SAFETY: the caller vouches for the pool, whose memory is aligned for T and large enough.
    unsafe {
        let place: *mut T = ffi::apr_palloc(pool, size_of::<T>()).cast();
        place.write(value);
        place
    }
}

/// Has `cleanup` called with `data` when the pool is cleared.
///
/// # Safety
/// `data` is what `cleanup` expects, until it is called.
pub(super) unsafe fn at_end(
    pool: *mut ffi::apr_pool_t,
    data: *mut c_void,
    cleanup: unsafe extern "C" fn(*mut c_void) -> ffi::apr_status_t,
) {
    // SAFETY: the caller vouches for data and cleanup; children need no clean-up of their own.
    unsafe { ffi::apr_pool_cleanup_register(pool, data, Some(cleanup), Some(ffi::apr_pool_cleanup_null)) }
}

/// The bytes of a C string; null is empty.
///
/// # Safety
/// `text` is null or a C string that outlives `'a` unchanged.
pub(super) unsafe fn bytes<'a>(text: *const c_char) -> &'a [u8] {
    // SAFETY: see above.
    unsafe { some_bytes(text) }.unwrap_or_default()
}

/// The bytes of a C string, if there is one.
///
/// # Safety
/// As [`bytes`].
pub(super) unsafe fn some_bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    if text.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for a C string.
    Some(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// A C string as text, with replacement characters where it is no UTF-8.
///
/// # Safety
/// As [`bytes`].
pub(super) unsafe fn string(text: *const c_char) -> String {
    // SAFETY: see above.
    String::from_utf8_lossy(unsafe { bytes(text) }).into_owned()
}
