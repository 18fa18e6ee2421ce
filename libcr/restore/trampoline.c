/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that was made under another kernel keeps pointers into that
 * kernel's vdso.  Its bytes come back at the old place as plain memory, each
 * function replaced by a jump to the function of that name in our vdso, or by
 * the system call where ours has none.  The old bytes come from an image:
 * every offset is checked.
 */
#include "config.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#include "restore/restore.h"

struct elf {
	const uint8_t *p;
	size_t size;
	const Elf64_Sym *syms;
	size_t n_syms;
	const char *names;
	size_t names_size;
};

static const struct {
	const char *name;
	uint32_t nr;
} fallbacks[] = {
	{ "__vdso_gettimeofday", SYS_gettimeofday },
	{ "__vdso_time", SYS_time },
	{ "__vdso_clock_gettime", SYS_clock_gettime },
	{ "__vdso_clock_getres", SYS_clock_getres },
	{ "__vdso_getcpu", SYS_getcpu },
	{ "__vdso_getrandom", SYS_getrandom },
};

static bool inside(const struct elf *e, uint64_t off, uint64_t len)
{
	return off <= e->size && len <= e->size - off;
}

static const Elf64_Shdr *section(const struct elf *e, const Elf64_Ehdr *eh,
				 uint32_t i)
{
	uint64_t off = eh->e_shoff + i * sizeof(Elf64_Shdr);

	if (i >= eh->e_shnum || eh->e_shoff % 8 ||
	    !inside(e, off, sizeof(Elf64_Shdr)))
		return NULL;
	return (const Elf64_Shdr *)(e->p + off);
}

static int elf_open(struct elf *e, const void *p, size_t size)
{
	const Elf64_Ehdr *eh = p;
	const Elf64_Shdr *sh, *str;
	uint32_t i;

	memset(e, 0, sizeof(*e));
	e->p = p;
	e->size = size;
	if (size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG) ||
	    eh->e_ident[EI_CLASS] != ELFCLASS64)
		return -ENOEXEC;
	for (i = 0; (sh = section(e, eh, i)); i++) {
		if (sh->sh_type != SHT_DYNSYM)
			continue;
		str = section(e, eh, sh->sh_link);
		if (!str || sh->sh_offset % 8 || !str->sh_size ||
		    !inside(e, sh->sh_offset, sh->sh_size) ||
		    !inside(e, str->sh_offset, str->sh_size) ||
		    e->p[str->sh_offset + str->sh_size - 1])
			return -ENOEXEC;
		e->syms = (const Elf64_Sym *)(e->p + sh->sh_offset);
		e->n_syms = sh->sh_size / sizeof(Elf64_Sym);
		e->names = (const char *)(e->p + str->sh_offset);
		e->names_size = str->sh_size;
		return 0;
	}
	return -ENOEXEC;
}

static const char *sym_name(const struct elf *e, const Elf64_Sym *s)
{
	return s->st_name < e->names_size ? e->names + s->st_name : "";
}

static bool function(const Elf64_Sym *s)
{
	return ELF64_ST_TYPE(s->st_info) == STT_FUNC && s->st_value;
}

static uint64_t lookup(const struct elf *e, const char *name)
{
	size_t i;

	for (i = 0; i < e->n_syms; i++)
		if (function(&e->syms[i]) &&
		    !strcmp(sym_name(e, &e->syms[i]), name))
			return e->syms[i].st_value;
	return 0;
}

/* mov $target, %rax; jmp *%rax */
static void put_jump(uint8_t *at, uint64_t target)
{
	at[0] = 0x48;
	at[1] = 0xb8;
	memcpy(at + 2, &target, 8);
	at[10] = 0xff;
	at[11] = 0xe0;
}

/* mov $nr, %eax; syscall; ret: none of these has a fourth argument */
static void put_call(uint8_t *at, uint32_t nr)
{
	at[0] = 0xb8;
	memcpy(at + 1, &nr, 4);
	at[5] = 0x0f;
	at[6] = 0x05;
	at[7] = 0xc3;
}

static int patch(const struct elf *new, const char *name, uint64_t base,
		 uint8_t *at)
{
	uint64_t target = lookup(new, name);
	size_t i;

	if (target) {
		put_jump(at, base + target);
		return 0;
	}
	for (i = 0; i < sizeof(fallbacks) / sizeof(*fallbacks); i++) {
		if (strcmp(fallbacks[i].name, name) != 0)
			continue;
		put_call(at, fallbacks[i].nr);
		return 0;
	}
	return -ENOENT;
}

int cri_vdso_patch(void *old, size_t old_size, const void *new, size_t new_size,
		   uint64_t base)
{
	struct elf o, n;
	size_t i;
	int ret;

	ret = elf_open(&o, old, old_size);
	if (ret)
		return ret;
	ret = elf_open(&n, new, new_size);
	if (ret)
		return ret;
	for (i = 0; i < o.n_syms; i++) {
		const Elf64_Sym *s = &o.syms[i];
		const char *name = sym_name(&o, s);

		/* Aliases have the same address; the long names decide. */
		if (!function(s) || strncmp(name, "__vdso_", 7) != 0 ||
		    !strncmp(name, "__vdso_sgx", 10))
			continue;
		if (s->st_value > old_size || old_size - s->st_value < 16)
			return -ENOEXEC;
		ret = patch(&n, name, base, (uint8_t *)old + s->st_value);
		if (ret)
			return ret;
	}
	return 0;
}
