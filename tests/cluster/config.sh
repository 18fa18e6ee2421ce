# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh disable=SC2034
# The ordinary user that the cluster tests submit jobs as; made if absent.
CL_USER=stasis-test
CL_UID=58311
