-- The tables of changefeed as they are today. Everything lives in the schema "changefeed" and belongs to the role
-- that installs it; nothing is granted to anybody else, because the application's role needs none of it.

create schema if not exists changefeed;  -- Alembic keeps its version table there, so it may be
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
  slot      smallint primary key,
  relation  regclass not null,
  sealed_at timestamptz,   -- null: writers may still be adding to it
  snapshot  pg_snapshot    -- everything in the leaf is visible in it
);

-- One row. The settings that the database itself must know, and the lease that lets capture run.
create table changefeed.state (
  singleton      boolean primary key default true check (singleton),
  until          timestamptz not null,                            -- capture stops by itself when no relay has extended this
  max_absence    interval not null default interval '24 hours',   -- how long a relay may be away
  retention      interval not null default interval '24 hours',   -- how long events are kept, at least
  doorbell       boolean not null default true,                   -- false: never NOTIFY, the relay only polls
  floor          pg_snapshot,                                     -- cursors that do not include this are too old; null: none is
  capture_errors bigint not null default 0,                       -- errors in leaves that have been emptied since
  watch_changes  bigint not null default 0,                       -- counts watch, unwatch, pause and resume: relays look
  kicks          bigint not null default 0                        -- counts the calls of kick: processes look
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
end
$leaves$;

-- Purpose:   the identity of the log as it is, see changefeed.begin_epoch().
-- Returns:   sixteen hexadecimal digits; null where none has begun since the server lost it
-- Locks:     none
-- Called by: changefeed.begin_epoch, every poll of the log
create function changefeed.epoch() returns text
language sql stable
as $epoch$
  select left(encode(sha256(convert_to(concat_ws('/', e.id, c.system_identifier, d.oid, pg_postmaster_start_time()),
                                       'UTF8')), 'hex'), 16)
    from changefeed.epoch e, pg_control_system() c, pg_database d
   where d.datname = current_database() and e.started_at = pg_postmaster_start_time()
$epoch$;

-- Purpose:   the leaf that an event of this moment belongs to: a ring of eight, five of them the retention.
-- Returns:   0 to 7, from the clock. The width of a slot is a constant that changefeed.configure() bakes in, so that
--            the default of event.slot reads no table and is inlined into the INSERT.
-- Locks:     none
-- Called by: the default of changefeed.event.slot
create function changefeed.slot() returns smallint
language sql volatile
return ((extract(epoch from clock_timestamp()) / 17280)::bigint % 8)::smallint;

alter table changefeed.event alter column slot set default changefeed.slot();

-- Purpose:   the identity of the log: what it is now, beginning a new one where the old has ended.
-- Parameters: renew: begin a new one in any case (capture had stopped, so that changes are missing)
-- Returns:   sixteen hexadecimal digits. They stand for the uuid in the unlogged row (emptied by a crash and by
--            promotion), the cluster, the database and the start of its server (a copy keeps the uuid, not these).
-- Locks:     EXCLUSIVE on changefeed.epoch, so that two relays begin one epoch and not two
-- Called by: the relay when it connects, and when a prepared transaction of before has ended
create function changefeed.begin_epoch(renew boolean default false) returns text
language plpgsql
as $begin_epoch$
begin
  lock table changefeed.epoch in exclusive mode;
  if renew or not exists (select from changefeed.epoch e where e.started_at = pg_catalog.pg_postmaster_start_time()) then
    delete from changefeed.epoch;
    insert into changefeed.epoch (prepared)
      select coalesce(array_agg(p.gid), '{}') from pg_catalog.pg_prepared_xacts p
       where p.database = pg_catalog.current_database();
    -- Transaction ids may be given out again after a crash or a restore: rows from the future would be delivered late
    -- and to cursors that mean something else.
    delete from changefeed.event e where e.xid >= pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot());
  elsif exists (select from changefeed.epoch e, unnest(e.prepared) as gid
                 where gid not in (select p.gid from pg_catalog.pg_prepared_xacts p)) then
    -- It was prepared before, and has ended since: rows that it wrote to the emptied leaves are lost.
    delete from changefeed.epoch;
    insert into changefeed.epoch (prepared)
      select coalesce(array_agg(p.gid), '{}') from pg_catalog.pg_prepared_xacts p
       where p.database = pg_catalog.current_database();
  end if;
  return changefeed.epoch();
end
$begin_epoch$;

-- Purpose:   the text of a watch's trigger function, with {{placeholders}} that changefeed.watch() fills with literal
--            column names. Literal, because a generic to_jsonb(new) costs three times as much and cannot tell which
--            column is too large.
-- Returns:   plpgsql source
-- Locks:     none (what the trigger function takes is said below, where it takes it)
-- Called by: changefeed.watch
--
-- What a trigger function must never do is break the application's write. So whatever can fail (a column that is
-- gone, an owner that does not resolve) stands in the EXCEPTION block, which only reads and therefore uses no
-- sub-transaction id; and the INSERT stands outside of it, into columns that accept everything.
--
-- changefeed.captured_<id>, local to the transaction, counts the rows captured from this table; "stopped" means that
-- the rest of the transaction needs no capture (an error or a bulk event has told everybody to refetch). A setting
-- rather than a table row, because it falls back with its savepoint just as the events and the bell do.
create function changefeed.capture_template() returns text
language sql immutable
return $capture$
#variable_conflict use_column -- an owner expression means its tables' columns, never a variable here
declare
  captured text := current_setting('changefeed.captured_{{id}}', true);
  n        integer;
  op       text;
  key      jsonb;
  data     jsonb;
  before   jsonb;
  owner    text;
  was_key  jsonb;       -- key and owner before this update, where they differ
  was_data jsonb;
  was      text;
  leaves   text;        -- the op that tells the former owner
  partial  boolean;
  leased   boolean := true;
  ring     boolean := true;
  error    text;
  code     text;
begin
  if captured = 'stopped' or current_setting('changefeed.skip', true) in ('on', 'true', 'yes', '1') then
    return null;
  end if;

  if tg_op = 'TRUNCATE' then
    -- Truncating a partitioned table fires once a partition: say it once, unless rows were captured in between.
    if current_setting('changefeed.truncated_{{id}}', true) = 'at ' || coalesce(captured, '') then
      return null;
    end if;
    op := 'truncate';
  else
    {{guard}}
      if tg_op = 'INSERT' then
        op := 'insert';
        key := {{key_new}};
        data := {{data_new}};
        owner := {{owner_new}};
      elsif tg_op = 'DELETE' then
        op := 'delete';
        key := {{key_old}};
        data := {{data_old}};
        owner := {{owner_old}};
      else
        {{diff}}
        owner := {{owner_new}};
        was := owner;
        if {{owner_moved}} then
          was := {{owner_old}};
        end if;
        if {{key_moved}} then
          leaves := 'delete';
          was_data := {{data_old}};
        elsif was is distinct from owner then
          leaves := 'leave';
        elsif before is null then
          return null;
        end if;
        key := {{key_new}};
        data := {{data_new}};
        op := 'update';
        if leaves is not null then
          op := 'insert';
          before := null;
          was_key := {{key_old}};
        end if;
      end if;
    {{unguard}}
  end if;

  n := case when captured ~ '^[0-9]{1,9}$' then captured::integer else 0 end + 1;

  if n = 1 then
    -- Once a transaction and table: may we capture at all (no relay for too long: stop, before the disk is full), and
    -- must we ring? The shared lock "asleep" is granted while the relay is awake, and then keeps it awake until this
    -- transaction has ended and is visible. Refused: it sleeps, so NOTIFY. The try never waits. Reading alone may
    -- fail here (a full lock table, state gone): then capture, and ring.
    begin
      select s.until > clock_timestamp(),
             s.doorbell and not pg_try_advisory_xact_lock_shared(1667785319, 1)
        into leased, ring from changefeed.state s;
    exception when others then
      leased := true;
      ring := true;
    end;
    if not leased then
      perform set_config('changefeed.captured_{{id}}', 'stopped', true);
      return null;
    end if;
  end if;

  if error is not null then
    insert into changefeed.event (source, op, data)
      values ({{source}}, 'error', jsonb_build_object('message', error, 'sqlstate', code));
    perform set_config('changefeed.captured_{{id}}', 'stopped', true);
  elsif op = 'truncate' then
    insert into changefeed.event (source, op) values ({{source}}, op);
    perform set_config('changefeed.captured_{{id}}', n::text, true);
    perform set_config('changefeed.truncated_{{id}}', 'at ' || n, true);
  elsif n > {{bulk_rows}} then
    insert into changefeed.event (source, op, data) values ({{source}}, 'bulk', '{"reason": "bulk"}');
    perform set_config('changefeed.captured_{{id}}', 'stopped', true);
  else
    if leaves is not null then
      if pg_column_size(was_data) > 65536 then
        partial := true;
        was_data := was_key;
      end if;
      insert into changefeed.event (source, op, key, owner, owner_kind, data, partial, seen)
        values ({{source}}, leaves, was_key, was, {{owner_kind}}, was_data, partial,
                case when current_setting('transaction_isolation') <> 'read committed' then pg_current_snapshot() end);
      partial := null;
    end if;
    if pg_column_size(data) + coalesce(pg_column_size(before), 0) > 65536 then
      partial := true;
      data := key;
      before := null;
    end if;
    insert into changefeed.event (source, op, key, owner, owner_kind, data, before, partial, seen)
      values ({{source}}, op, key, owner, {{owner_kind}}, data, before, partial,
              case when current_setting('transaction_isolation') <> 'read committed' then pg_current_snapshot() end);
    perform set_config('changefeed.captured_{{id}}', n::text, true);
  end if;

  if n = 1 and ring then
    perform pg_notify('changefeed', {{source}});
  end if;
  return null;
end
$capture$;

-- Purpose:   change what the database itself must know: how long events are kept, how long a relay may be away before
--            capture stops, and whether writers may ring.
-- Parameters: each may be null: as it was. retention at least 1 s.
-- Raises:    where a duration is not positive
-- Locks:     the row of changefeed.state
-- Called by: the relay when it starts, administrators
create function changefeed.configure(
  retention interval default null, max_absence interval default null, doorbell boolean default null
) returns void
language plpgsql
as $configure$
begin
  if retention < interval '1 second' or max_absence < interval '1 second' then
    raise exception 'changefeed: retention and max_absence must be at least one second';
  end if;
  update changefeed.state s
     set retention = coalesce(configure.retention, s.retention),
         max_absence = coalesce(configure.max_absence, s.max_absence),
         doorbell = coalesce(configure.doorbell, s.doorbell);
  -- The ring holds eight slots, five of them the retention: one is being filled, one sealed, one is spare.
  if retention is not null then
    execute format('create or replace function changefeed.slot() returns smallint language sql volatile '
                   'return ((extract(epoch from clock_timestamp()) / %s)::bigint %% 8)::smallint',
                   extract(epoch from retention) / 5);
  end if;
end
$configure$;

-- Purpose:   the text of a comparison: does this column's value differ between NEW and OLD?
-- Returns:   IS DISTINCT FROM for types whose equality is sameness. Otherwise the comparison of row images, which also
--            works for types without an equality (json, point) and sees what equality hides (citext, 1.0 and 1.00).
-- Locks:     none
-- Called by: changefeed.watch
create function changefeed.differs(relation regclass, name text) returns text
language sql stable set search_path = pg_catalog
as $differs$
  select case
           when t.typtype = 'e'
             or t.oid in ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype,
                          'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
             or (t.oid in ('text'::regtype, 'varchar'::regtype) and c.collisdeterministic)
           then format('new.%1$I is distinct from old.%1$I', name)
           else format('record_image_ne(row(new.%1$I), row(old.%1$I))', name)
         end
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    left join pg_collation c on c.oid = a.attcollation
   where a.attrelid = relation and a.attname = differs.name
$differs$;

-- Purpose:   the relay is here: let capture go on for another max_absence.
-- Returns:   true where capture had stopped meanwhile, so that changes are missing and a new epoch must begin
-- Locks:     the row of changefeed.state
-- Called by: the leading relay, every few minutes
create function changefeed.extend() returns boolean
language sql
as $extend$
  update changefeed.state s set until = clock_timestamp() + s.max_absence
    from (select until < clock_timestamp() as expired from changefeed.state for update) as former
  returning former.expired
$extend$;

-- Purpose:   the columns of a table's primary key.
-- Returns:   their names, in the key's order
-- Raises:    where there is none, or where it is deferrable (two rows could share a key inside a transaction)
-- Locks:     none
-- Called by: changefeed.watch
create function changefeed.key_of(relation regclass) returns text[]
language plpgsql stable set search_path = pg_catalog
as $key_of$
declare
  columns   text[];
  immediate boolean;
begin
  select i.indimmediate,
         (select array_agg(a.attname::text order by k.nr)
            from unnest(i.indkey::int2[]) with ordinality as k (attnum, nr)
            join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
           where k.nr <= i.indnkeyatts)
    into immediate, columns
    from pg_index i
   where i.indrelid = key_of.relation and i.indisprimary;
  if columns is null then
    raise exception 'changefeed cannot watch %: it has no primary key', relation
      using hint = format('Add one: alter table %s add primary key (…).', relation);
  elsif not immediate then
    raise exception 'changefeed cannot watch %: its primary key is deferrable', relation
      using hint = 'Make the primary key NOT DEFERRABLE: two rows could share a key within a transaction.';
  end if;
  return columns;
end
$key_of$;

-- Purpose:   end a user's connections in every process, and refuse tokens and tickets that were issued before now. A row
--            and a counter that the processes look at, not a notification: any role may NOTIFY. Each call moves the
--            moment forward, even where the clock went back, so that no call goes unnoticed. To lift it, delete the row
--            and add one to changefeed.state.kicks.
-- Parameters: user_id, the `sub` of the tokens
-- Raises:    where user_id is null or empty
-- Locks:     the user's row of changefeed.kick, the row of changefeed.state: call it in a short transaction
-- Called by: administrators, `changefeed kick`
create function changefeed.kick(user_id text) returns void
language plpgsql
as $kick$
begin
  if user_id is null or user_id = '' then
    raise exception 'changefeed: whom to kick is missing' using hint = 'Call changefeed.kick with the sub of the user''s tokens.';
  end if;
  -- The constraint by name: the column would be taken for the parameter.
  insert into changefeed.kick as k (user_id) values ($1)
    on conflict on constraint kick_pkey do update set at = greatest(excluded.at, k.at + interval '1 microsecond');
  update changefeed.state s set kicks = s.kicks + 1;
  perform pg_catalog.pg_notify('changefeed', '') from changefeed.state s where s.doorbell;
end
$kick$;
revoke all on function changefeed.kick(text) from public;

-- Purpose:   switch the capture of one table off for a while, for everybody. What is written meanwhile is not seen.
--            To silence one's own transaction alone: set local changefeed.skip = on.
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on the table, waiting at most 3 s
-- Called by: administrators
create function changefeed.pause("table" regclass) returns void
language plpgsql
as $pause$
begin
  perform changefeed.switch($1, 'disable');
  update changefeed.watch w set paused = true where w.relation = $1;
end
$pause$;

-- Purpose:   an object of some columns of NEW or OLD, as the text of an expression for a trigger function.
-- Parameters: row_name 'new' or 'old'; columns, at least one
-- Returns:   jsonb_build_object('a', new.a, …), in pieces of fifty, because a function takes at most 100 arguments
-- Locks:     none
-- Called by: changefeed.watch
create function changefeed.pick(row_name text, columns text[]) returns text
language sql immutable set search_path = pg_catalog
as $pick$
  select string_agg(format('jsonb_build_object(%s)', piece), ' || ' order by nr)
    from (select (position - 1) / 50 as nr,
                 string_agg(format('%L, %s.%I', name, row_name, name), ', ' order by position) as piece
            from unnest(columns) with ordinality as c (name, position)
           group by 1) as pieces
$pick$;

-- Purpose:   prove that an owner expression runs, and learn which columns of the row it reads. Its text becomes a view
--            for a moment: the server then knows its dependencies better than any parsing of ours would.
-- Parameters: relation, source (its name, for messages), expression, runs_as (the role that trigger functions run as)
-- Returns:   the columns of the row that decide about the owner, possibly none
-- Raises:    where the expression does not run, or uses the row as a whole
-- Locks:     ACCESS SHARE on the tables it reads
-- Called by: changefeed.watch
create function changefeed.probe(relation regclass, source text, expression text, runs_as regrole) returns text[]
language plpgsql
as $probe$
declare
  reads text[];
begin
  begin
    execute format('create view changefeed.owner_probe as select (%s)::text as owner from %s as r', expression, relation);
    execute format('alter view changefeed.owner_probe owner to %s', runs_as);
    execute 'select owner from changefeed.owner_probe limit 1';
  exception when others then
    raise exception 'changefeed cannot watch %: its owner expression does not run: %', source, sqlerrm
      using errcode = sqlstate,
            hint = format('It runs as %s, over the row alias r, and must give one value: %s', runs_as, expression);
  end;
  select coalesce(array_agg(distinct a.attname::text), '{}') into reads
    from pg_catalog.pg_depend d
    join pg_catalog.pg_rewrite w on w.oid = d.objid
    join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and a.attnum > 0
   where d.classid = 'pg_catalog.pg_rewrite'::regclass and w.ev_class = 'changefeed.owner_probe'::regclass
     and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = relation;
  drop view changefeed.owner_probe;
  begin
    execute format('create view changefeed.owner_probe as select (%s)::text as owner from (select %s from %s) as r',
                   expression, coalesce(nullif((select string_agg(quote_ident(c), ', ') from unnest(reads) as c), ''), '1'),
                   relation);
  exception when others then
    raise exception 'changefeed cannot watch %: its owner expression uses the row r as a whole', source
      using hint = format('Name the columns that it uses, as in r.workflow_id: %s', expression);
  end;
  drop view changefeed.owner_probe;
  return reads;
end
$probe$;

-- Purpose:   switch the capture of one table on again, and tell everybody who watches it to refetch, because what was
--            written during the pause is not in the log.
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on the table, waiting at most 3 s
-- Called by: administrators
create function changefeed.resume("table" regclass) returns void
language plpgsql
as $resume$
begin
  perform changefeed.switch($1, 'enable');
  update changefeed.watch w set paused = false where w.relation = $1;
  insert into changefeed.event (source, op, data)
    select w.source, 'bulk', '{"reason": "bulk"}' from changefeed.watch w where w.relation = $1;
  perform pg_catalog.pg_notify('changefeed', '') from changefeed.state s where s.doorbell;
end
$resume$;

-- Purpose:   retention. Seal the leaves whose time is over, and empty those that were sealed longer ago than retention.
-- Returns:   how many leaves were emptied
-- Locks:     SHARE on a leaf to seal it, ACCESS EXCLUSIVE on a leaf to empty it, both NOWAIT: a TRUNCATE that waits
--            would make every writer wait behind it. What is busy is left for the next call.
-- Called by: the leading relay, a few times per slot
--
-- Algorithm. To empty a leaf is only right if we can say afterwards which cursors have lost something. Naive: compare
-- times; but a transaction may write now and commit tomorrow. So a leaf is sealed once its slot is over and nobody is
-- writing to it (SHARE conflicts with every writer until his transaction ends): from then on everything in it is
-- visible in the snapshot taken then, F. A cursor that includes F has seen the whole leaf; one that does not, may
-- have missed rows of it, and is refused once the leaf is empty: F becomes the floor, in the same transaction.
-- A slot is sealed one second after its end at the earliest, because a backend may be paused between the computation
-- of its slot and the locking of the leaf.
create function changefeed.rotate() returns integer
language plpgsql
as $rotate$
declare
  width    double precision;
  keep     interval;
  leaf     changefeed.leaf;
  busy     smallint[];
  emptied  integer := 0;
  occupied boolean;
begin
  select extract(epoch from s.retention) / 5, s.retention into width, keep from changefeed.state s for update;
  busy := array[((extract(epoch from clock_timestamp()) / width)::bigint % 8)::smallint,
                ((extract(epoch from clock_timestamp() - interval '1 second') / width)::bigint % 8)::smallint,
                changefeed.slot()];
  for leaf in select * from changefeed.leaf l where l.slot <> all (busy) order by l.sealed_at nulls last loop
    begin
      if leaf.sealed_at is null then
        execute format('select exists (select from only %s)', leaf.relation) into occupied;
        if occupied then
          execute format('lock table only %s in share mode nowait', leaf.relation);
          update changefeed.leaf l set sealed_at = clock_timestamp(), snapshot = pg_catalog.pg_current_snapshot()
           where l.slot = leaf.slot;
        end if;
      elsif leaf.sealed_at < clock_timestamp() - keep then
        execute format('lock table only %s in access exclusive mode nowait', leaf.relation);
        -- A row that the seal cannot see came late (a paused backend, a clock set back): seal it anew.
        execute format('select exists (select from only %s e where not pg_catalog.pg_visible_in_snapshot(e.xid, $1))',
                       leaf.relation) into occupied using leaf.snapshot;
        if occupied then
          update changefeed.leaf l set sealed_at = null, snapshot = null where l.slot = leaf.slot;
        else
          execute format('update changefeed.state s set floor = $1, capture_errors = s.capture_errors + '
                         '(select count(*) from only %s e where e.op = ''error'')', leaf.relation) using leaf.snapshot;
          execute format('truncate only %s', leaf.relation);
          update changefeed.leaf l set sealed_at = null, snapshot = null where l.slot = leaf.slot;
          emptied := emptied + 1;
        end if;
      end if;
    exception when lock_not_available then
      continue;
    end;
  end loop;
  delete from only changefeed.event_default e where e.at < clock_timestamp() - keep - keep;
  return emptied;
end
$rotate$;

-- Purpose:   enable or disable all triggers of one watch.
-- Parameters: relation; verb 'enable' or 'disable'
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on the table, waiting at most 3 s
-- Called by: changefeed.pause, changefeed.resume
create function changefeed.switch(relation regclass, verb text) returns void
language plpgsql
set lock_timeout = '3s'
as $switch$
declare
  watch_id integer := (select w.id from changefeed.watch w where w.relation = $1);
  trigger  record;
begin
  if watch_id is null then
    raise exception 'changefeed does not watch %', relation
      using hint = format('Call changefeed.watch(%L, …) first.', relation);
  end if;
  for trigger in select * from changefeed.triggers_of(watch_id) loop
    execute format('alter table %s %s trigger %I', trigger.relation, verb, trigger.name);
  end loop;
  update changefeed.state s set watch_changes = s.watch_changes + 1;
end
$switch$;

-- Purpose:   the triggers of one watch that may be altered or dropped: those on partitions that follow their parent's
--            are left out.
-- Locks:     none
-- Called by: changefeed.unwatch, changefeed.pause, changefeed.resume, the status command
create function changefeed.triggers_of(watch_id integer)
  returns table (relation regclass, name text, enabled boolean)
language sql stable set search_path = pg_catalog
as $triggers_of$
  select t.tgrelid::regclass, t.tgname::text, t.tgenabled <> 'D'
    from pg_trigger t
    join pg_proc p on p.oid = t.tgfoid
    join pg_namespace n on n.oid = p.pronamespace
   where n.nspname = 'changefeed' and t.tgparentid = 0
     and p.proname in ('capture_' || watch_id, 'parent_' || watch_id)
   order by t.tgrelid, t.tgname
$triggers_of$;

-- Purpose:   stop capturing a table and remove everything that watch() installed on it. Idempotent: a table that is not
--            watched is left as it is. Events already recorded stay until retention takes them.
-- Returns:   whether it was watched
-- Locks:     ACCESS EXCLUSIVE on the table (DROP TRIGGER knows no less), waiting at most 3 s
-- Called by: administrators and migrations
create function changefeed.unwatch("table" regclass) returns boolean
language plpgsql
set lock_timeout = '3s'
as $unwatch$
declare
  relation alias for $1;
  watch_id integer := (select w.id from changefeed.watch w where w.relation = $1);
  trigger  record;
begin
  if watch_id is null then
    return false;
  end if;
  for trigger in select * from changefeed.triggers_of(watch_id) loop
    execute format('drop trigger %I on %s', trigger.name, trigger.relation);
  end loop;
  execute format('drop function changefeed.%I()', 'capture_' || watch_id);
  delete from changefeed.watch w where w.id = watch_id;
  update changefeed.state s set watch_changes = s.watch_changes + 1;
  return true;
end
$unwatch$;

-- Purpose:   capture the changes of a table from now on. Idempotent: called again it installs the new choice.
-- Parameters:
--   "table"      the table, partitioned or not; it must have a primary key, and the caller must own it
--   owner        a column, or an SQL expression over the row alias r that says who may see the row
--   columns      what events carry; by default everything but json, jsonb, bytea and virtual generated columns
--   owner_kind   what an owner is; a session must have the same kind and value to receive the row
--   bulk_rows    after so many rows of one transaction: one event "refetch" instead of more rows; 0: never
--   fail_closed  an error of the capture fails the application's write, instead of being recorded
-- Returns:   the table's name as it stands in events
-- Locks:     SHARE ROW EXCLUSIVE on the table and on those that the owner expression reads, waiting at most 3 s,
--            because whoever waits for it makes every later writer wait as well
-- Called by: administrators and migrations
create function changefeed.watch(
  "table"     regclass,
  owner       text,
  columns     text[] default null,
  owner_kind  text default 'user',
  bulk_rows   integer default 10000,
  fail_closed boolean default false
) returns text
language plpgsql
set lock_timeout = '3s'
as $watch$
<<watch>>
declare
  relation  alias for $1;
  me        regrole := (select n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'changefeed');
  source    text;
  key       text[];
  name      text;
  reads     text[];     -- columns of the table that the owner depends on
  id        integer;
  path      text;
  body      text;
  owner_of  text;
  leaf      regclass;
begin
  select n.nspname || '.' || c.relname into source
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where c.oid = relation and c.relkind in ('r', 'p') and not c.relispartition;
  if source is null then
    raise exception 'changefeed cannot watch %: it is not a table, or it is a partition of one', relation
      using hint = 'Watch a table; of a partitioned table, watch the parent: its partitions are then covered.';
  end if;
  if owner is null or owner = '' then
    raise exception 'changefeed cannot watch %: no owner was given', source
      using hint = 'Give the column that holds the owner, or an expression over the row alias r.';
  end if;
  if not pg_catalog.pg_has_role((select c.relowner from pg_catalog.pg_class c where c.oid = relation), 'usage') then
    raise exception 'changefeed cannot watch %: % does not own it', source, current_user
      using errcode = 'insufficient_privilege',
            hint = format('Run this as a member of %s (grant %s to %I), which need not be a superuser.',
                          (select c.relowner::regrole from pg_catalog.pg_class c where c.oid = relation),
                          (select c.relowner::regrole from pg_catalog.pg_class c where c.oid = relation), current_user);
  end if;

  key := changefeed.key_of(relation);

  foreach name in array coalesce(columns, '{}') loop
    if not exists (select from pg_catalog.pg_attribute a
                    where a.attrelid = relation and a.attname = watch.name and a.attnum > 0 and not a.attisdropped) then
      raise exception 'changefeed cannot watch %: it has no column %', source, quote_ident(name)
        using errcode = 'undefined_column', hint = 'Name columns as they are written in the catalog, without quotes.';
    elsif exists (select from pg_catalog.pg_attribute a
                   where a.attrelid = relation and a.attname = watch.name and a.attgenerated = 'v') then
      raise exception 'changefeed cannot watch %: % is a virtual generated column', source, quote_ident(name)
        using hint = 'A trigger cannot see its value. Make it STORED, or leave it out of columns.';
    end if;
  end loop;
  if columns is null then
    columns := (
      select array_agg(a.attname::text order by a.attnum)
        from pg_catalog.pg_attribute a
        join pg_catalog.pg_type t on t.oid = a.atttypid
       where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
         and coalesce(nullif(t.typbasetype, 0), t.oid) not in ('json'::regtype, 'jsonb'::regtype, 'bytea'::regtype));
  end if;
  if coalesce(cardinality(columns), 0) = 0 then
    columns := key;
  end if;

  insert into changefeed.watch as w (relation, source, owner, owner_kind, key, columns, bulk_rows, fail_closed, version)
    values (watch.relation, watch.source, watch.owner, watch.owner_kind, watch.key, watch.columns,
            watch.bulk_rows, watch.fail_closed, 1)
    on conflict on constraint watch_relation_key do update
      set source = excluded.source, owner = excluded.owner, owner_kind = excluded.owner_kind, key = excluded.key,
          columns = excluded.columns, bulk_rows = excluded.bulk_rows, fail_closed = excluded.fail_closed,
          paused = false, version = excluded.version, watched_at = now()
    returning w.id into watch.id;

  path := concat_ws(', ', 'pg_catalog',
                    (select string_agg(quote_ident(s), ', ')
                       from unnest(pg_catalog.current_schemas(false)) s where s <> 'pg_catalog' and s !~ '^pg_temp'),
                    'pg_temp');

  -- A column by that name, or an expression: its text becomes a view, which proves that it can run, and whose
  -- dependencies say which columns of the row and which other tables decide about the owner.
  if exists (select from pg_catalog.pg_attribute a
              where a.attrelid = relation and a.attname = watch.owner and a.attnum > 0 and not a.attisdropped) then
    reads := array[owner];
    owner_of := format('{{row}}.%I::text', owner);
  else
    reads := changefeed.probe(relation, source, owner, me);
    owner_of := case when cardinality(reads) = 0 then format('(select (%s)::text)', owner)
                else format('(select (%s)::text from (select %s) as r)', owner,
                            (select string_agg(format('{{row}}.%1$I as %1$I', c), ', ') from unnest(reads) as c)) end;
  end if;

  body := changefeed.capture_template();
  body := replace(body, '{{guard}}', case when fail_closed then '' else 'begin' end);
  body := replace(body, '{{unguard}}', case when fail_closed then '' else
    'exception when others then
      error := sqlerrm;
      code := sqlstate;
    end;' end);
  body := replace(body, '{{diff}}', (
    select string_agg(format('if %s then before := coalesce(before, ''{}'') || jsonb_build_object(%L, old.%I); end if;',
                             changefeed.differs(relation, c), c, c), e'\n        ' order by nr)
      from unnest(columns) with ordinality as u (c, nr)));
  body := replace(body, '{{owner_moved}}', coalesce(
    (select string_agg(changefeed.differs(relation, c), ' or ') from unnest(reads) as c), 'false'));
  body := replace(body, '{{key_moved}}',
    (select string_agg(changefeed.differs(relation, c), ' or ') from unnest(key) as c));
  body := replace(body, '{{key_new}}', changefeed.pick('new', key));
  body := replace(body, '{{key_old}}', changefeed.pick('old', key));
  body := replace(body, '{{data_new}}', changefeed.pick('new', columns));
  body := replace(body, '{{data_old}}', changefeed.pick('old', columns));
  body := replace(body, '{{owner_new}}', replace(owner_of, '{{row}}', 'new'));
  body := replace(body, '{{owner_old}}', replace(owner_of, '{{row}}', 'old'));
  body := replace(body, '{{source}}', quote_literal(source));
  body := replace(body, '{{owner_kind}}', quote_literal(owner_kind));
  body := replace(body, '{{bulk_rows}}', case when bulk_rows > 0 then bulk_rows else 2147483646 end::text);
  body := replace(body, '{{id}}', id::text);

  execute format('create or replace function changefeed.%I() returns trigger language plpgsql security definer '
                 'set search_path = %s set row_security = off as %L', 'capture_' || id, path, body);
  execute format('revoke all on function changefeed.%I() from public', 'capture_' || id);
  execute format('alter function changefeed.%I() owner to %s', 'capture_' || id, me);

  -- "!" sorts before letters: capture comes before the application's own triggers, so that a trigger of the
  -- application's that writes to the same row is logged after the change that caused it. OR REPLACE, because to drop
  -- a trigger takes ACCESS EXCLUSIVE. The whole row is compared, by its image: to name columns would forbid the
  -- application to drop them.
  execute format('create or replace trigger "!changefeed_insert" after insert on %s for each row '
                 'execute function changefeed.%I()', relation, 'capture_' || id);
  execute format('create or replace trigger "!changefeed_update" after update on %s for each row '
                 'when (old.* *<> new.*) execute function changefeed.%I()', relation, 'capture_' || id);
  execute format('create or replace trigger "!changefeed_delete" after delete on %s for each row '
                 'execute function changefeed.%I()', relation, 'capture_' || id);
  for leaf in select t.relid from pg_catalog.pg_partition_tree(relation) t
               union select relation loop
    execute format('create or replace trigger "!changefeed_truncate" after truncate on %s '
                   'execute function changefeed.%I()', leaf, 'capture_' || id);
  end loop;
  update changefeed.state s set watch_changes = s.watch_changes + 1;
  return source;
end
$watch$;
