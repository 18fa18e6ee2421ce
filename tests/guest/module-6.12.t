#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=480
#
# The module on Debian's 6.12: builds without a warning, a smoke test.
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/module-on" 6.12 "${GUEST_HOW:-smoke}"
