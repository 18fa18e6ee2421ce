/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images of every released format must stay readable: those in tests/golden
 * open, verify, and give the JSON that is kept beside them, where newer fields
 * may have come in between.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/image.h"
#include "libcr_ext.h"

static char *show(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int out = memfd_create("json", MFD_CLOEXEC);
	char msg[256] = "";
	char *text;

	assert_true(fd >= 0 && out >= 0);
	if (cr_ext_info(fd, out, CR_EXT_INFO_JSON | CR_EXT_INFO_VERIFY, msg,
			sizeof(msg)))
		fail_msg("%s: %s", path, msg);
	*len = (size_t)lseek(out, 0, SEEK_END);
	text = calloc(1, *len + 1);
	assert_int_equal(pread(out, text, *len, 0), *len);
	close(fd);
	close(out);
	return text;
}

static char *load(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, 1 << 20);

	if (!f)
		fail_msg("%s is missing", path);
	if (fread(text, 1, (1 << 20) - 1, f) == 0)
		fail_msg("%s is empty", path);
	fclose(f);
	return text;
}

/* Every "name": value of the kept text comes, in its order, in the new one. */
static void same_fields(const char *path, const char *kept, const char *now)
{
	char item[512];
	const char *end, *found;
	size_t n;

	while ((kept = strchr(kept, '"'))) {
		end = strpbrk(kept, ",}]\n");
		n = end ? (size_t)(end - kept) : strlen(kept);
		if (n >= sizeof(item))
			n = sizeof(item) - 1;
		memcpy(item, kept, n);
		item[n] = '\0';
		found = strstr(now, item);
		if (!found)
			fail_msg("%s: lost %s", path, item);
		now = found + n;
		kept += n;
	}
}

static void every_golden_image(void **state)
{
	const char *top = getenv("STASIS_TOP");
	char dir[4096], path[8192];
	struct dirent *e;
	char *now, *kept;
	int count = 0;
	size_t len;
	DIR *d;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/tests/golden", top ? top : GOLDEN_TOP);
	d = opendir(dir);
	if (!d)
		fail_msg("%s is missing", dir);
	while ((e = readdir(d))) {
		len = strlen(e->d_name);
		if (len < 4 || strcmp(e->d_name + len - 3, ".cr"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		now = show(path, &len);
		strcat(path, ".json");
		kept = load(path);
		same_fields(path, kept, now);
		free(now);
		free(kept);
		count++;
	}
	closedir(d);
	assert_true(count >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_golden_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
