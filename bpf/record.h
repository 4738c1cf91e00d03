/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* From what a probe found to a record in the ring buffer, each counted: seen, ignored, sent, held back or lost. */

#define TAIL_MASK 16383
#define PATH_ROOM 4096
#define NAME_ROOM 256 /* NAME_MAX and its NUL */
#define RULES 64

/* What user space tells the probes. Written before anything is attached, and again on reload. */
struct config {
	u32 off;		/* nothing is reported or counted any more */
	u32 self;		/* Panorama's own thread group: never reported */
	u32 wanted;		/* triggers some behavior has, one bit each */
	u32 single;		/* of a session's triggers, those to report at once as well */
	u32 follow;		/* report only processes in `followed` and those they fork */
	u32 untouched;		/* report sessions in which nothing was read, written or made */
	u32 own_changes;	/* report mode and owner that a process sets of a file it has made and still has open */
	u32 sockets;		/* keep sessions of connections, not only their beginnings */
	u32 limited;		/* there is a rate limit, or was: its sums are told until the end */
	u32 gap;		/* ns between two records of a process at its limit; 0 is no limit */
	u32 global_gap;		/* the same for all processes together */
	u32 kind_rule[16];	/* ignore rule + 1 by i_mode >> 12; FIFO: pipes without a name; 0: anonymous inodes */
};
BPF_ARRAY(config, struct config, 1);

/* Where a path's names are looked up and put; see path.h. */
#define PREFIX_NAMES 4	/* ignore rules with a path look at this many names from the root */
#define PREFIX_ROOM 64
#define NO_NAME 0xffffffffu
struct path_walk {
	void *dentry;
	void *mount;		/* struct mount, not the vfsmount inside it */
	void *root;		/* of the file system that dentry is in */
	u32 start;
	u32 used;
	u32 left;		/* names */
	u32 mounts;
	u32 flags;		/* FLAG_FILE_CUT or FLAG_FILE_DETACHED */
	u32 top[PREFIX_NAMES];	/* where the last names lie in tail, or NO_NAME; the nearest to the root last */
};

struct record {
	struct path_walk walk;
	struct event event;
	char tail[TAIL_MASK + 1 + PATH_ROOM];
};
BPF_PERCPU_ARRAY(records, struct record, 1);
BPF_ARRAY(layout, struct event, 1);	/* holds nothing; the loader compares its type with panorama/sensor/layout.py's */
BPF_RINGBUF_OUTPUT(events, RING_PAGES);
BPF_PERCPU_ARRAY(sequences, u64, 1);

/* Counts of syscalls: by where they went, then trigger. Together they account for every one. */
#define SEEN 0
#define LOST 1
#define UNEXPLAINED 2
#define HELD 3		/* by a rate limit */
#define IGNORED 4	/* by rule 0; the further rules follow */
#define COLUMNS 32
#define RECORDS 31	/* of HELD and LOST: the column that counts records, whatever they account for */
BPF_PERCPU_ARRAY(counts, u64, (IGNORED + RULES) * COLUMNS);

BPF_HASH(followed, u32, u32, 32768);

INLINE void count(u32 where, u32 trigger, u64 n)
{
	u32 slot = where * COLUMNS + (trigger & (COLUMNS - 1));
	u64 *number = counts.lookup(&slot);
	if (number)
		*number += n;
}

/* `rule` is a rule's number + 1; 0 is none. */
INLINE void count_ignored(u32 rule, u32 trigger, u64 n)
{
	count(IGNORED + ((rule - 1) & (RULES - 1)), trigger, n);
}

/* NULL before the start and after the end. */
INLINE struct config *configuration(void)
{
	u32 zero = 0;
	struct config *c = config.lookup(&zero);
	if (c && c->off)
		c = NULL;
	OPAQUE(c); /* or later tests of c become tests of c->off, which Linux 6.1's verifier does not follow */
	return c;
}

/* The configuration, if this process is to be reported and some behavior wants one of the triggers; else NULL. */
INLINE struct config *watched_any(u32 triggers)
{
	struct config *c = configuration();
	u32 pid = bpf_get_current_pid_tgid() >> 32;
	if (!c || pid == c->self || !(c->wanted & triggers))
		return NULL;
	if (c->follow && !followed.lookup(&pid))
		return NULL;
	return c;
}

INLINE struct config *watched(u32 trigger)
{
	return watched_any(1u << trigger);
}

/* An empty record of this cpu; probes run with preemption off, so nothing else writes it meanwhile. */
INLINE struct record *record_new(u32 trigger)
{
	u32 zero = 0;
	struct record *r = records.lookup(&zero);
	if (!r)
		return NULL;
	__builtin_memset(&r->event, 0, sizeof(r->event));
	r->event.trigger = trigger;
	r->event.fd = -1;
	return r;
}

INLINE void record_process(struct event *e, void *task)
{
	void *leader = 0, *parent = 0, *cred = 0, *proxy = 0, *space = 0;
	e->pid = bpf_get_current_pid_tgid() >> 32;
	FOLLOW(leader, task, task_struct, group_leader);
	FOLLOW(e->start, leader, task_struct, start_boottime);
	bpf_probe_read_kernel(e->command, COMMAND_SIZE, AT(leader, task_struct, comm));
	FOLLOW(parent, leader, task_struct, real_parent);
	FOLLOW(e->ppid, parent, task_struct, tgid);
	FOLLOW(parent, parent, task_struct, group_leader);
	FOLLOW(e->parent_start, parent, task_struct, start_boottime);
	FOLLOW(cred, task, task_struct, cred);
	FOLLOW(e->uid, cred, cred, uid);
	FOLLOW(e->euid, cred, cred, euid);
#if HAS(task_struct, loginuid)
	FOLLOW(e->login_uid, task, task_struct, loginuid);
#else
	e->login_uid = (u32)-1;
#endif
	FOLLOW(proxy, task, task_struct, nsproxy);
	FOLLOW(space, proxy, nsproxy, mnt_ns);
	FOLLOW(e->mount_ns, space + OFF(mnt_namespace, ns), ns_common, inum);
	e->cgroup = bpf_get_current_cgroup_id();
}

/* Puts down what a record accounts for to `where`: a step that is sent at once, nothing, for its session does. */
INLINE void count_record(u32 where, struct event *e)
{
	bool socket = (e->mode & KIND_MASK) == KIND_SOCKET;
	if (e->flags & FLAG_SINGLE)
		return;
	if (e->trigger != CLOSE) {
		count(where, e->trigger, 1);
		return;
	}
	count(where, OPEN, e->opens);
	count(where, socket ? RECV : READ, e->reads);
	count(where, socket ? SEND : WRITE, e->writes);
	count(where, CLOSE, 1);
}

/*
 * The only way into the ring buffer. `used` is how many bytes of tail there are. Without flags the kernel wakes the
 * reader only for the first record after it has read all; the reader then waits a little and takes them together.
 * False if the record did not get there.
 */
INLINE bool record_send(struct record *r, u32 used)
{
	u32 zero = 0;
	u64 *sequence = sequences.lookup(&zero);
	struct config *c = configuration();
	if (!sequence || !c)
		return false;
	r->event.time = bpf_ktime_get_boot_ns();
	if (c->limited && held_back(&r->event, c->gap, c->global_gap)) {
		count(HELD, RECORDS, 1);
		count_record(HELD, &r->event);
		return false;
	}
	r->event.sequence = (*sequence)++;
	r->event.cpu = bpf_get_smp_processor_id();
	used &= TAIL_MASK;
	if (!events.ringbuf_output(&r->event, sizeof(struct event) + used, 0))
		return true;
	count(LOST, RECORDS, 1);
	if (c->wanted & (1u << (r->event.trigger & 31))) {
		count_record(LOST, &r->event);
	} else { /* of a process's life, which user space keeps track of whether a behavior asks or not */
		count(SEEN, TRIGGERS, 1);
		count(LOST, TRIGGERS, 1);
	}
	return false;
}
