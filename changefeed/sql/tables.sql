-- The tables of changefeed as they are today. Everything lives in the schema "changefeed" and belongs to the role
-- that installs it; nothing is granted to anybody else, because the application's role needs none of it.

-- Alembic keeps its version table there, so it may be there already, made by somebody who may make schemas. IF NOT EXISTS
-- would ask for that right in any case.
do $schema$
begin
  if to_regnamespace('changefeed') is null then
    create schema changefeed;
  end if;
end
$schema$;
revoke all on schema changefeed from public;

-- Every change, newest at the end. A window on the recent past, never an archive: the truth is in the application's
-- own tables. All columns are nullable and free of constraints, because an INSERT that fails here would break the
-- application's write. The sequence is not cached: inside one snapshot window its order is the order of row locks,
-- which a cache per backend would break.
create sequence changefeed.event_seq cache 1;

create table changefeed.event (
  seq        bigint default nextval('changefeed.event_seq'),  -- order inside a window, and the event's id with the epoch
  xid        xid8 default pg_current_xact_id(),               -- the writing transaction: what a cursor compares
  at         timestamptz default clock_timestamp(),           -- when the row was written; the time of commit is not knowable
  source     text,                                            -- schema-qualified name of the watched table
  op         text,                                            -- insert | update | delete | leave | bulk | truncate | error
  key        jsonb,                                           -- the primary key, as an object
  owner      text,                                            -- who may see it; null: nobody (bulk, truncate, error: everybody)
  owner_kind text,                                            -- keeps users and, say, organisations apart
  data       jsonb,                                           -- watched columns: the new values; of a delete, the former ones
  before     jsonb,                                           -- former values of the watched columns that changed
  partial    boolean,                                         -- true: too large, data holds the key alone
  seen       pg_snapshot,                                     -- the writer's snapshot, where it is not a fresh one (repeatable read)
  slot       smallint                                         -- which leaf: chosen by the clock, see changefeed.slot()
) partition by list (slot);

alter sequence changefeed.event_seq owned by changefeed.event.seq;

-- One row a leaf: when it was sealed, and what could be seen then. See changefeed.rotate().
create table changefeed.leaf (
  slot      smallint primary key,  -- -1: the default one
  relation  regclass not null,
  sealed_at timestamptz,   -- null: writers may still be adding to it
  snapshot  pg_snapshot    -- everything in the leaf is visible in it
);

-- Counts the transactions that were not captured because nobody had extended the lease. A sequence, because a writer must
-- neither wait for another one nor lose the mark with its transaction. Where the clock jumps ahead and back, nothing else
-- remembers that they were.
create sequence changefeed.uncaptured cache 1;

-- One row. The settings that the database itself must know, and the lease that lets capture run.
create table changefeed.state (
  singleton      boolean primary key default true check (singleton),
  until          timestamptz not null,                            -- capture stops by itself when no relay has extended this
  lapsed         xid8[] not null default '{}',                    -- who wrote when it had stopped, and had not ended: see extend
  uncaptured     bigint not null default 0,                       -- changefeed.uncaptured, as far as everybody has refetched
  max_absence    interval not null default interval '24 hours',   -- how long a relay may be away
  retention      interval not null default interval '24 hours',   -- how long events are kept, at least
  doorbell       boolean not null default true,                   -- false: never NOTIFY, the relay only polls
  floor          pg_snapshot,                                     -- cursors that do not include this are too old; null: none is
  capture_errors bigint not null default 0,                       -- errors in leaves that have been emptied since
  watch_changes  bigint not null default 0,                       -- counts watch, unwatch, pause and resume: relays look
  kicks          bigint not null default 0,                       -- counts the calls of kick: processes look
  inquiries      bigint not null default 0                        -- counts the calls of inquire: processes answer
);
insert into changefeed.state (until) values (now() + interval '24 hours');

-- Identity of the log. Unlogged, so that crash recovery and promotion empty it: whoever finds it empty begins a new
-- epoch, and cursors of the former one are answered with a resync. See changefeed.epoch().
create unlogged table changefeed.epoch (
  singleton  boolean primary key default true check (singleton),
  id         uuid not null default gen_random_uuid(),
  began_at   timestamptz not null default now(),
  started_at timestamptz not null default pg_postmaster_start_time(),  -- of the server; a cold copy keeps the uuid, not this
  prepared   text[] not null default '{}'                              -- transactions that were prepared when it began
);

-- One row a watched table.
create table changefeed.watch (
  id         integer generated always as identity primary key,
  relation   regclass not null unique,
  source     text not null,              -- its name in events
  owner      text not null,              -- a column, or an expression over the row alias r
  owner_kind text not null,
  key        text[] not null,            -- the primary key's columns
  columns    text[] not null,            -- the watched ones
  parents    regclass[] not null default '{}',  -- tables that the owner expression reads
  bulk_rows  integer not null,
  fail_closed boolean not null,
  paused     boolean not null default false,
  version    integer not null,           -- of the generated trigger functions
  functions  jsonb not null default '{}',  -- these, with the sha256 of each one's body: doctor sees that one was changed
  watched_at timestamptz not null default now()
);

-- Users whose connections were ended, and since when their older tokens are refused. A row and not a notification,
-- because any role may NOTIFY. See changefeed.kick().
create table changefeed.kick (
  user_id text primary key,
  at      timestamptz not null default clock_timestamp()
);

-- Single-use tickets for browsers that cannot send a header: a digest, never the ticket itself. A row, so that any
-- process may redeem what another has issued, once.
create unlogged table changefeed.ticket (
  digest     bytea primary key,
  claims     jsonb not null,
  expires_at timestamptz not null
);
create index ticket_expires_at on changefeed.ticket (expires_at);  -- for the sweep, which every issue does

-- How many connections a user has with a process: what the cap over all processes is reckoned from. See changefeed.attend().
create unlogged table changefeed.presence (
  who         bytea,                  -- a digest of the user's id
  backend     integer,                -- the database session of the process's listener
  started_at  timestamptz not null,   -- when that session began: a number may be given out again
  connections integer not null,
  primary key (who, backend)
);

-- What `changefeed explain` asks every process: who of this owner's is connected with you? And the answers. They are read at
-- once, and swept by whoever asks next. See changefeed.inquire().
create unlogged table changefeed.inquiry (
  id         bigint generated always as identity primary key,
  owner_kind text not null,
  owner      text not null,
  at         timestamptz not null default clock_timestamp()
);

create unlogged table changefeed.testimony (
  inquiry bigint references changefeed.inquiry on delete cascade,
  backend integer,                    -- the database session of the answering process's listener
  answer  jsonb not null,
  primary key (inquiry, backend)
);

-- The leaves. Unlogged: no WAL for them and nothing shipped to replicas. The DEFAULT one takes what finds no other,
-- so that a missing leaf never breaks a write; the indexes go down to every leaf, also to one that is attached later.
create index event_xid on changefeed.event (xid);
create index event_owner on changefeed.event (owner, xid);
create index event_refetch on changefeed.event (xid) where op in ('bulk', 'truncate', 'error');

do $leaves$
declare
  name text;
begin
  for slot in 0 .. 7 loop
    name := format('event_%s', slot);
    execute format('create unlogged table changefeed.%I partition of changefeed.event for values in (%s)', name, slot);
    insert into changefeed.leaf (slot, relation) values (slot, format('changefeed.%I', name)::regclass);
  end loop;
  create unlogged table changefeed.event_default partition of changefeed.event default;
  insert into changefeed.leaf (slot, relation) values (-1, 'changefeed.event_default');
end
$leaves$;
