/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mixed traffic with every byte checked: point-to-point of all modes with
 * wildcards, persistent requests, unexpected messages, derived types,
 * communicators by dup, split, create and cart, user operations, attributes,
 * collectives, blocking and not.  Runs for STEPS steps or, with a second
 * argument, at least that many seconds.  Rank 0 prints one line with a sum
 * that depends on all data; it must not depend on checkpoints.
 */
#include <mpi.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int rank, size;
static uint64_t sum;

#define CHECK(x)                                                             \
	do {                                                                 \
		if (!(x)) {                                                  \
			fprintf(stderr, "rank %d: %s:%d: %s\n", rank,        \
				__FILE__, __LINE__, #x);                     \
			MPI_Abort(MPI_COMM_WORLD, 1);                        \
		}                                                            \
	} while (0)

static uint64_t mix(uint64_t a, uint64_t b)
{
	a = (a ^ b) * 0x9e3779b97f4a7c15ull;
	return a ^ (a >> 29);
}

static void fill(int *p, int n, uint64_t seed)
{
	for (int i = 0; i < n; i++)
		p[i] = (int)(mix(seed, (uint64_t)i) >> 33);
}

static void verify(const int *p, int n, uint64_t seed)
{
	for (int i = 0; i < n; i++)
		CHECK(p[i] == (int)(mix(seed, (uint64_t)i) >> 33));
	sum = mix(sum, seed);
}

static void my_op(void *in, void *inout, int *n, MPI_Datatype *t)
{
	int *a = in, *b = inout, s;

	MPI_Type_size(*t, &s);
	for (int i = 0; i < *n * s / 4; i++)
		b[i] = a[i] + b[i] * 3 - b[i] * 2;
}

struct world {
	MPI_Comm dup, half, cart, made;
	MPI_Group group;
	MPI_Datatype vec, rec;
	MPI_Op op;
	MPI_Request psend, precv;
	int key;
	int attr;
	int pout[300], pin[300];
};

struct rec {
	double d;
	char c[3];
	int i;
};

static void build(struct world *w)
{
	int dims[1] = { size }, periods[1] = { 1 }, bl[3] = { 1, 3, 1 };
	MPI_Aint disp[3] = { offsetof(struct rec, d), offsetof(struct rec, c),
			     offsetof(struct rec, i) };
	MPI_Datatype parts[3] = { MPI_DOUBLE, MPI_CHAR, MPI_INT }, tmp, pair;
	MPI_Group all;
	int left = (rank + size - 1) % size, right = (rank + 1) % size;

	MPI_Comm_dup(MPI_COMM_WORLD, &w->dup);
	MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &w->half);
	MPI_Cart_create(MPI_COMM_WORLD, 1, dims, periods, 0, &w->cart);
	MPI_Comm_group(MPI_COMM_WORLD, &all);
	MPI_Group_incl(all, 1, (int[]){ 0 }, &w->group);
	MPI_Comm_create(MPI_COMM_WORLD, w->group, &w->made);
	MPI_Group_free(&all);
	MPI_Type_contiguous(2, MPI_INT, &pair);
	MPI_Type_vector(10, 3, 7, pair, &w->vec);
	MPI_Type_free(&pair);
	MPI_Type_commit(&w->vec);
	MPI_Type_create_struct(3, bl, disp, parts, &tmp);
	MPI_Type_create_resized(tmp, 0, sizeof(struct rec), &w->rec);
	MPI_Type_free(&tmp);
	MPI_Type_commit(&w->rec);
	MPI_Op_create(my_op, 1, &w->op);
	MPI_Comm_create_keyval(MPI_COMM_DUP_FN, MPI_COMM_NULL_DELETE_FN,
			       &w->key, NULL);
	w->attr = 4711;
	MPI_Comm_set_attr(w->dup, w->key, &w->attr);
	MPI_Comm_set_name(w->dup, "a name");
	MPI_Send_init(w->pout, 300, MPI_INT, right, 77, w->dup, &w->psend);
	MPI_Recv_init(w->pin, 300, MPI_INT, left, 77, w->dup, &w->precv);
}

static void destroy(struct world *w)
{
	MPI_Request_free(&w->psend);
	MPI_Request_free(&w->precv);
	MPI_Comm_free(&w->dup);
	MPI_Comm_free(&w->half);
	MPI_Comm_free(&w->cart);
	if (w->made != MPI_COMM_NULL)
		MPI_Comm_free(&w->made);
	MPI_Group_free(&w->group);
	MPI_Type_free(&w->vec);
	MPI_Type_free(&w->rec);
	MPI_Op_free(&w->op);
	MPI_Comm_free_keyval(&w->key);
}

/* A ring in all send modes, received by wildcards. */
static void ring(struct world *w, int step)
{
	static int out[4][5000], in[5000];
	int left = (rank + size - 1) % size, right = (rank + 1) % size;
	int n = 1 + step * 37 % 5000, k;
	MPI_Request q[4];
	MPI_Status st;

	for (k = 0; k < 4; k++)
		fill(out[k], n, mix((uint64_t)step * 4 + (uint64_t)k,
				    (uint64_t)rank));
	MPI_Isend(out[0], n, MPI_INT, right, 10, w->dup, &q[0]);
	MPI_Issend(out[1], n, MPI_INT, right, 11, w->dup, &q[1]);
	MPI_Isend(out[2], n, MPI_INT, right, 12, w->cart, &q[2]);
	MPI_Issend(out[3], n, MPI_INT, right, 13, w->cart, &q[3]);
	/* out of order by tag, then by wildcard */
	MPI_Recv(in, 5000, MPI_INT, MPI_ANY_SOURCE, 11, w->dup, &st);
	CHECK(st.MPI_SOURCE == left);
	verify(in, n, mix((uint64_t)step * 4 + 1, (uint64_t)left));
	MPI_Probe(left, MPI_ANY_TAG, w->dup, &st);
	MPI_Get_count(&st, MPI_INT, &k);
	CHECK(st.MPI_TAG == 10 && k == n);
	MPI_Recv(in, n, MPI_INT, MPI_ANY_SOURCE, MPI_ANY_TAG, w->dup, &st);
	CHECK(st.MPI_TAG == 10);
	verify(in, n, mix((uint64_t)step * 4, (uint64_t)left));
	for (k = 2; k < 4; k++) {
		MPI_Message m;
		int got;

		MPI_Mprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, w->cart, &m, &st);
		CHECK(st.MPI_TAG == 10 + k);
		MPI_Mrecv(in, 5000, MPI_INT, &m, &st);
		MPI_Get_count(&st, MPI_INT, &got);
		CHECK(got == n && st.MPI_SOURCE == left);
		verify(in, n, mix((uint64_t)step * 4 + (uint64_t)k,
				  (uint64_t)left));
	}
	MPI_Waitall(4, q, MPI_STATUSES_IGNORE);
}

static void persistent(struct world *w, int step)
{
	int left = (rank + size - 1) % size;
	MPI_Status st[2];
	MPI_Request q[2] = { w->precv, w->psend };

	fill(w->pout, 300, mix(9999, (uint64_t)(step * 100 + rank)));
	MPI_Startall(2, q);
	MPI_Waitall(2, q, st);
	CHECK(st[0].MPI_SOURCE == left);
	verify(w->pin, 300, mix(9999, (uint64_t)(step * 100 + left)));
}

static void types(struct world *w, int step)
{
	static int a[200], b[200];
	struct rec r = { step + rank, { 'x', 'y', (char)step }, rank }, s;
	int left = (rank + size - 1) % size, right = (rank + 1) % size;
	MPI_Request q;
	MPI_Status st;
	int n;

	fill(a, 200, mix(55, (uint64_t)(step * 100 + rank)));
	memset(b, 0, sizeof(b));
	MPI_Sendrecv(a, 1, w->vec, right, 1, b, 60, MPI_INT, left, 1,
		     MPI_COMM_WORLD, &st);
	MPI_Get_count(&st, MPI_INT, &n);
	CHECK(n == 60);
	fill(a, 200, mix(55, (uint64_t)(step * 100 + left)));
	for (n = 0; n < 10; n++)
		CHECK(!memcmp(b + n * 6, a + n * 14, 6 * sizeof(int)));
	MPI_Irecv(&s, 1, w->rec, left, 2, MPI_COMM_WORLD, &q);
	MPI_Send(&r, 1, w->rec, right, 2, MPI_COMM_WORLD);
	MPI_Wait(&q, &st);
	CHECK(s.d == step + left && s.i == left && s.c[2] == (char)step);
}

static void collectives(struct world *w, int step)
{
	int x[2] = { rank + step, 7 }, y[2], hs, hr, i, v, flag;
	MPI_Request q[2];
	void *p;
	char name[MPI_MAX_OBJECT_NAME];

	MPI_Iallreduce(x, y, 2, MPI_INT, MPI_SUM, w->dup, &q[0]);
	MPI_Ibarrier(w->cart, &q[1]);
	MPI_Comm_size(w->half, &hs);
	MPI_Comm_rank(w->half, &hr);
	v = rank == size - 1 || rank == size - 2 ? 1 : 0;
	MPI_Allreduce(MPI_IN_PLACE, &v, 1, MPI_INT, w->op, w->half);
	CHECK(v == 1 || size == 1);
	MPI_Waitall(2, q, MPI_STATUSES_IGNORE);
	CHECK(y[0] == size * (size - 1) / 2 + size * step && y[1] == 7 * size);
	v = step * 3;
	MPI_Bcast(&v, 1, MPI_INT, step % size, MPI_COMM_WORLD);
	CHECK(v == step * 3);
	if (w->made != MPI_COMM_NULL)
		MPI_Barrier(w->made);
	for (i = 0; i < 2; i++)
		MPI_Scan(x, y, 1, MPI_INT, MPI_SUM, w->cart);
	CHECK(y[0] == (rank + 1) * step + rank * (rank + 1) / 2);
	MPI_Comm_get_attr(w->dup, w->key, &p, &flag);
	CHECK(flag && *(int *)p == 4711);
	MPI_Comm_get_name(w->dup, name, &i);
	CHECK(!strcmp(name, "a name"));
	MPI_Group_size(w->group, &i);
	CHECK(i == 1);
	sum = mix(sum, (uint64_t)y[0]);
}

/* Many messages ahead of their receives; a receive posted long before. */
static void unexpected(int step)
{
	int left = (rank + size - 1) % size, right = (rank + 1) % size;
	int out[50], in, early = -1, i;
	MPI_Request q[50], e;
	MPI_Status st;

	MPI_Irecv(&early, 1, MPI_INT, left, 500, MPI_COMM_WORLD, &e);
	for (i = 0; i < 50; i++) {
		out[i] = step * 1000 + rank * 50 + i;
		MPI_Isend(&out[i], 1, MPI_INT, right, i % 5, MPI_COMM_WORLD,
			  &q[i]);
	}
	if (step % 10 == 3)
		usleep(20000);
	for (i = 0; i < 50; i++) {
		int t = 4 - i / 10, want = step * 1000 + left * 50 +
					   i % 10 * 5 + t;

		MPI_Recv(&in, 1, MPI_INT, MPI_ANY_SOURCE, t, MPI_COMM_WORLD,
			 &st);
		CHECK(in == want);
		sum = mix(sum, (uint64_t)in);
	}
	MPI_Waitall(50, q, MPI_STATUSES_IGNORE);
	MPI_Send(&step, 1, MPI_INT, right, 500, MPI_COMM_WORLD);
	MPI_Wait(&e, &st);
	CHECK(early == step && st.MPI_TAG == 500);
}

int main(int argc, char **argv)
{
	int steps = argc > 1 ? atoi(argv[1]) : 100, step = 0, go;
	double limit = argc > 2 ? atof(argv[2]) : 0, t0;
	uint64_t all;
	static struct world w;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	t0 = MPI_Wtime();
	build(&w);
	for (;;) {
		ring(&w, step);
		persistent(&w, step);
		types(&w, step);
		collectives(&w, step);
		unexpected(step);
		if (step % 50 == 49) {
			destroy(&w);
			build(&w);
		}
		step++;
		/* the sum is over the first STEPS steps only */
		if (step == steps)
			MPI_Reduce(&sum, &all, 1, MPI_UINT64_T, MPI_BXOR, 0,
				   MPI_COMM_WORLD);
		go = step < steps || MPI_Wtime() - t0 < limit;
		MPI_Bcast(&go, 1, MPI_INT, 0, MPI_COMM_WORLD);
		if (!go)
			break;
	}
	destroy(&w);
	if (rank == 0)
		printf("traffic %d ranks %d steps sum %016llx\n", size, steps,
		       (unsigned long long)all);
	MPI_Finalize();
	return 0;
}
