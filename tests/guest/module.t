#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=480
#
# The module on Debian's 6.1: builds without a warning, and the tests of
# module.sh in a guest.  The log of the guest's kernel must be clean.
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/module-on" 6.1 "${GUEST_HOW:-quick}"
