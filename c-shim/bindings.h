/* SPDX-License-Identifier: Apache-2.0 */
/* What bindgen looks at. */
#include "margay.h"
