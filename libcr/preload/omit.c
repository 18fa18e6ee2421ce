/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcr_omit.so: its name in LD_PRELOAD is the message (api/omit.h); a
 * checkpoint leaves such a process and its children out.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

/* For linking with -Wl,-u,cr_omit_link_me. */
extern int cr_omit_link_me;
__attribute__((visibility("default"))) int cr_omit_link_me;
