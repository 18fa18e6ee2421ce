/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parsers of /proc text, with what programs may put into it: names with
 * brackets and newlines, octal escapes, cut lines.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture/idmap.h"
#include "capture/proctext.h"
#include "image/records.h"

static const char stat_text[] =
	"4711 (a) R (b) S 1 4711 4710 34816 4711 4194304 1 2 3 4 5 6 7 8 20 0 "
	"3 0 1234567 100 25 18446744073709551615 4096 8192 140000 0 0 0 0 0 0 "
	"0 0 0 17 1 0 0 0 0 0 11 12 13 14 15 16 17 512\n";

static void stat_fields(void **state)
{
	struct cri_pstat st;

	(void)state;
	assert_int_equal(cri_pstat_parse(stat_text, &st), 0);
	assert_string_equal(st.comm, "a) R (b");
	assert_int_equal(st.state, 'S');
	assert_int_equal(st.pid, 4711);
	assert_int_equal(st.ppid, 1);
	assert_int_equal(st.session, 4710);
	assert_int_equal(st.tty_nr, 34816);
	assert_int_equal(st.num_threads, 3);
	assert_int_equal(st.start_time, 1234567);
	assert_int_equal(st.rss_pages, 25);
	assert_int_equal(st.start_code, 4096);
	assert_int_equal(st.end_code, 8192);
	assert_int_equal(st.start_stack, 140000);
	assert_int_equal(st.exit_signal, 17);
	assert_int_equal(st.start_data, 11);
	assert_int_equal(st.start_brk, 13);
	assert_int_equal(st.env_end, 17);
	assert_int_equal(st.exit_code, 512);
}

static void stat_damaged(void **state)
{
	struct cri_pstat st;

	(void)state;
	assert_int_equal(cri_pstat_parse("", &st), -EINVAL);
	assert_int_equal(cri_pstat_parse("1 (x", &st), -EINVAL);
	assert_int_equal(cri_pstat_parse("1 )x(", &st), -EINVAL);
	assert_int_equal(cri_pstat_parse("1 (x) S 1 2", &st), -EINVAL);
}

static const char status_text[] =
	"Name:\tUid:\t7\nUmask:\t0027\nState:\tT (stopped)\nTgid:\t12\n"
	"Pid:\t12\nPPid:\t3\nTracerPid:\t9\nUid:\t1\t2\t3\t4\n"
	"Gid:\t5\t6\t7\t8\nFDSize:\t64\nGroups:\t10 20 30 \nNSpid:\t12\t5\t2\n"
	"VmPeak:\t  10 kB\nVmLck:\t 4 kB\nVmRSS:\t 99 kB\nThreads:\t2\n"
	"SigPnd:\t0000000000000001\nShdPnd:\t0000000000000002\n"
	"SigBlk:\t0000000000000004\nSigIgn:\t0000000000000008\n"
	"SigCgt:\t0000000000000010\nCapEff:\t000001ffffffffff\n"
	"NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";

static void status_fields(void **state)
{
	struct cri_pstatus st;

	(void)state;
	assert_int_equal(cri_pstatus_parse(status_text, &st), 0);
	assert_int_equal(st.state, 'T');
	assert_int_equal(st.umask, 027);
	assert_int_equal(st.tracer, 9);
	assert_int_equal(st.inner_pid, 2);
	assert_int_equal(st.ns_depth, 3);
	assert_int_equal(st.uid[0], 1);
	assert_int_equal(st.uid[3], 4);
	assert_int_equal(st.gid[1], 6);
	assert_int_equal(st.sig_cgt, 16);
	assert_int_equal(st.cap_eff, 0x1ffffffffff);
	assert_int_equal(st.seccomp_filters, 3);
	assert_int_equal(st.vm_lck_kb, 4);
	assert_true(st.has_mm);
	assert_int_equal(cri_pstatus_parse("Name:\tx\n", &st), -EINVAL);
}

static const char maps_text[] =
	"00400000-00401000 r-xp 00001000 fe:01 77   /a b\\012c (deleted)\n"
	"7f0000000000-7f0000002000 rw-s 00000000 00:01 5 /memfd:x\n"
	"7ffd00000000-7ffd00001000 ---p 00000000 00:00 0 \n";

static void map_lines(void **state)
{
	const char *at = maps_text;
	struct cri_mapline m;
	char path[64];

	(void)state;
	assert_int_equal(cri_mapline_next(&at, &m), 1);
	assert_int_equal(m.start, 0x400000);
	assert_int_equal(m.prot, PROT_READ | PROT_EXEC);
	assert_int_equal(m.offset, 0x1000);
	assert_int_equal(m.dev, 0xfe00000001);
	assert_int_equal(m.ino, 77);
	assert_false(m.shared);
	cri_unescape(path, m.path, m.path_len);
	assert_string_equal(path, "/a b\nc (deleted)");
	assert_int_equal(cri_mapline_next(&at, &m), 1);
	assert_true(m.shared);
	assert_int_equal(cri_mapline_next(&at, &m), 1);
	assert_int_equal(m.path_len, 0);
	assert_int_equal(m.prot, 0);
	assert_int_equal(cri_mapline_next(&at, &m), 0);
	at = "00400000-00401000 r-xp 0000";
	assert_int_equal(cri_mapline_next(&at, &m), -EINVAL);
	at = "00400000 r-xp\n";
	assert_int_equal(cri_mapline_next(&at, &m), -EINVAL);
	at = "2000-1000 r-xp 0 0:0 0 \n";
	assert_int_equal(cri_mapline_next(&at, &m), -EINVAL);
}

static void smap_entry(void **state)
{
	static const char text[] =
		"Size: 4 kB\nKernelPageSize: 2048 kB\nRss: 8 kB\n"
		"AnonHugePages: 2048 kB\nProtectionKey: 3\n"
		"VmFlags: rd wr mr mw me gd lo dc wf dd hg mg ht sd \n"
		"7f00-7f01 r\n";
	const char *at = text;
	struct cri_smap s;

	(void)state;
	assert_int_equal(cri_smap_next(&at, &s), 0);
	assert_int_equal(s.flags, CRI_VMA_GROWSDOWN | CRI_VMA_LOCKED |
					  CRI_VMA_DONTFORK |
					  CRI_VMA_WIPEONFORK |
					  CRI_VMA_DONTDUMP | CRI_VMA_HUGEPAGE |
					  CRI_VMA_MERGEABLE | CRI_VMA_HUGETLB);
	assert_true(s.maywrite);
	assert_true(s.hugetlb);
	assert_false(s.io);
	assert_int_equal(s.pkey, 3);
	assert_int_equal(s.anon_huge_kb, 2048);
	assert_int_equal(s.page_kb, 2048);
	assert_int_equal(*at, '7');
	at = "Rss: 8 kB";
	assert_int_equal(cri_smap_next(&at, &s), -EINVAL);
}

static void own_texts(void **state)
{
	struct cri_text t = { 0 };
	struct cri_pstatus ss;
	struct cri_pstat st;
	struct cri_mapline m;
	struct cri_smap s;
	const char *at;
	int n = 0;

	(void)state;
	assert_int_equal(cri_text_proc(&t, getpid(), "stat"), 0);
	assert_int_equal(cri_pstat_parse(t.p, &st), 0);
	assert_int_equal(st.pid, getpid());
	assert_int_equal(cri_text_proc(&t, getpid(), "status"), 0);
	assert_int_equal(cri_pstatus_parse(t.p, &ss), 0);
	assert_int_equal(ss.tgid, getpid());
	assert_int_equal(cri_text_proc(&t, getpid(), "smaps"), 0);
	for (at = t.p; cri_mapline_next(&at, &m) == 1; n++)
		assert_int_equal(cri_smap_next(&at, &s), 0);
	assert_int_equal(*at, 0);
	assert_true(n > 5);
	assert_int_equal(cri_text_proc(&t, getpid(), "no-such"), -ENOENT);
	cri_text_fini(&t);
}

static void fdinfo(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_true(cri_fdinfo_get("pos:\t12\nflags:\t02\n", "flags", 8, &v));
	assert_int_equal(v, 2);
	assert_false(cri_fdinfo_get("pos:\t12\n", "po", 10, &v));
}

static void id_map(void **state)
{
	struct cri_idmap m = { 0 };
	uint64_t i;

	(void)state;
	assert_int_equal(cri_idmap_get(&m, 1, 2), 0);
	for (i = 1; i < 5000; i++)
		assert_int_equal(cri_idmap_put(&m, i % 7, i, i), 0);
	assert_int_equal(cri_idmap_put(&m, 3, 3, 99), 0);
	for (i = 4; i < 5000; i++)
		assert_int_equal(cri_idmap_get(&m, i % 7, i), i);
	assert_int_equal(cri_idmap_get(&m, 3, 3), 99);
	assert_int_equal(cri_idmap_get(&m, 9, 3), 0);
	assert_int_equal(m.used, 4999);
	cri_idmap_fini(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_fields),	 cmocka_unit_test(stat_damaged),
		cmocka_unit_test(status_fields), cmocka_unit_test(map_lines),
		cmocka_unit_test(smap_entry),	 cmocka_unit_test(own_texts),
		cmocka_unit_test(fdinfo),	 cmocka_unit_test(id_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
