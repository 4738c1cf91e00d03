/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Rate limits: how many records a second a process may send, and all processes together, and as many at once. What is
 * held back is counted, for each process, in sums that only grow. Every record of the process carries them, so that
 * user space knows that something is missing before this one, whatever became of the records between.
 *
 * A token bucket is kept as the moment at which it is full again. A record moves that on by the gap between two
 * records, and goes out if it then is no more than a second away. It is one number, so no lock is needed; processors
 * that meet may let a record or two too many out.
 */
#define SECOND 1000000000ull
#define BUCKETS 16384

struct bucket_key {
	u64 start;
	u32 pid;
	u32 unused;
};
struct bucket {
	u64 full_at;	/* ns since boot */
	u64 held;	/* records held back by the process's own limit, ever */
	u64 held_global;	/* by that of all processes */
};
/* No LRU table: an entry that had to go would take its sums along. Those who find no room share the entry of pid 0. */
BPF_HASH(buckets, struct bucket_key, struct bucket, BUCKETS);
BPF_ARRAY(global_bucket, u64, 1);

INLINE struct bucket_key bucket_of(struct event *e)
{
	struct bucket_key key = {.start = e->start, .pid = e->pid};
	return key;
}

/* A gap of 0 is no limit. */
INLINE bool bucket_empty(u64 full_at, u64 now, u32 gap)
{
	return gap && full_at + gap > now + SECOND;
}

INLINE void bucket_take(u64 *full_at, u64 now, u32 gap)
{
	if (!gap)
		return; /* the common bucket stays in every processor's cache */
	if (*full_at < now)
		*full_at = now;
	__sync_fetch_and_add(full_at, gap);
}

/*
 * True if a limit holds the record back, which is counted for its process by then. Else it has taken what it takes.
 * A process's beginning and end always go out, or names and parents would go wrong; they empty the common bucket.
 */
INLINE bool held_back(struct event *e, u32 gap, u32 global_gap)
{
	u32 zero = 0;
	u64 now = e->time;
	bool life = e->trigger == FORK || e->trigger == EXEC || e->trigger == EXIT;
	struct bucket_key key = bucket_of(e);
	struct bucket *own = buckets.lookup(&key);
	u64 *common = global_bucket.lookup(&zero);
	if (!own) {
		struct bucket fresh = {};
		buckets.insert(&key, &fresh);
		own = buckets.lookup(&key);
	}
	if (!own) {
		key.start = key.pid = 0;
		own = buckets.lookup(&key);
	}
	if (!own || !common)
		return false;
	if (!life && bucket_empty(own->full_at, now, gap)) {
		__sync_fetch_and_add(&own->held, 1);
		return true;
	}
	bool none = bucket_empty(*common, now, global_gap);
	if (!life && none) {
		__sync_fetch_and_add(&own->held_global, 1);
		return true;
	}
	if (!life)
		bucket_take(&own->full_at, now, gap);
	if (!none)
		bucket_take(common, now, global_gap);
	if (key.pid && (own->held || own->held_global)) {
		e->flags |= FLAG_HELD;
		e->held = own->held;
		e->held_global = own->held_global;
	}
	return false;
}
