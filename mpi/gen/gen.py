#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the generated part of a front library.

gen.py TABLE PREPROCESSED-mpi.h LIBRARY OUT-DIR writes
  real.h     struct sm_real, one typed pointer for each function of the library
  real.c     the table that fills it after each dlopen
  wrap.c     the wrappers of all functions that are not written by hand
  data.c     the library's public data objects, where programs copy them
A function that the table does not classify ends the build.
"""
import re
import subprocess
import sys

HANDLES = ['Comm', 'Datatype', 'Group', 'Op', 'Request', 'Win', 'File',
           'Errhandler', 'Info', 'Message', 'Session']
RAISERS = ['Comm', 'Win', 'File', 'Session']
# Pointers to handles that are read and not replaced.
READ_ONLY = {'MPI_Type_commit'}
ARRAY_LEN = {
    'MPI_Type_create_struct': 'count', 'MPI_Type_struct': 'count',
    'MPI_Type_create_struct_c': 'count',
    'MPI_Comm_spawn_multiple': 'count',
}
CLASSES = {'hand', 'pass', 'coll', 'icoll', 'mkcomm', 'mkgroupcomm',
           'mkrefuse', 'refuse'}


def prototypes(path):
    """Yield (return type, name, parameter text) of each MPI function."""
    text = open(path).read()
    text = re.sub(r'__attribute__\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)'
                  r'\)', '', text)
    text = re.sub(r'\s+', ' ', text)
    pat = (r'(?:^|(?<=[;}])) *(?:extern )?((?:int|double|void|MPI_\w+)\s*\*?)'
           r'\s*(MPIX?_\w+)\s*\(([^;]*)\) *(?=;)')
    return re.findall(pat, text)


class Param:
    """One parameter: declaration, name and what kind of handle it is."""

    def __init__(self, text, number):
        text = text.strip()
        self.variadic = text == '...'
        m = re.match(r'^(.*?)(\w+)\s*((?:\[\w*\])*)$', text)
        if m and m.group(1).strip() and not m.group(1).endswith('_'):
            self.type, self.name, self.dims = m.groups()
        else:
            self.type, self.name, self.dims = text, 'arg%d' % number, ''
        self.decl = '%s %s%s' % (self.type, self.name, self.dims)
        bare = self.type.replace('const', '').strip()
        m = re.match(r'^MPI_(\w+)\s*(\**)$', bare)
        self.kind = None
        self.mode = 'plain'
        if m and m.group(1) in HANDLES:
            self.kind = m.group(1)
            if self.dims or ('const' in self.type and m.group(2)):
                self.mode = 'array'
            elif m.group(2) == '*':
                self.mode = 'out'
            elif m.group(2) == '':
                self.mode = 'in'


class Function:
    def __init__(self, proto):
        self.ret, self.name, text = proto
        self.ret = self.ret.strip()
        self.short = self.name.split('_', 1)[1]
        if self.name.startswith('MPIX_'):
            self.short = 'X_' + self.short
        text = text.strip()
        self.params = []
        # Tool-interface handles are the library's own: nothing to translate.
        tool = self.short.startswith('T_')
        if text and text != 'void':
            self.params = [Param(t, i) for i, t in
                           enumerate(re.split(r',(?![^(]*\))', text))]
        if tool:
            for p in self.params:
                p.mode = 'plain'

    def decl(self):
        if not self.params:
            return 'void'
        return ', '.join('...' if p.variadic else p.decl
                         for p in self.params)

    def first(self, kinds):
        for p in self.params:
            if p.mode == 'in' and p.kind in kinds:
                return p
        return None

    def array_len(self, p):
        if self.name in ARRAY_LEN:
            return ARRAY_LEN[self.name]
        if 'alltoallw' in self.name.lower():
            if 'eighbor' in self.name:
                side = 'out' if p.name.startswith('send') else 'in'
                return 'sm_comm_degree_%s(comm)' % side
            return 'sm_comm_peers(comm)'
        sys.exit('gen.py: no length for %s of %s' % (p.name, self.name))


def body(f, cls):
    """The text of one wrapper."""
    o = []
    alias = ('extern __typeof__(%s) %s __attribute__((weak, alias("P%s")));'
             % (f.name, f.name, f.name))
    o.append(alias)
    o.append('%s P%s(%s)\n{' % (f.ret, f.name, f.decl()))
    plain = ', '.join(p.name for p in f.params)
    real = 'sm_real.%s' % f.short
    isrc = f.ret == 'int'
    if f.ret == 'void':
        o.append('\t%s(%s);\n}' % (real, plain))
        return o
    o.append('\t%s rc;' % f.ret)
    comm = f.first(['Comm'])
    counted = cls in ('coll', 'icoll', 'mkcomm', 'mkrefuse')
    if counted:
        o.append('\tstruct sm_obj *c = NULL;\n\tuint64_t seq = 0;')
    args = []
    pre, post, undo = [], [], []
    temp = None
    for p in f.params:
        if p.mode == 'in':
            args.append('SM_REAL(MPI_%s, %s)' % (p.kind, p.name))
        elif p.mode == 'array':
            t = 'r_' + p.name
            o.append('\tMPI_%s *%s = NULL;' % (p.kind, t))
            pre.append('\trc = sm_array_%s(%s, %s, &%s);\n\tif (rc)\n'
                       '\t\tgoto out;' % (p.kind, p.name, f.array_len(p), t))
            args.append(t)
            if cls != 'icoll':
                undo.append('\tfree(%s);' % t)
            temp = (temp or []) + [t]
        elif p.mode == 'out' and f.name in READ_ONLY:
            o.append('\tMPI_%s r_%s;' % (p.kind, p.name))
            pre.append('\tr_%s = SM_REAL(MPI_%s, *%s);'
                       % (p.name, p.kind, p.name))
            args.append('&r_' + p.name)
        elif p.mode == 'out':
            o.append('\tMPI_%s r_%s;' % (p.kind, p.name))
            args.append('&r_' + p.name)
            what = ('sm_site("%s", %d, __builtin_return_address(0))'
                    % (f.name, cls in ('refuse', 'mkrefuse')))
            if p.kind == 'Request':
                if cls == 'icoll':
                    ts = (temp or []) + ['NULL', 'NULL']
                    post.append('\t*%s = sm_req_coll(r_%s, c, %s, %s);'
                                % (p.name, p.name, ts[0], ts[1]))
                else:
                    post.append('\t*%s = sm_req_adopt(r_%s, %s);'
                                % (p.name, p.name, what))
            elif p.kind == 'Comm' and cls in ('mkcomm', 'mkrefuse'):
                post.append('\t*%s = sm_comm_made(r_%s, c, seq, %s);'
                            % (p.name, p.name, what))
            elif p.kind == 'Comm' and cls == 'mkgroupcomm':
                post.append('\t*%s = sm_comm_agreed(r_%s, %s);'
                            % (p.name, p.name, what))
            else:
                post.append('\t*%s = sm_new_%s(r_%s, %s);'
                            % (p.name, p.kind, p.name, what))
        else:
            args.append(p.name)
    o.append('\n\tif (sm_in())\n\t\treturn %s(%s);' % (real, plain))
    o.extend(pre)
    if counted:
        o.append('\tc = sm_comm(%s);' % comm.name)
        o.append('\tseq = sm_coll_enter(c, "%s");' % f.name)
    o.append('\trc = %s(%s);' % (real, ', '.join(args)))
    if post:
        o.append('\tif (!rc) {')
        o.extend('\t' + line for line in post)
        o.append('\t}')
    elif cls == 'refuse':
        o.append('\tif (!rc)\n\t\tsm_sticky("%s", '
                 '__builtin_return_address(0));' % f.name)
    if temp:
        o.append('out:')
    o.extend(undo)
    o.append('\tsm_out();')
    if counted:
        o.append('\t(void)seq;')
    if isrc and not f.short.startswith('T_'):
        r = f.first(RAISERS)
        if r:
            o.append('\treturn rc ? sm_raise_%s(%s, rc) : rc;\n}'
                     % (r.kind, r.name))
        else:
            o.append('\treturn rc ? sm_raise(rc) : rc;\n}')
    else:
        o.append('\treturn rc;\n}')
    return o


def read_table(path):
    table = {}
    for line in open(path):
        words = line.split('#')[0].split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in CLASSES or words[0] in table:
            sys.exit('gen.py: bad line in %s: %s' % (path, line.strip()))
        table[words[0]] = words[1]
    return table


def data_objects(header, library):
    """(name, size, alignment) of the data objects that mpi.h declares."""
    text = open(header).read()
    out = subprocess.run(['nm', '-D', '-S', '--defined-only', library],
                         check=True, capture_output=True, text=True).stdout
    objs = []
    for line in out.splitlines():
        w = line.split()
        if len(w) != 4 or w[2] not in 'BDRVGS' or not re.match(
                r'^(ompi_|MPI_|MPIR_F)', w[3]):
            continue
        if re.search(r'\b%s\b' % re.escape(w[3]), text):
            objs.append((w[3], int(w[1], 16)))
    return sorted(set(objs))


def main():
    table_path, header, library, out = sys.argv[1:5]
    table = read_table(table_path)
    funcs = [Function(p) for p in prototypes(header)]
    missing = [f.name for f in funcs if f.name not in table]
    if missing:
        sys.exit('gen.py: not classified in %s: %s'
                 % (table_path, ' '.join(missing)))
    lic = '/* SPDX-License-Identifier: LGPL-2.1-or-later; generated */\n'
    with open(out + '/real.h', 'w') as h:
        h.write(lic + '#ifndef SM_REAL_H\n#define SM_REAL_H\n'
                'struct sm_real {\n')
        for f in funcs:
            h.write('\t__typeof__(%s) *%s;\n' % (f.name, f.short))
            h.write('#define SM_HAVE_%s 1\n' % f.short)
        h.write('};\n#endif\n')
    with open(out + '/real.c', 'w') as c:
        c.write(lic + '#include "front.h"\n#include <stddef.h>\n'
                'const struct sm_symbol sm_symbols[] = {\n')
        for f in funcs:
            c.write('\t{ "%s", offsetof(struct sm_real, %s) },\n'
                    % (f.name, f.short))
        c.write('\t{ NULL, 0 },\n};\n')
        c.write('const struct sm_data sm_data[] = {\n')
        objs = data_objects(header, library)
        for name, size in objs:
            c.write('\t{ "%s", %d },\n' % (name, size))
        c.write('\t{ NULL, 0 },\n};\n')
    with open(out + '/data.c', 'w') as s:
        s.write(lic + '__asm__(".pushsection .bss\\n"\n')
        for name, size in objs:
            s.write('\t".balign 64\\n.globl %s\\n.type %s, @object\\n"\n'
                    '\t".size %s, %d\\n%s:\\n.zero %d\\n"\n'
                    % (name, name, name, size, name, size))
        s.write('\t".popsection\\n");\n')
    with open(out + '/wrap.c', 'w') as c:
        c.write(lic + '#include "front.h"\n#include <stdlib.h>\n')
        for f in funcs:
            if table[f.name] != 'hand':
                c.write('\n' + '\n'.join(body(f, table[f.name]))
                        + '\n')


main()
