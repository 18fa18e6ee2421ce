#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: all wait timeout=1800
#
# The long way: 1025 threads, 200 killed callers, five minutes of fuzzing.
here=$(cd "$(dirname "$0")" && pwd)
TMO=1500 "$here/module-on" 6.1 full
