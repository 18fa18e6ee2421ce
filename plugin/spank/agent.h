/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The agent beside a step's tasks on a node: started by slurmstepd as the
 * job's owner, in the tasks' own cgroups, and told over a pipe which tasks
 * there are and how they end.  It needs no step id and no RPC.
 */
#ifndef SP_SPANK_AGENT_H
#define SP_SPANK_AGENT_H

#include <sys/types.h>

#include <slurm/spank.h>

struct sp_agent {
	int fd; /* the pipe, -1: none */
	pid_t pid;
	int tried;
};

/* After the fork of each task: start the agent with the first one. */
void sp_agent_task(struct sp_agent *a, spank_t spank, const char *conf);
/* A task has ended. */
void sp_agent_exit(struct sp_agent *a, spank_t spank);

#endif
