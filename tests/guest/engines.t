#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: all wait timeout=480
#
# Both engines on Debian's 6.1: the same image of the same program, and some
# conformance kinds by the module engine (GUEST_KINDS: which).
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2086 # words wanted
GUEST_SCRIPT=engines.sh exec "$here/module-on" 6.1 \
	${GUEST_KINDS:-threads signals}
