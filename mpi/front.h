/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of a front library share: the real library's functions, the
 * handle tables, the gate and the state of a cycle.
 *
 * The rule of ownership: at any moment either the program's one thread that
 * is inside MPI (sm_busy > 0, the fast way) or the holder of sm_lock owns the
 * real library and all tables.  The helper thread takes the lock *and* sees
 * sm_busy == 0 before it touches anything; see gate.h.
 */
#ifndef SM_FRONT_H
#define SM_FRONT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#pragma GCC visibility push(default)
#include <mpi.h>
#pragma GCC visibility pop

#include "real.h"

#define sm_likely(x) __builtin_expect(!!(x), 1)
#define sm_unlikely(x) __builtin_expect(!!(x), 0)

/* Defines PMPI_name and its weak twin MPI_name. */
#define SM_API(ret, name, ...)                                                 \
	extern __typeof__(MPI_##name) MPI_##name                               \
		__attribute__((weak, alias("PMPI_" #name)));                   \
	ret PMPI_##name(__VA_ARGS__)

struct sm_symbol {
	const char *name;
	size_t offset;
};

struct sm_data {
	const char *name;
	size_t size;
};

extern struct sm_real sm_real;
extern const struct sm_symbol sm_symbols[]; /* generated, NULL-ended */
extern const struct sm_data sm_data[]; /* generated, NULL-ended */

/* ---- handles (handle/table.c) ---- */

enum sm_kind {
	SM_FREE,
	SM_COMM,
	SM_TYPE,
	SM_GROUP,
	SM_OP,
	SM_WIN,
	SM_FILE,
	SM_ERRH,
	SM_INFO,
	SM_MSG,
	SM_SESSION,
	SM_REQUEST,
};

/* Where an object came from, for refusals. */
struct sm_site {
	const char *func;
	void *caller;
	bool refuse;
};

static inline struct sm_site sm_site(const char *func, int refuse, void *caller)
{
	return (struct sm_site){ func, caller, refuse };
}

struct sm_attr {
	struct sm_attr *next;
	int keyval;
	void *value;
};

struct sm_fifo_msg {
	struct sm_fifo_msg *next;
	struct sm_obj *comm;
	int source;
	int tag;
	uint64_t size;
	int sync_rank; /* world rank that waits for the match, -1 none */
	uint32_t sync_req;
	uint32_t sync_serial;
	char data[];
};

struct sm_comm_state {
	uint64_t id; /* the same in all members, unique in the job */
	uint64_t seq; /* collectives entered */
	uint64_t target; /* while draining: may enter up to this one */
	int size;
	int rank;
	int peers; /* size, or remote size of an intercommunicator */
	uint64_t *sent; /* by peer */
	uint64_t *rcvd;
	struct sm_fifo_msg *fifo;
	struct sm_fifo_msg **fifo_end;
	uint32_t *sync; /* live synchronous sends: chains of requests */
	uint32_t agreed; /* communicators made over a group */
	int *world; /* world rank of each peer */
	uint64_t reported; /* seq last told to the coordinator, plus 1 */
	/* saved over a cycle */
	int topo;
	int ndims;
	int *dims; /* dims, periods, coords */
	char name[MPI_MAX_OBJECT_NAME];
};

struct sm_recipe; /* of a datatype: handle/type.c */

struct sm_type_state {
	struct sm_recipe *recipe;
	char name[MPI_MAX_OBJECT_NAME];
};

struct sm_op_state {
	MPI_User_function *fn;
	int commute;
	uint64_t *thunk;
};

struct sm_group_state {
	int n;
	int *world;
};

struct sm_info_state {
	int n;
	char **pairs;
};

struct sm_obj {
	uint64_t real; /* first: one load translates a handle */
	uint8_t kind;
	bool user_freed;
	uint32_t refs; /* the program's one, and one a pending use */
	uint32_t next_free;
	struct sm_site site;
	time_t since;
	struct sm_attr *attrs;
	uint32_t errh; /* index of the error handler object, 0: default */
	union {
		struct sm_comm_state *comm;
		struct sm_type_state *type;
		struct sm_op_state *op;
		struct sm_group_state *group;
		struct sm_info_state *info;
		struct sm_fifo_msg *msg;
		void *any;
	};
};

#define SM_OBJ_BITS 22
#define SM_OBJ_MAX (1u << SM_OBJ_BITS)
extern struct sm_obj *sm_objs;
extern uint32_t sm_objs_top; /* one above the highest ever used */

#define SM_WORLD_OBJ 1u
#define SM_SELF_OBJ 2u
#define SM_NULL_OBJ 3u /* stands for invalid communicators */
#define SM_FIRST_OBJ 4u

/*
 * A virtual handle: for int handles the two top bits, which MPICH gives to
 * objects that never reach the program; for pointers a non-canonical address.
 */
#define SM_VIRT(h)                                                             \
	(sizeof(h) == 4 ? ((uint32_t)(uintptr_t)(h) >> 30) == 3 :              \
			  (int64_t)(uintptr_t)(h) < 0)
#define SM_INDEX(h) ((uint32_t)(uintptr_t)(h) & (SM_OBJ_MAX - 1))
#define SM_HANDLE(T, kind, index)                                              \
	((T)(sizeof(T) == 4 ? (uintptr_t)(int32_t)(0xc0000000u |               \
						   (uint32_t)(kind)            \
							   << SM_OBJ_BITS |    \
						   (index)) :                  \
			      (uintptr_t)1 << 63 |                             \
				      (uintptr_t)(kind) << SM_OBJ_BITS |       \
				      (index)))
#define SM_STORED(T, v) ((T)(uintptr_t)(v))
#define SM_REAL(T, h)                                                          \
	(sm_unlikely(SM_VIRT(h)) ?                                             \
		 SM_STORED(T, sm_objs[SM_INDEX(h)].real) :                     \
		 (h))
#define SM_STORE(h) ((uint64_t)(uintptr_t)(h))

int sm_table_init(void);
/* A fresh object with one reference; NULL when the table is full. */
struct sm_obj *sm_obj_new(enum sm_kind kind, uint64_t real,
			  struct sm_site site);
void sm_obj_get(struct sm_obj *o);
/* Drops one reference; the last one frees the real object too. */
void sm_obj_put(struct sm_obj *o);
static inline uint32_t sm_obj_index(const struct sm_obj *o)
{
	return (uint32_t)(o - sm_objs);
}

MPI_Datatype sm_new_Datatype(MPI_Datatype real, struct sm_site s);
MPI_Comm sm_new_Comm(MPI_Comm real, struct sm_site s);
MPI_Group sm_new_Group(MPI_Group real, struct sm_site s);
MPI_Op sm_new_Op(MPI_Op real, struct sm_site s);
MPI_Win sm_new_Win(MPI_Win real, struct sm_site s);
MPI_File sm_new_File(MPI_File real, struct sm_site s);
MPI_Errhandler sm_new_Errhandler(MPI_Errhandler real, struct sm_site s);
MPI_Info sm_new_Info(MPI_Info real, struct sm_site s);
MPI_Message sm_new_Message(MPI_Message real, struct sm_site s);
#ifdef MPI_SESSION_NULL
MPI_Session sm_new_Session(MPI_Session real, struct sm_site s);
#endif
int sm_array_Datatype(const MPI_Datatype *in, int n, MPI_Datatype **out);
int sm_array_Info(const MPI_Info *in, int n, MPI_Info **out);

/* Sticky refusals: functions that leave something behind in the library. */
void sm_sticky(const char *func, void *caller);
/* Why a checkpoint cannot be made now: 0, or 1 with text in buf. */
int sm_refusal(char *buf, size_t size);

/* ---- the gate (gate/gate.c) ---- */

enum sm_phase {
	SM_RUN, /* no checkpoint under way */
	SM_DRAIN, /* the program goes on under the lock and the rules */
	SM_HOLD, /* callers wait at the gate */
	SM_AWAY, /* the library is not there */
};

struct sm_tls {
	int depth; /* inside the real library: calls are its own */
	int held; /* this thread holds sm_lock */
	int user; /* in callbacks of the program */
};
extern __thread struct sm_tls sm_tls
	__attribute__((tls_model("initial-exec")));

#define SM_STOP_INIT 1 /* not initialised: the slow way decides */
#define SM_STOP_MULTI 2 /* MPI_THREAD_MULTIPLE: always under the lock */
#define SM_STOP_CYCLE 4 /* a cycle is under way */
#define SM_STOP_SYNC 8 /* acknowledgements of synchronous sends are due */
extern volatile int sm_stop;
extern volatile int sm_busy;
extern volatile enum sm_phase sm_phase;

/* What a thread inside MPI waits for; told to the coordinator. */
struct sm_why {
	const char *func;
	struct sm_obj *comm;
	int peer; /* rank in comm, MPI_ANY_SOURCE, or SM_NOBODY */
	bool parked; /* at the entry of a collective beyond the target */
};
#define SM_NOBODY (-1000000)

void sm_in_slow(void);
void sm_out_slow(void);
void sm_poll_slow(const struct sm_why *why);
/* From under the lock back to the fast way, for a blocking call. */
void sm_go_fast(void);
/* Held while communicators go, and while the helper looks at them. */
extern pthread_mutex_t sm_comms_lock;

/* With MPI_THREAD_MULTIPLE several threads may be inside collectives. */
static inline void sm_busy_add(int n)
{
	if (sm_unlikely(sm_stop & SM_STOP_MULTI))
		__atomic_fetch_add(&sm_busy, n, __ATOMIC_SEQ_CST);
	else
		sm_busy += n;
}

/* Enter: true if the caller is the real library itself. */
static inline bool sm_in(void)
{
	if (sm_unlikely(sm_tls.depth))
		return true;
	sm_tls.depth = 1;
	if (sm_likely(!sm_stop)) {
		sm_busy++;
		__asm__ volatile("" ::: "memory");
		if (sm_likely(!sm_stop))
			return false;
		sm_busy--;
	}
	sm_in_slow();
	return false;
}

static inline void sm_out(void)
{
	__asm__ volatile("" ::: "memory");
	if (sm_unlikely(sm_tls.held))
		sm_out_slow();
	else
		sm_busy_add(-1);
	sm_tls.depth = 0;
}

/* Between two polls of a blocking call: lets a cycle in. */
static inline void sm_poll(const struct sm_why *why)
{
	if (sm_unlikely(sm_stop | sm_tls.held))
		sm_poll_slow(why);
}

/* Around a call of the program's code from inside. */
static inline int sm_user_enter(void)
{
	int depth = sm_tls.depth;

	sm_tls.depth = 0;
	sm_tls.user++;
	return depth;
}

static inline void sm_user_leave(int depth)
{
	sm_tls.user--;
	sm_tls.depth = depth;
}

extern pthread_mutex_t sm_lock;
extern pthread_cond_t sm_changed;
extern const struct sm_why *volatile sm_waiting; /* under sm_lock */
extern volatile uint64_t sm_activity; /* completions, entries, matches */

/* ---- errors (handle/errh.c) ---- */

int sm_raise(int code);
int sm_raise_Comm(MPI_Comm comm, int code);
int sm_raise_Win(MPI_Win win, int code);
int sm_raise_File(MPI_File file, int code);
#ifdef MPI_SESSION_NULL
int sm_raise_Session(MPI_Session session, int code);
#endif

/* ---- attributes (handle/attr.c) ---- */

int sm_attrs_copy(struct sm_obj *from, uint64_t from_handle,
		  struct sm_obj *to);
int sm_attrs_delete(struct sm_obj *o, uint64_t handle);
/* Reads the library's predefined attributes once, after the first init. */
void sm_attrs_predefined(void);

/* ---- communicators, types, ops, groups (handle) ---- */

/* The object of a communicator; never NULL. */
static inline struct sm_obj *sm_comm(MPI_Comm c)
{
	if (SM_VIRT(c))
		return &sm_objs[SM_INDEX(c)];
	if (c == MPI_COMM_WORLD)
		return &sm_objs[SM_WORLD_OBJ];
	if (c == MPI_COMM_SELF)
		return &sm_objs[SM_SELF_OBJ];
	return &sm_objs[SM_NULL_OBJ];
}

static inline MPI_Comm sm_comm_real(const struct sm_obj *o)
{
	return SM_STORED(MPI_Comm, o->real);
}

static inline struct sm_obj *sm_type_obj(MPI_Datatype t)
{
	return SM_VIRT(t) ? &sm_objs[SM_INDEX(t)] : NULL;
}

int sm_comm_degree_in(MPI_Comm c);
int sm_comm_degree_out(MPI_Comm c);
int sm_comm_peers(MPI_Comm c);
MPI_Comm sm_comm_made(MPI_Comm real, struct sm_obj *parent, uint64_t seq,
		      struct sm_site s);
MPI_Comm sm_comm_agreed(MPI_Comm real, struct sm_site s);
int sm_comm_setup(struct sm_obj *o, uint64_t id);
void sm_comm_release(struct sm_obj *o);
void sm_comm_bury(const struct sm_comm_state *c);
int sm_comm_predefined(void);
int sm_comm_world_rank(struct sm_obj *c, int peer);

/* Saved before the library goes, rebuilt after it came: 0 or an MPI error. */
int sm_comms_save(void);
int sm_comms_build(void);
int sm_types_save(void);
int sm_types_build(void);
int sm_ops_build(void);
int sm_groups_save(void);
int sm_groups_build(void);
int sm_infos_save(void);
int sm_infos_build(void);
void sm_type_release(struct sm_obj *o);
void sm_op_release(struct sm_obj *o);
void sm_group_release(struct sm_obj *o);
void sm_info_release(struct sm_obj *o);
MPI_Datatype sm_type_virtual(MPI_Datatype real);

/* ---- collectives (coll/coll.c) ---- */

uint64_t sm_coll_enter(struct sm_obj *c, const char *func);

/* ---- point-to-point (p2p) ---- */

enum sm_req_op {
	SM_R_FREE,
	SM_R_SEND,
	SM_R_SSEND,
	SM_R_BSEND,
	SM_R_RECV,
	SM_R_COLL,
	SM_R_IDUP,
	SM_R_PAIR, /* Isendrecv: two others */
	SM_R_GEN, /* the library's own: I/O, one-sided, generalized */
};

enum sm_req_state {
	SM_Q_INACTIVE,
	SM_Q_ACTIVE,
	SM_Q_SYNC, /* gone out, the match is not known yet */
	SM_Q_DONE,
	SM_Q_REPOST, /* a receive that was cancelled for the cycle */
};

struct sm_req {
	MPI_Request real;
	uint8_t op;
	uint8_t state;
	bool persistent;
	bool detached; /* freed by the program while active */
	bool cancelled; /* the program asked for it */
	bool matched; /* of a matched probe: cannot be cancelled */
	bool suspect; /* a cycle that was given up may have pulled it */
	int err;
	uint32_t next_free;
	uint32_t serial; /* counts reuses */
	uint32_t after; /* later sends of the same kind, see sync.c */
	uint32_t sync_next;
	uint32_t pair[2];
	uint64_t order;
	struct sm_obj *comm;
	MPI_Datatype type;
	void *buf;
	MPI_Count count;
	int peer;
	int tag;
	void *tmp[2];
	struct sm_site site;
	time_t since;
	MPI_Status st;
	struct sm_obj *out; /* communicator that Comm_idup makes */
};

#define SM_REQ_MAX (1u << SM_OBJ_BITS)
extern struct sm_req *sm_reqs;
extern uint32_t sm_reqs_top;
extern volatile uint64_t sm_sent, sm_rcvd; /* all communicators */

static inline struct sm_req *sm_req_of(MPI_Request h)
{
	return SM_VIRT(h) ? &sm_reqs[SM_INDEX(h)] : NULL;
}

static inline MPI_Request sm_req_handle(const struct sm_req *r)
{
	return SM_HANDLE(MPI_Request, SM_REQUEST, (uint32_t)(r - sm_reqs));
}

struct sm_req *sm_req_new(enum sm_req_op op);
void sm_req_free(struct sm_req *r);
MPI_Request sm_req_coll(MPI_Request real, struct sm_obj *c, void *t0,
			void *t1);
MPI_Request sm_req_adopt(MPI_Request real, struct sm_site s);
/* One poll: true when complete (its status in r->st, code in r->err). */
bool sm_req_poll(struct sm_req *r);
/* Start the send or receive that r describes. */
int sm_req_start(struct sm_req *r);
void sm_req_fill(struct sm_req *r, const void *buf, MPI_Count count,
		 MPI_Datatype type, int peer, int tag, struct sm_obj *comm);
/* Blocks until r is complete, releases it if not persistent. */
int sm_req_wait(struct sm_req *r, MPI_Status *st, const char *func);
/* The program has seen the completion. */
int sm_req_finish(struct sm_req *r, MPI_Status *st);
void sm_req_reap(void);

/* FIFO of pulled messages (p2p/fifo.c) */
struct sm_fifo_msg *sm_fifo_find(struct sm_obj *c, int source, int tag);
struct sm_fifo_msg *sm_fifo_take(struct sm_obj *c, int source, int tag);
int sm_fifo_deliver(struct sm_fifo_msg *m, void *buf, MPI_Count count,
		    MPI_Datatype type, MPI_Status *st);
void sm_fifo_status(const struct sm_fifo_msg *m, MPI_Status *st);
/* Takes every message that no posted receive matches: how many came. */
int sm_fifo_pull(void);
int sm_fifo_keep_messages(void);

/* Synchronous sends over a cycle (p2p/sync.c) */
extern volatile uint64_t sm_ctl_sent, sm_ctl_rcvd;
extern volatile uint32_t sm_sync_waiting; /* sends in SM_Q_SYNC */
void sm_sync_sent(struct sm_obj *c, int peer, int tag);
int sm_sync_add(struct sm_req *r);
void sm_sync_gone(struct sm_req *r);
void sm_sync_suspect(void);
void sm_sync_matched(struct sm_fifo_msg *m);
int sm_sync_poll(void);
uint32_t sm_sync_open(void);

/* ---- buffered sends ---- */
void sm_bsend_finish(void);

/* ---- life (gate/life.c) and cycle ---- */

extern struct sm_life {
	bool init;
	bool finalized;
	bool attached; /* a coordinator is there, the helper runs */
	int level; /* as provided to the program */
	int rank;
	int size;
	MPI_Comm hidden; /* control messages of the layer */
	MPI_Comm self; /* deliveries */
	unsigned long main_thread;
} sm_life;

/* impl/: what differs between the libraries */
int sm_impl_load(void);
int sm_impl_unload(void);
int sm_impl_init(int *argc, char ***argv, int required, int *provided);
/* Prepares environment slots that a later up may overwrite in place. */
void sm_impl_reserve(void);
bool sm_impl_predefined(const void *handle);
extern const char sm_impl_name[];
extern const bool sm_impl_own_pmi;

int sm_load(void); /* dlopen and fill sm_real, once */
int sm_internal_up(void); /* hidden communicators, error handlers */
int sm_internal_down(void);

int sm_helper_start(void); /* connects to the coordinator, if there is one */
void sm_helper_stop(void); /* at Finalize */
void sm_helper_abort(int code); /* tells the coordinator of an MPI_Abort */

/* cycle/drain.c, cycle/switch.c: all on the helper, lock held */
int sm_drain_settle(void); /* finish sends and collectives: 0 when all are */
int sm_drain_cancel(void); /* posted receives away */
int sm_drain_repost(void);
int sm_cycle_down(void);
int sm_cycle_up(void);

#endif
