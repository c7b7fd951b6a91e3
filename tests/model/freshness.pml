/*
 * Cache freshness: a read that starts after a write was answered returns that write or a later one.
 *
 * One page is made of two cached answers, with the tags A and B. Its writes are committed by
 * replicas, which drop the tags in Redis, raise the page's version in Nginx, and answer. Here is
 * one Nginx: each has its own versions and files, a batch is answered when the last of them was
 * raised, and a reader at another one does to Redis what a reader does here that finds no file.
 *
 * Features, which model_test.ts combines:
 *   LEADER   a leader follows the log, and invalidates what no committer has confirmed
 *   STOPS    a committer dies or gives up between any two steps
 *   LEASE    the leader may fail to reach Redis, and then ends the lease
 *   FLUSH    Redis loses everything once
 *   CUT      any message of the leader to Nginx may fail
 *   CRASH    the leader dies once between any two steps, and another replica takes over
 *   RESTART  Nginx loses its versions once and keeps its files
 *   JOIN     readers at one replica join loads that are under way
 *   RESTORE  the log is restored from a backup once, so that positions begin again
 *   FINE     steps that are one elsewhere are two: version and file, position and rows
 *   COUNTED  versions and generations are numbers, and what belongs to older ones stays
 *
 * Three simplifications lose no counterexample:
 *   Readers and writers are alike, so they begin in the order of their numbers.
 *   An answer promises most when it comes as early as it may. So a repeat, a no-op, a refusal and a
 *   committer that waits for the leader are answered in the very step in which the watermark passes
 *   their position.
 *   Numbers that never come again matter only by whether they are the current one. So without
 *   COUNTED a new version or generation takes the current one away from whoever holds it, and
 *   clears what belongs to it, and no number grows. Where numbers may come again (RESTART, RESTORE
 *   and variants), they are COUNTED.
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef READERS
#define READERS 1
#endif
#ifndef RENEWALS
#define RENEWALS 1
#endif

#if WRITERS > 2 || READERS > 2
#error "some steps name the first and the last only"
#endif

#define A 0
#define B 1

/* ---- PostgreSQL: the log, the rows, and what the leader keeps durably ---- */
byte head;                     /* position of the newest batch */
byte writes;                   /* like head, but goes on counting when positions begin again */
byte touched[WRITERS + 1];     /* the tags of the batch at a position: 1 is A, 2 is B, 3 is both */
byte written[WRITERS + 1];     /* the value that the batch at a position wrote */
byte row[2];                   /* the newest value of each tag */
byte watermark;                /* every position up to it is invalidated */
bool missed;                   /* the mark of an Nginx that missed something */

/* ---- The promise: the newest value of each tag whose write was answered ---- */
byte answered[2];

/* ---- Redis: a floor for each tag, the lease, and one value for each tag ---- */
byte floor[2];
bool lease = true;
byte generation = 1;
byte kept[2];
byte keptAt[2];
byte keptUnder[2] = 1;

/* ---- Nginx: versions, epoch and files. Its workers share them; a reader is a request. ---- */
#ifdef COUNTED
#define VERSIONS 8
#else
#define VERSIONS 1
#endif
#define KEY (epoch * VERSIONS + version)
#define NO_KEY 255
byte epoch;
byte version;
bool stored[2 * VERSIONS];
byte storedA[2 * VERSIONS];
byte storedB[2 * VERSIONS];

/* ---- Memory of the leader ---- */
byte term = 1;
bool confirmed[WRITERS + 1];
bool lost;                     /* it could not reach Redis, so it no longer renews the lease */
bool renewing;                 /* the message that raises every slot is sent and not yet answered */

/* ---- Readers: the key and the lease's generation that each has read ---- */
byte readers;                  /* how many have begun */
byte key[READERS + 1];
byte stamp[READERS + 1];

byte renewals;                 /* how often contact was renewed */

/* RESTORE: replicas are stopped for it, so it waits until none works. */
byte working;
#ifdef RESTORE
#define BEGIN_WORK working++
#define END_WORK working--
#else
#define BEGIN_WORK skip
#define END_WORK skip
#endif

#define TOUCHES(p, t) ((touched[p] >> (t)) & 1)
#define BELIEVED(t) (lease && keptUnder[t] == generation && floor[t] <= keptAt[t])

inline drop_tag(p, t) {
  if
  :: TOUCHES(p, t) ->
     if
#ifdef FLOOR_NOT_MONOTONIC
     /* Guard: the DROP script never lowers a floor, although committers come in any order. */
     :: true -> floor[t] = p
#else
     :: floor[t] < p -> floor[t] = p
     :: else
#endif
     fi;
#ifndef COUNTED
     if
     :: floor[t] > keptAt[t] -> kept[t] = 0; keptAt[t] = 0; keptUnder[t] = 0
     :: else
     fi
#endif
  :: else
  fi
}

/* One script in Redis for all tags of a batch. */
inline drop(p) {
  d_step { drop_tag(p, A); drop_tag(p, B) }
}

inline raise_all() {
#ifdef COUNTED
  d_step { version++; assert(version < VERSIONS) }
#else
  d_step {
    stored[KEY] = false; storedA[KEY] = 0; storedB[KEY] = 0; key[1] = NO_KEY; key[READERS] = NO_KEY
  }
#endif
}

inline next_generation() {
#ifdef COUNTED
  generation++
#else
  d_step {
    kept[A] = 0; keptAt[A] = 0; keptUnder[A] = 0; kept[B] = 0; keptAt[B] = 0; keptUnder[B] = 0;
    stamp[1] = 0; stamp[READERS] = 0
  }
#endif
}

#ifdef SKIP_BY_POSITION
byte raisedAt;
#endif

inline raise(p) {
#ifdef SET_HIGHEST
  /* Guard: Nginx counts (incr), and takes no position for a version. */
  d_step { if :: p > version -> version = p :: else fi }
#else
#ifdef SKIP_BY_POSITION
  /* Guard: Nginx counts every message, also one of an older position. */
  d_step { if :: p > raisedAt -> raisedAt = p; version++ :: else fi }
#else
  raise_all()
#endif
#endif
}

inline answer_tag(p, t) {
  if
  :: TOUCHES(p, t) && answered[t] < written[p] -> answered[t] = written[p]
  :: else
  fi
}

inline answer(p) {
  d_step { answer_tag(p, A); answer_tag(p, B) }
}

/*
 * A replica that commits. Nobody waits for it: the leader may act on its position at any time. So
 * one that dies, cannot reach Redis or Nginx, or answers "pending" is one that takes no further
 * step. STOPS says so explicitly. Without it the search covers the same, as every step may come as
 * late as it likes.
 */
#ifdef STOPS
#define OR_STOPS :: goto stopped
#else
#define OR_STOPS
#endif

proctype Writer(byte value) {
  byte p;
  atomic {
    writes == value - 1 -> writes = value; head++; p = head; written[p] = value; BEGIN_WORK;
    if
    :: touched[p] = 1; row[A] = value
    :: touched[p] = 2; row[B] = value
#ifdef FINE
    :: touched[p] = 3; row[A] = value; row[B] = value
#endif
    fi;
#ifdef REPEAT_ANSWERED_AT_ONCE
    /* Guard: an answer that rests on another replica's event waits for the watermark. */
    answer(p)
#endif
  }
#ifdef RAISE_BEFORE_DROP
  /* Guard: the committer awaits Redis before it sends to Nginx. */
  raise(p);
#endif
  if
  :: drop(p)
#ifdef ANSWER_WITHOUT_DROP
  /* Guard: a committer whose drop failed waits for the leader. */
  :: skip
#endif
  OR_STOPS
  fi;
#ifndef RAISE_BEFORE_DROP
  if
  :: raise(p)
  OR_STOPS
  fi;
#endif
  if
  :: atomic { answer(p); END_WORK }
  OR_STOPS
  fi;
#ifdef LEADER
  /* The confirmation may be lost: then this step is never taken. */
  d_step {
    if
    :: watermark < p -> confirmed[p] = true
    :: else
    fi
  };
#endif
#ifdef STOPS
stopped:
#endif
  p = 0
}

#ifdef LEADER
#ifdef CRASH
#define OR_CRASHES :: atomic { term == 1 -> term = 2; p = 0; take_over(); goto follow }
#else
#define OR_CRASHES
#endif

/*
 * What was in memory is gone: confirmations, and a renewal under way. A replica cannot know when
 * the one before it renewed the lease for the last time, so it lets it run out
 * (RedisTier.takeOver). What the old leader may still do is drop and raise, which costs misses
 * only; what it writes into PostgreSQL runs in the session that holds the lock, so it fails.
 */
inline take_over() {
  confirmed[1] = false; confirmed[WRITERS] = false; renewing = false;
#ifdef LEASE
  lost = true;
#endif
#ifdef MARK_IN_MEMORY
  /* Guard: the mark is a row in PostgreSQL. */
  missed = false;
#endif
}

/* A committer's grace is any time: the leader may invalidate although a confirmation comes. */
proctype Leader() {
  byte p;
follow:
end:
  do
  :: atomic { watermark < head && confirmed[watermark + 1] -> p = watermark + 1 }; goto advance
#ifdef UNCONFIRMED_SKIPPED
  /* Guard: the leader invalidates what no committer has confirmed. */
  :: atomic { watermark < head && !confirmed[watermark + 1] -> p = watermark + 1 }; goto advance
#endif
  :: atomic { watermark < head && !lost -> p = watermark + 1; drop(p) }; break
#ifdef LEASE
  /* It cannot reach Redis. Once the lease has run out it need not drop: nothing loaded under this
     lease is believed under the next. A new lease says that the old one has run out, too. */
  :: atomic { watermark < head -> p = watermark + 1; lost = true };
#ifndef LEASE_KEPT
     /* Guard: RedisTier.drop waits for the end of the lease when Redis does not answer. */
     if
     :: !lost || !lease
     OR_CRASHES
     fi;
#endif
     break
#endif
  OR_CRASHES
  od;
  if
  :: atomic { !missed || renewing -> raise(p) }
#ifdef CUT
#ifdef EXCUSED_WHILE_RENEWING
  /* Guard: once the message that raises every slot is sent, no position passes this Nginx. */
  :: missed
#else
  :: atomic { missed && !renewing }
#endif
#ifdef MARKED_TOO_LATE
  /* Guard: the mark is committed before the watermark, or together with it. */
  :: atomic { !missed -> watermark = p; confirmed[p] = false; answer(p) };
     missed = true;
     goto follow
#else
  :: atomic { !missed -> missed = true }
#endif
#endif
  OR_CRASHES
  fi;
advance:
  if
  :: atomic { watermark = p; confirmed[p] = false; answer(p); p = 0 }; goto follow
  OR_CRASHES
  fi
}

#if defined(LEASE) || defined(FLUSH)
/* RedisTier.renew: runs beside the leader's work. A lease after a lost one has a new generation. */
proctype Keeper() {
end:
  do
  :: atomic { lost && lease -> lease = false }
  :: atomic { lost && !lease -> lost = false; lease = true; next_generation() }
#ifdef FLUSH
#ifdef FLUSH_UNNOTICED
  /* Guard: RENEW refuses where the lease is gone before its time. */
  :: atomic { !lost && !lease -> lease = true }
#else
  :: atomic { !lost && !lease -> lost = true }
#endif
#endif
  od
}
#endif

#ifdef CUT
/* Renews contact with a Nginx that missed something. An attempt fails before it counts or later. */
proctype Renewer() {
  byte mine;
end:
  do
  :: atomic { missed && !renewing && renewals < RENEWALS ->
       renewals++; renewing = true; mine = term
     };
     if
#ifdef NO_RAISE_ALL
     /* Guard: the first message on renewed contact raises every slot. */
     :: skip
#else
     :: raise_all()
#endif
     :: goto answered_not
     fi;
     if
#ifdef OLD_LEADER_WRITES
     /* Guard: marks and watermark are written in the session that holds the lock. */
     :: atomic { missed = false; renewing = false }
#else
     :: atomic { term == mine -> missed = false; renewing = false }
#endif
     :: true ->
answered_not:
        atomic {
          if
          :: term == mine -> renewing = false
          :: else
          fi
        }
     fi
  od
}
#endif
#endif

#ifdef JOIN
byte loads;                    /* how many loads have begun */
byte loading[2];               /* the load of each tag that is under way */
byte loaded[2 * READERS + 1];  /* what each load gave */
#endif

/* A read through Nginx. Its answer is held against what was answered when it began. */
proctype Reader(byte number) {
  byte needA, needB, gotA, gotB, value;
  byte t, at;
#ifdef JOIN
  byte arrived, turn;
#endif
  atomic {
    readers == number - 1 -> readers = number; key[number] = KEY;
#ifdef JOIN
    arrived = loads;
#endif
    if
    /* The declared exception: no promise through a Nginx that missed something. */
    :: !missed -> needA = answered[A]; needB = answered[B]
    :: else
    fi;
#ifdef FINE
  };
  atomic {
#endif
    if
    /* A file of this version, young or (the app is down) old: the answer is HIT or STALE. */
    :: key[number] != NO_KEY && stored[key[number]] ->
       gotA = storedA[key[number]]; gotB = storedB[key[number]]; goto check
#ifdef STALE_OF_OLDER_VERSION
    /* Guard: what Nginx serves when the app is down has the current version in its key, too. */
    :: version > 0 && stored[KEY - 1] ->
       gotA = storedA[KEY - 1]; gotB = storedB[KEY - 1]; goto check
#endif
    /* There is none, or it has expired. */
    :: BEGIN_WORK
    fi
  };
  do
  :: true ->
look:
     if
     :: atomic { BELIEVED(t) -> value = kept[t] }
     /* Also where a value is believed: it may have expired. The look is one MGET. */
     :: atomic {
          stamp[number] = (lease -> generation : 0);
#ifdef JOIN
        };
        atomic {
          if
          :: loading[t] == 0 -> loads++; loading[t] = loads; turn = loads
#ifdef JOIN_OLD_LOAD
          /* Guard: Cache.#missed takes an answer only if its load began after the reader came. */
          :: loading[t] != 0 -> turn = loading[t]; goto join
#else
          :: loading[t] > arrived -> turn = loading[t]; goto join
          :: loading[t] != 0 && loading[t] <= arrived ->
             turn = loading[t]; stamp[number] = 0; goto wait
#endif
          fi
#endif
        };
#ifdef POSITION_AFTER_ROWS
        /* Guard: Cache.#fromDatabase reads the position first. */
        value = row[t];
        at = head;
#else
#ifdef FINE
        at = head;
        value = row[t];
#else
        /* A value that is newer than its position is only believed less often. */
        atomic { at = head; value = row[t] };
#endif
#endif
        atomic {
#ifdef GENERATION_AT_PUT
          /* Guard: a value is kept under the generation that the look-up saw. */
          stamp[number] = (lease -> generation : 0);
#endif
          if
          /* The PUT script. These two conditions save misses; the promise holds without them. */
          :: stamp[number] == 0 || floor[t] > at ||
             (keptUnder[t] == stamp[number] && keptAt[t] > at)
          :: else -> kept[t] = value; keptAt[t] = at; keptUnder[t] = stamp[number]
          fi;
          stamp[number] = 0; at = 0;
#ifdef JOIN
          loaded[turn] = value; loading[t] = 0; turn = 0;
#endif
        }
     fi;
     atomic {
#ifdef JOIN
       goto have;
join:
       loading[t] != turn -> value = loaded[turn]; stamp[number] = 0; turn = 0;
have:
#endif
       if
       :: t == A -> gotA = value; value = 0; t = B
       :: else -> gotB = value; value = 0; t = A; break
       fi
     }
#if defined(JOIN) && !defined(JOIN_OLD_LOAD)
     ;
     goto look;
wait:
     atomic { loading[t] != turn -> turn = 0 }
#endif
  od;
  atomic {
    if
    :: key[number] == NO_KEY
    :: else ->
       stored[key[number]] = true; storedA[key[number]] = gotA; storedB[key[number]] = gotB
    fi;
    END_WORK;
check:
    assert(gotA >= needA && gotB >= needB);
    gotA = 0; gotB = 0; needA = 0; needB = 0; key[number] = NO_KEY
  }
}

/* Stands in every state for readers that find all they need at once, in Redis or in Nginx. */
#define FRESH_KEPT(t) (!BELIEVED(t) || kept[t] >= answered[t])
#define FRESH_STORED (missed || !stored[KEY] || \
  (storedA[KEY] >= answered[A] && storedB[KEY] >= answered[B]))

proctype QuickReader() {
end:
  atomic { !(FRESH_KEPT(A) && FRESH_KEPT(B) && FRESH_STORED) -> assert(false) }
}

#ifdef RESTART
proctype Restart() {
  atomic {
    version = 0;
#ifndef NO_EPOCH
    /* Guard: the epoch in the key, drawn at random when there is no dictionary yet. */
    epoch = 1
#endif
  }
}
#endif

#ifdef VERSIONS_EXPIRE
/* Guard: slots have no expiry, and the dictionary has room for all of them. */
proctype Expiry() {
  version = 0
}
#endif

#ifdef FLUSH
proctype Flush() {
  d_step {
    floor[A] = 0; floor[B] = 0;
#ifndef LEASE_SURVIVES_RESTART
    /* Guard: Redis starts without a lease, as it may have lost the newest floors. */
    lease = false;
    kept[A] = 0; keptAt[A] = 0; keptUnder[A] = 0;
    kept[B] = 0; keptAt[B] = 0; keptUnder[B] = 0
#endif
  }
}
#endif

#ifdef RESTORE
/* The backup was made before the first write. Redis keeps its floors; the lease is a new one. */
proctype Restore() {
end:
  d_step {
    writes > 0 && working == 0 ->
    head = 0; row[A] = 0; row[B] = 0; answered[A] = 0; answered[B] = 0; next_generation()
  }
}
#endif

/* Everything is cached already, as it was before the first write. */
init {
  byte i;
  atomic {
    key[1] = NO_KEY; key[READERS] = NO_KEY;
    stored[KEY] = true;
    run QuickReader();
    for (i : 1 .. WRITERS) { run Writer(i) }
    for (i : 1 .. READERS) { run Reader(i) }
    i = 0;
#ifdef LEADER
    run Leader();
#if defined(LEASE) || defined(FLUSH)
    run Keeper();
#endif
#ifdef CUT
    run Renewer();
#endif
#endif
#ifdef RESTART
    run Restart();
#endif
#ifdef VERSIONS_EXPIRE
    run Expiry();
#endif
#ifdef FLUSH
    run Flush();
#endif
#ifdef RESTORE
    run Restore();
#endif
  }
}
