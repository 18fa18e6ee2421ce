/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kinds of open files, one line each, in the order they are asked whether
 * a descriptor is theirs.  Included with CRI_KIND(name) defined.
 */
CRI_KIND(special)
CRI_KIND(shmem)
CRI_KIND(eventfd)
CRI_KIND(timerfd)
CRI_KIND(signalfd)
CRI_KIND(epoll)
CRI_KIND(inotify)
CRI_KIND(pidfd)
CRI_KIND(tty)
CRI_KIND(file)
CRI_KIND(pipe)
CRI_KIND(socket)
