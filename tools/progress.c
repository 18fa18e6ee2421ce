/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Progress, drawn at most ten times a second.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "human.h"

#define SECOND 1000000000ull

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void progress_init(struct progress *p, bool forced, bool quiet)
{
	memset(p, 0, sizeof(*p));
	p->terminal = isatty(STDERR_FILENO);
	p->on = !quiet && (forced || p->terminal);
	p->begun = now();
	/* Unasked only after a second. */
	p->last = forced ? 0 : p->begun + SECOND - SECOND / 10;
}

static void draw_bytes(struct progress *p, const struct cr_ext_progress *s,
		       uint64_t t)
{
	char done[HUMAN_LEN], total[HUMAN_LEN], speed[HUMAN_LEN];
	char left[HUMAN_LEN];
	double rate;

	rate = (double)s->done * 1e9 / (double)(t - p->write_begun + 1);
	human_size(done, s->done);
	human_size(speed, (uint64_t)rate);
	if (!s->total || s->total < s->done || rate < 1) {
		fprintf(stderr, "%s, %s/s", done, speed);
		return;
	}
	human_time(left,
		   (uint64_t)((double)(s->total - s->done) * 1e9 / rate));
	fprintf(stderr, "%s of %s, %s/s, %s left", done,
		human_size(total, s->total), speed, left);
}

static const char *phase_name(uint32_t phase)
{
	switch (phase) {
	case CR_EXT_PHASE_CHECK:
		return "checking";
	case CR_EXT_PHASE_FREEZE:
		return "freezing";
	case CR_EXT_PHASE_STATE:
		return "reading state";
	case CR_EXT_PHASE_SNAPSHOT:
		return "snapshot";
	case CR_EXT_PHASE_WRITE:
		return "memory";
	default:
		return "ready";
	}
}

void progress_show(struct progress *p, const struct cr_ext_progress *s)
{
	uint64_t t;

	if (!p->on)
		return;
	t = now();
	if (s->phase == CR_EXT_PHASE_WRITE && !p->write_begun)
		p->write_begun = t;
	if (t < p->last + SECOND / 10)
		return;
	p->last = t;
	if (p->terminal)
		fputs("\r\033[K", stderr);
	fprintf(stderr, "%s, %u processes", phase_name(s->phase), s->tasks);
	if (s->phase == CR_EXT_PHASE_WRITE) {
		fputs(": ", stderr);
		draw_bytes(p, s, t);
	}
	if (!p->terminal)
		fputc('\n', stderr);
	fflush(stderr);
	p->drawn = true;
}

void progress_end(struct progress *p)
{
	if (p->drawn && p->terminal)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}
