/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose image is it?  Root gains nothing by somebody else's.
 */
#ifndef TOOLS_TRUST_H
#define TOOLS_TRUST_H

#include <stddef.h>

/*
 * May the caller restart this image?  Anybody may restart anything with no
 * more than own rights; root only what root alone could have written: -EPERM
 * and the reason in text.  Nothing of the image is read.
 */
int image_trusted(int fd, char *text, size_t size);
/*
 * For reading an image as root: become its owner, for good.  0 or -errno.
 */
int become_owner(int fd);

#endif
