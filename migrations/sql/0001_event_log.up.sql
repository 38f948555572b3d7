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

-- Purpose:   the identity of the log as it is, see changefeed.begin_epoch().
-- Returns:   sixteen hexadecimal digits; null where none has begun since the server lost it
-- Locks:     none
-- Called by: changefeed.begin_epoch, the relay
create function changefeed.epoch() returns text
language sql stable set search_path = pg_catalog
as $epoch$
  select left(encode(sha256(convert_to(concat_ws('/', e.id, c.system_identifier, d.oid, pg_postmaster_start_time()),
                                       'UTF8')), 'hex'), 16)
    from changefeed.epoch e, pg_control_system() c, pg_database d
   where d.datname = current_database() and e.started_at = pg_postmaster_start_time()
$epoch$;

-- Purpose:   the leaf that an event of a moment belongs to: a ring of eight, five of them the retention.
-- Parameters: at, now by default
-- Returns:   0 to 7. The width of a slot is a constant that changefeed.configure() bakes in, so that the default of
--            event.slot reads no table and is inlined into the INSERT.
-- Locks:     none
-- Called by: the default of changefeed.event.slot, changefeed.rotate
create function changefeed.slot(at timestamptz default pg_catalog.clock_timestamp()) returns smallint
language sql volatile
return (pg_catalog.floor(extract(epoch from at) / 17280::numeric)::bigint % 8::bigint)::smallint;

alter table changefeed.event alter column slot set default changefeed.slot();

-- Purpose:   the text of a comparison: does any of these columns differ between NEW and OLD?
-- Returns:   changefeed.differs() of each, joined by "or"; "false" for none
-- Locks:     none
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.any_differs(relation regclass, columns text[]) returns text
language plpgsql stable set search_path = pg_catalog
as $any_differs$
begin
  return coalesce((select string_agg(changefeed.differs(relation, name), ' or ') from unnest(columns) as name), 'false');
end
$any_differs$;

-- Purpose:   some columns of NEW or OLD as a table of one row, as text: what an owner expression then reads instead of
--            the table itself.
-- Parameters: row_name 'new' or 'old'; columns, possibly none
-- Returns:   (select new.a as a, …)
-- Locks:     none
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.as_row(row_name text, columns text[]) returns text
language sql immutable set search_path = pg_catalog
return (
  select format('(select %s)', string_agg(format('%1$s.%2$I as %2$I', as_row.row_name, name), ', ' order by nr))
    from unnest(as_row.columns) with ordinality as c (name, nr));

-- Purpose:   tell the other processes how many connections some users have with this one, and hear how many they have
--            with all others: what makes the cap on a user's connections hold over all processes.
-- Parameters: backend, the database session of the process's listener, by which it is known; whose, digests of users;
--            counts, their connections here, in the same order, 0: none any more; most, that a user may have; anew:
--            everything that this session has said before is forgotten, and with it what processes have left behind that
--            are no more
-- Returns:   those of the users who have connections with other processes, and how many
-- Locks:     an advisory lock until the end of the transaction, so that of two processes that speak at the same time
--            one sees what the other has said; waits for it at most 2 s
-- Called by: every API process, at most once a second, when something has changed
--
-- What would be more than a user may have is not told: this process is to send it away, and the next one that speaks must
-- not send away others for its sake.
--
-- A process is alive as long as its listener's session is; where we may not see when that began (it is another role's),
-- its number alone has to do.
create function changefeed.attend(backend integer, whose bytea[], counts integer[], most integer, anew boolean)
  returns table (who bytea, elsewhere bigint)
language plpgsql
set search_path = pg_catalog set lock_timeout = '2s'
as $attend$
declare
  started timestamptz;
begin
  perform pg_advisory_xact_lock(1667785319, 5);
  select a.backend_start into started from pg_stat_activity a where a.pid = attend.backend;
  if anew then
    delete from changefeed.presence p
     where p.backend = attend.backend
        or not exists (select from pg_stat_activity a
                        where a.pid = p.backend and coalesce(a.backend_start, p.started_at) = p.started_at);
  end if;
  return query
    with told as (
      select t.who, t.connections, coalesce(sum(p.connections) filter (where a.pid is not null), 0)::bigint as elsewhere
        from unnest(whose, counts) as t (who, connections)
        left join changefeed.presence p on p.who = t.who and p.backend <> attend.backend
        left join pg_stat_activity a on a.pid = p.backend and coalesce(a.backend_start, p.started_at) = p.started_at
       group by t.who, t.connections
    ), gone as (
      delete from changefeed.presence p using told t
       where p.who = t.who and p.backend = attend.backend and least(t.connections, most - t.elsewhere) <= 0
    ), here as (
      insert into changefeed.presence (who, backend, started_at, connections)
        select t.who, attend.backend, started, least(t.connections, most - t.elsewhere)
          from told t
         where least(t.connections, most - t.elsewhere) > 0 and started is not null
        on conflict on constraint presence_pkey do update
          set connections = excluded.connections, started_at = excluded.started_at
    )
    select t.who, t.elsewhere from told t where t.elsewhere > 0;
end
$attend$;

-- Purpose:   the type that a domain stands for, through domains over domains; any other type itself.
-- Locks:     none
-- Called by: changefeed.columns_of, changefeed.wide
create function changefeed.base_type(type oid) returns oid
language sql stable set search_path = pg_catalog
as $base_type$
  with recursive base as (
    select t.oid, t.typbasetype from pg_type t where t.oid = $1
    union all
    select t.oid, t.typbasetype from base b join pg_type t on t.oid = b.typbasetype
  )
  select b.oid from base b where b.typbasetype = 0
$base_type$;

-- Purpose:   the identity of the log: what it is now, beginning a new one where the old has ended.
-- Parameters: renew: begin a new one in any case (capture had stopped, so that changes are missing)
-- Returns:   sixteen hexadecimal digits. They stand for the uuid in the unlogged row (emptied by a crash and by
--            promotion), the cluster, the database and the start of its server (a copy keeps the uuid, not these).
-- Locks:     EXCLUSIVE on changefeed.epoch, so that two relays begin one epoch and not two; the row of changefeed.state
-- Called by: the relay when it connects, and when a prepared transaction of before has ended
create function changefeed.begin_epoch(renew boolean default false) returns text
language plpgsql
set search_path = pg_catalog
as $begin_epoch$
declare
  last changefeed.epoch;
begin
  lock table changefeed.epoch in exclusive mode;
  select e.* into last from changefeed.epoch e where e.started_at = pg_postmaster_start_time();
  -- Where a transaction that was prepared before has ended since, rows that it wrote to the emptied leaves are lost.
  if not renew and last.id is not null and last.prepared <@ changefeed.prepared() then
    return changefeed.epoch();
  end if;
  delete from changefeed.epoch;
  insert into changefeed.epoch (prepared) values (changefeed.prepared());
  if last.id is null then
    -- Transaction ids may be given out again after a crash or a restore. Rows from the future would be delivered late, and
    -- to cursors that mean something else; seals and the floor, which are snapshots, would claim to have seen what is new.
    delete from changefeed.event e where e.xid >= pg_snapshot_xmax(pg_current_snapshot());
    update changefeed.state s set floor = null where s.floor is not null;
    update changefeed.leaf l set sealed_at = null, snapshot = null where l.sealed_at is not null;
  end if;
  return changefeed.epoch();
end
$begin_epoch$;

-- Purpose:   what all our trigger functions have in common, as text with {{placeholders}}. They are filled with literal
--            column names, because a generic to_jsonb(new) costs three times as much and cannot tell which column is
--            too large.
-- Parameters: fail_closed: an error of the capture fails the application's write, instead of being recorded
-- Returns:   plpgsql source
-- Locks:     none (what a trigger function takes is said below, where it takes it)
-- Called by: changefeed.capture_template, changefeed.parent_template
--
-- What a trigger function must never do is break the application's write. So whatever can fail (a column that is gone,
-- an owner that does not resolve, a full lock table) stands in the EXCEPTION block, which only reads and therefore uses
-- no sub-transaction id; and the INSERT stands outside of it, into columns that accept everything.
--
-- Settings that are local to the transaction carry what one call must know of the former ones. Settings rather than a
-- table, because they fall back with their savepoint just as the events and the bell do:
--   changefeed.captured_<id>   how many rows of this watch were captured; "stopped": the rest of the transaction needs no
--                              capture, because an error or a bulk event has told everybody to refetch
--   changefeed.truncated_<id>  "at" and the number then, where a TRUNCATE was recorded
--   changefeed.nested_<id>     how deep inside other triggers rows were captured
--
-- Functions are named with their schema, and operators exist for exactly these types in pg_catalog: for the sake of the
-- owner expression the search path holds schemas in which others may create things.
create function changefeed.capture_frame(fail_closed boolean) returns text
language sql immutable set search_path = pg_catalog
return replace(replace(replace($frame$
#variable_conflict use_column -- an owner expression means its tables' columns, never a variable here
declare
  captured    text := pg_catalog.current_setting('changefeed.captured_{{id}}', true);
  n           integer;
  event_op    text;
  event_key   jsonb;
  event_owner text;
  was_owner   text;     -- before this change
  data        jsonb;
  before      jsonb;
  partial     boolean;
  refetch     text;     -- why everybody must refetch
  leased      boolean;
  ring        boolean;
  error       text;
  code        text;
{{variables}}
begin
  if captured = 'stopped' or pg_catalog.current_setting('changefeed.skip', true) in ('on', 'true', 'yes', '1') then
    return null;
  end if;

  {{guard}}
    n := coalesce(nullif(captured, ''), '0')::integer + 1;
    if tg_op = 'TRUNCATE' then
      -- Every partition has this trigger: say it once, unless rows were captured in between. One that was detached keeps
      -- it, but is no longer ours.
      if pg_catalog.current_setting('changefeed.truncated_{{id}}', true) = 'at ' || coalesce(captured, '')
         or not exists (select from changefeed.watch w,
                               unnest(array[tg_relid, pg_catalog.pg_partition_root(tg_relid)::oid]) as emptied
                         where w.id = {{id}} and (emptied = w.relation::oid or emptied = any (w.parents::oid[]))) then
        return null;
      end if;
      event_op := 'truncate';
      perform pg_catalog.set_config('changefeed.truncated_{{id}}', 'at ' || n::text, true);
{{collect}}
    end if;
{{order}}
    if n = 1 then
      {{lease}}
    end if;
  {{unguard}}

  if not leased then
    perform pg_catalog.nextval('changefeed.uncaptured');
    perform pg_catalog.set_config('changefeed.captured_{{id}}', 'stopped', true);
    return null;
  end if;

  if error is null and refetch is null and n <= {{bulk_rows}} then
{{write}}
  else
    event_op := case when error is null then 'bulk' else 'error' end;
    event_key := null;
    event_owner := null;
    data := case when error is null then pg_catalog.jsonb_build_object('reason', coalesce(refetch, 'bulk'))
                 else pg_catalog.jsonb_build_object('message', error, 'sqlstate', code) end;
    before := null;
    partial := null;
    captured := 'stopped';
  end if;
  -- One statement for all that is to be said: it has been planned when it is needed at a bad moment.
  insert into changefeed.event (source, op, key, owner, owner_kind, data, before, partial, seen)
    values ({{source}}, event_op, event_key, event_owner, {{owner_kind}}, data, before, partial, {{seen}});
  -- An assignment costs a third of what PERFORM does, which is a query.
  captured := pg_catalog.set_config('changefeed.captured_{{id}}', case captured when 'stopped' then captured else n::text end, true);

  if ring then
    perform pg_catalog.pg_notify('changefeed', {{source}});
  end if;
  return null;
end
$frame$,
'{{guard}}', case when fail_closed then '' else 'begin' end),
'{{unguard}}', case when fail_closed then '' else $unguard$exception when others then
    error := pg_catalog.left(sqlerrm, 1000);
    code := sqlstate;
    begin
      {{lease}}
    exception when others then
      -- Not to ring is safe, the relay looks every second; to ring is not: where the lock table is full, NOTIFY would
      -- find no room for its lock either, and fail the commit.
      ring := false;
    end;
  end;$unguard$ end),
'{{lease}}', $lease$-- Once a transaction and watch: may we capture at all (no relay for too long: stop, before the disk is full), and
      -- must we ring? The shared lock "asleep" is granted while the relay is awake, and then keeps it awake until this
      -- transaction has ended and is visible. Refused: it sleeps, so NOTIFY. Where capture has stopped, another lock
      -- tells the relay that comes back that uncaptured changes may still be committed. The tries never wait.
      select s.until > pg_catalog.clock_timestamp(),
             case when s.until > pg_catalog.clock_timestamp()
                  then s.doorbell and not pg_catalog.pg_try_advisory_xact_lock_shared(1667785319, 1)
                  else pg_catalog.pg_try_advisory_xact_lock_shared(1667785319, 4) end
        into leased, ring
        from changefeed.state s;$lease$);

-- Purpose:   the text of the trigger function on a watched table: one event a row.
-- Parameters: fail_closed, see changefeed.capture_frame
-- Returns:   plpgsql source with {{placeholders}}
-- Locks:     none
-- Called by: changefeed.install
--
-- Order. Events of one row must stand in the order of its changes. They do, save where a trigger of the application's
-- writes to a row that the statement which fired it has written as well: the inner statement's events are recorded at
-- once, while those of the outer one still wait. So an event that comes after events of a deeper level is compared with
-- the row as it is now, and where that has gone on, everybody is told to refetch.
create function changefeed.capture_template(fail_closed boolean) returns text
language sql immutable set search_path = pg_catalog
return replace(replace(replace(replace(changefeed.capture_frame(fail_closed),
'{{variables}}', $variables$  moved       boolean;
  leaves      text;     -- the op that tells the former owner, with the former key
  was_key     jsonb;
  was_data    jsonb;
  was_partial boolean;$variables$),
'{{collect}}', $collect$    elsif tg_op = 'UPDATE' then
      {{diff}}
      moved := {{key_moved}} or {{owner_moved}};
      if before is null and not moved then
        return null;
      end if;
      event_op := 'update';
      event_owner := {{owner_new}};
      if moved then
        was_owner := event_owner;
        if {{owner_moved}} then
          was_owner := {{owner_old}};
        end if;
        if {{key_moved}} then
          leaves := 'delete';
          was_data := case when {{wide_old}} then null else {{data_old}} end;
        elsif was_owner is distinct from event_owner then
          leaves := 'leave';
        elsif before is null then
          return null;
        end if;
        if leaves is not null then
          event_op := 'insert';
          was_key := {{key_old}};
          before := null;
          partial := null;
        end if;
      end if;
      event_key := {{key_new}};
      data := case when {{wide_new}} then null else {{data_new}} end;
    elsif tg_op = 'INSERT' then
      event_op := 'insert';
      event_owner := {{owner_new}};
      event_key := {{key_new}};
      data := case when {{wide_new}} then null else {{data_new}} end;
    else
      event_op := 'delete';
      event_owner := {{owner_old}};
      event_key := {{key_old}};
      data := case when {{wide_old}} then null else {{data_old}} end;$collect$),
'{{order}}', $order$
    -- One IF inside the other: an expression with a query in it is planned anew for each row, even where the query is not
    -- reached, and that was a tenth of what a write cost.
    if n > 1 then
      if nullif(pg_catalog.current_setting('changefeed.nested_{{id}}', true), '')::integer > pg_catalog.pg_trigger_depth() then
        if (case tg_op when 'TRUNCATE' then false
                       when 'DELETE' then exists (select from {{relation}} as t where {{key_is_old}})
                       else (select {{data_now}} from {{relation}} as t where {{key_is_new}}) is distinct from data end) then
          refetch := 'bulk';
        end if;
      end if;
    end if;
    if pg_catalog.pg_trigger_depth() > 1 then
      if coalesce(nullif(pg_catalog.current_setting('changefeed.nested_{{id}}', true), ''), '0')::integer
         < pg_catalog.pg_trigger_depth() then
        perform pg_catalog.set_config('changefeed.nested_{{id}}', pg_catalog.pg_trigger_depth()::text, true);
      end if;
    end if;
$order$),
'{{write}}', $write$    if partial or (data is null and event_op <> 'truncate')
       or pg_catalog.pg_column_size(data) + coalesce(pg_catalog.pg_column_size(before), 0) > 65536 then
      partial := true;
      data := event_key;
      before := null;
    end if;
    if leaves is not null then
      if leaves = 'delete' and (was_data is null or pg_catalog.pg_column_size(was_data) > 65536) then
        was_partial := true;
        was_data := was_key;
      end if;
      insert into changefeed.event (source, op, key, owner, owner_kind, data, partial, seen)
        values ({{source}}, leaves, was_key, was_owner, {{owner_kind}}, was_data, was_partial, {{seen}});
    end if;$write$);

-- Purpose:   recognise an owner expression that walks from the row to its owner, and say how to walk the rest of the way
--            from any table on it. Then a trigger on that table can tell the former owner and the new one apart from
--            what it has in its hands, whatever rows depend on it.
-- Parameters: definition, that of a view that selects the expression from the table as r, as pg_get_viewdef(…, false)
--            prints it with an empty search path: so written in one way only
-- Returns:   the tables on the way, with the row's nearest first: the columns by which it was reached (linked), the columns
--            that the rest of the way needs (picked), the owner's column (owner), and the rest of the way (onward), to be
--            put after "from <a row of this table> as <alias>". Nothing where the expression is not of that kind.
-- Locks:     none
-- Called by: changefeed.install_parent
--
-- The kind: one sub-select of one column, FROM tables that are joined by nothing but equalities of columns joined by AND,
-- which form a path that begins at r and ends at the table with the owner's column, and that visits each table once;
-- optionally inside coalesce(r.column, …). What is not exactly that is left alone: an OR or a function more, and the
-- owner would no longer follow from the one row.
create function changefeed.chain_of(definition text)
  returns table (relation regclass, alias text, linked text[], picked text[], owner text, onward text)
language plpgsql stable set search_path = pg_catalog
as $chain_of$
declare
  name      constant text := '(?:[a-z_][a-z0-9_]*|"(?:[^"]|"")+")';
  parts     text[];
  piece     text;
  found     text[];
  aliases   text[] := '{}';   -- of the tables named in FROM
  tables    regclass[] := '{}';
  lefts     text[] := '{}';   -- of the equalities: what stands on each side
  rights    text[] := '{}';
  texts     text[] := '{}';
  steps     integer[] := '{}';  -- and to which table of the way they lead
  way       text[] := '{}';
  place     text := 'r';
  next      text;
begin
  parts := regexp_match(definition, replace(
    '^\s*SELECT \(*(?:COALESCE\(\(?(?:r\.)?NAME\)?(?:::text)?, )?\( SELECT \(?(NAME)\.(NAME)\)?(?:::text)?(?: AS NAME)?'
    '\s+FROM (.*?)\s+WHERE (.*?)(?:::text)?\s+AS owner\s+FROM ', 'NAME', name));
  if parts is null then
    return;
  end if;
  -- With inner joins, AND and equalities alone, parentheses say nothing; other words end up in a piece that is none.
  foreach piece in array regexp_split_to_array(
    regexp_replace(parts[3] || ' WHERE ' || parts[4], replace('\((NAME\.NAME)\)::text', 'NAME', name), '\1::text', 'g'),
    '\s*(?:[(),]|\mJOIN\M|\mON\M|\mAND\M|\mWHERE\M)\s*')
  loop
    continue when piece = '';
    found := regexp_match(piece, replace('^(NAME)\.(NAME)(?:::text)? = (NAME)\.(NAME)(?:::text)?$', 'NAME', name));
    if found is not null then
      lefts := lefts || array[found[1]];
      rights := rights || array[found[3]];
      texts := texts || piece;
      steps := steps || 0;
      continue;
    end if;
    found := regexp_match(piece, replace('^(NAME\.(NAME))(?: (NAME))?$', 'NAME', name));
    if found is null or to_regclass(found[1]) is null or to_regclass(found[1]) = any (tables) then
      return;
    end if;
    tables := tables || to_regclass(found[1]);
    aliases := aliases || coalesce(found[3], found[2]);
  end loop;

  loop
    next := null;
    for i in 1 .. cardinality(texts) loop
      continue when steps[i] > 0 or place not in (lefts[i], rights[i]);
      piece := case lefts[i] when place then rights[i] else lefts[i] end;
      if piece <> all (aliases) or piece = any (way) or piece <> next then
        return;
      end if;
      next := piece;
      steps[i] := cardinality(way) + 1;
    end loop;
    exit when next is null;
    way := way || next;
    place := next;
  end loop;
  if cardinality(way) <> cardinality(aliases) or 0 = any (steps) or place <> parts[1] then
    return;
  end if;

  for i in 1 .. cardinality(way) loop
    relation := tables[array_position(aliases, way[i])];
    alias := way[i];
    owner := parts[1] || '.' || parts[2];
    linked := changefeed.columns_in(texts, steps, i, alias);
    picked := changefeed.columns_in(texts, steps, i + 1, alias) || case when alias = place then parse_ident(parts[2]) end;
    select coalesce(string_agg(format(', %s as %s', tables[array_position(aliases, w.alias)], w.alias), '' order by w.nr), '')
      into onward from unnest(way) with ordinality as w (alias, nr) where w.nr > i;
    select onward || coalesce(' where ' || string_agg(t.piece, ' and '), '')
      into onward from unnest(texts, steps) as t (piece, step) where t.step > i;
    return next;
  end loop;
end
$chain_of$;

-- Purpose:   may this table get our triggers, and would they see every change of its rows?
-- Parameters: relation; told: what the messages begin with
-- Raises:    where it is not a table, is ours, is temporary, has children by inheritance (a parent's triggers do not fire for
--            their rows), or does not belong to the caller
-- Locks:     none
-- Called by: changefeed.install
create function changefeed.check_table(relation regclass, told text) returns void
language plpgsql stable set search_path = pg_catalog
as $check_table$
declare
  class pg_class;
begin
  select c.* into class from pg_class c where c.oid = relation;
  if class.oid is null or class.relkind not in ('r', 'p') then
    raise exception '%: % is not a table', told, relation
      using errcode = 'wrong_object_type', hint = 'Triggers see the changes of tables; of a view, name the tables behind it.';
  elsif class.relnamespace = 'changefeed'::regnamespace and class.relname !~ '^canary_' then  -- doctor's, for a moment
    raise exception '%: % is a table of changefeed''s own', told, relation
      using errcode = 'wrong_object_type', hint = 'Name the table with its schema.';
  elsif class.relpersistence = 't' then
    raise exception '%: % is a temporary table', told, relation
      using errcode = 'wrong_object_type', hint = 'Nobody but its session can read it. Name a permanent table.';
  elsif class.relkind = 'r' and exists (select from pg_inherits i where i.inhparent = relation) then
    raise exception '%: other tables inherit from %', told, relation
      using errcode = 'wrong_object_type',
            hint = 'Triggers of a parent do not fire for rows of its children. Use partitions, or watch the children themselves.';
  elsif not pg_has_role(class.relowner, 'usage') then
    raise exception '%: % does not own %', told, current_user, relation
      using errcode = 'insufficient_privilege',
            hint = format('Run this as a member of %s (grant %s to %I), which need not be a superuser.',
                          class.relowner::regrole, class.relowner::regrole, current_user);
  end if;
end
$check_table$;

-- Purpose:   the columns of one table in the equalities that make up one step of an owner expression's way.
-- Parameters: texts, equalities as "a.x = b.y"; steps, the step of each; step; alias, the table's
-- Returns:   their names, each once, possibly none
-- Locks:     none
-- Called by: changefeed.chain_of
create function changefeed.columns_in(texts text[], steps integer[], step integer, alias text) returns text[]
language sql immutable set search_path = pg_catalog
return (
  select coalesce(array_agg(distinct (parse_ident(side))[2]), '{}')
    from unnest(columns_in.texts, columns_in.steps) as t (piece, nr),
         regexp_split_to_table(replace(t.piece, '::text', ''), ' = ') as side
   where t.nr = columns_in.step and (parse_ident(side))[1] = (parse_ident(columns_in.alias))[1]);

-- Purpose:   the columns that events of a table carry: those that were asked for, or the default ones.
-- Parameters: relation; source, its name, for messages; wanted, or null
-- Returns:   their names. By default everything but json, jsonb and bytea, also under the name of a domain, and virtual
--            generated columns; where that leaves nothing, the primary key.
-- Raises:    where one does not exist, or is a virtual generated column
-- Locks:     none
-- Called by: changefeed.install
create function changefeed.columns_of(relation regclass, source text, wanted text[]) returns text[]
language plpgsql stable set search_path = pg_catalog
as $columns_of$
declare
  name text;
  kind "char";
begin
  foreach name in array coalesce(wanted, '{}') loop
    select a.attgenerated into kind
      from pg_attribute a where a.attrelid = relation and a.attname = name and a.attnum > 0 and not a.attisdropped;
    if not found then
      raise exception 'changefeed cannot watch %: it has no column %', source, coalesce(quote_ident(name), 'null')
        using errcode = 'undefined_column', hint = 'Name columns as they are written in the catalog, without quotes.';
    elsif kind = 'v' then
      raise exception 'changefeed cannot watch %: % is a virtual generated column', source, quote_ident(name)
        using errcode = 'feature_not_supported', hint = 'A trigger cannot see its value. Make it STORED, or do without it.';
    end if;
  end loop;
  if wanted is null then
    select array_agg(a.attname::text order by a.attnum) into wanted
      from pg_attribute a
     where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
       and changefeed.base_type(a.atttypid) not in ('json'::regtype, 'jsonb'::regtype, 'bytea'::regtype);
  end if;
  return coalesce(nullif(wanted, '{}'), changefeed.key_of(relation));
end
$columns_of$;

-- Purpose:   what the trigger functions of a watch have in common, as parts for changefeed.fill.
-- Returns:   an object of texts
-- Locks:     none
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.common_parts(watch changefeed.watch) returns jsonb
language sql immutable set search_path = pg_catalog
return jsonb_build_object(
  'id', watch.id,
  'source', quote_literal(watch.source),
  'owner_kind', quote_literal(watch.owner_kind),
  'bulk_rows', case when watch.bulk_rows > 0 then watch.bulk_rows else 2147483646 end,
  -- What a writer who does not see what others commit meanwhile could see when he resolved the owner.
  'seen', 'case when pg_catalog.current_setting(''transaction_isolation'') <> ''read committed'' '
          'then pg_catalog.pg_current_snapshot() end');

-- Purpose:   change what the database itself must know: how long events are kept, how long a relay may be away before
--            capture stops, and whether writers may ring.
-- Parameters: each may be null: as it was. retention, max_absence: at least one second; doorbell: false where
--            PREPARE TRANSACTION is used, which NOTIFY makes fail
-- Raises:    where a duration is shorter than one second
-- Locks:     the row of changefeed.state
-- Called by: the relay when it starts, administrators
create function changefeed.configure(
  retention interval default null, max_absence interval default null, doorbell boolean default null
) returns void
language plpgsql
set search_path = pg_catalog
as $configure$
begin
  if retention < interval '1 second' or max_absence < interval '1 second' then
    raise exception 'changefeed: retention and max_absence must be at least one second'
      using errcode = 'invalid_parameter_value', hint = 'For example: select changefeed.configure(retention => ''24 hours'');';
  end if;
  update changefeed.state s
     set retention = coalesce(configure.retention, s.retention),
         max_absence = coalesce(configure.max_absence, s.max_absence),
         doorbell = coalesce(configure.doorbell, s.doorbell);
  -- The ring holds eight slots, five of them the retention: one is being filled, one sealed, one is spare.
  if retention is not null then
    execute format('create or replace function changefeed.slot(at timestamptz default pg_catalog.clock_timestamp()) '
                   'returns smallint language sql volatile '
                   'return (pg_catalog.floor(extract(epoch from at) / %s::numeric)::bigint %% 8::bigint)::smallint',
                   extract(epoch from retention) / 5);
  end if;
end
$configure$;

-- Purpose:   the text of a comparison: does this column's value differ between NEW and OLD?
-- Returns:   IS DISTINCT FROM for types whose equality is sameness. Otherwise the comparison of row images, which also
--            works for types without an equality (json, point) and sees what equality hides (citext, 1.0 and 1.00).
--            No operator is looked up that somebody could have put into a schema of his own: those that are used here
--            exist for exactly these types in pg_catalog.
-- Locks:     none
-- Called by: changefeed.any_differs, changefeed.remember
create function changefeed.differs(relation regclass, name text) returns text
language sql stable set search_path = pg_catalog
as $differs$
  select case
           when t.oid in ('bool'::regtype, 'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype,
                          'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
             or (t.oid = 'text'::regtype and c.collisdeterministic)
           then format('new.%1$I is distinct from old.%1$I', name)
           when t.oid = 'varchar'::regtype and c.collisdeterministic
           then format('new.%1$I::text is distinct from old.%1$I::text', name)
           else format('pg_catalog.record_image_ne(row(new.%1$I), row(old.%1$I))', name)
         end
    from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    left join pg_collation c on c.oid = a.attcollation
   where a.attrelid = relation and a.attname = differs.name
$differs$;

-- Purpose:   the relay is here: let capture go on for another max_absence.
-- Returns:   true where changes are missing, so that a new epoch must begin: capture had stopped meanwhile; or it had for
--            somebody who wrote when that was over already, because the clock went back, or his snapshot is old
--            (changefeed.uncaptured counts whoever writes then); or one of those has ended since, and what he wrote has
--            become visible after everybody had refetched.
-- Locks:     the row of changefeed.state
-- Called by: the leading relay, every few minutes, and at once when it finds that capture has stopped
create function changefeed.extend() returns boolean
language plpgsql
set search_path = pg_catalog
as $extend$
declare
  former  changefeed.state;
  counted bigint;
  writing xid8[];
begin
  select s.* into former from changefeed.state s for update;
  -- In this order. Whoever goes uncaptured takes his lock and then counts himself: so whoever is counted here is found here
  -- too, or has ended. The other way round somebody would be counted whose end nobody waits for.
  counted := coalesce(pg_sequence_last_value('changefeed.uncaptured'), 0);
  writing := changefeed.writing_uncaptured();
  update changefeed.state set until = clock_timestamp() + max_absence, uncaptured = counted, lapsed = writing;
  return former.until < clock_timestamp() or counted <> former.uncaptured
      or exists (select from unnest(former.lapsed) as x (id) where pg_visible_in_snapshot(x.id, pg_current_snapshot()));
end
$extend$;

-- Purpose:   put texts into the {{placeholders}} of a template, all at once: what was put in is not looked at again, so
--            that a column called {{id}} stays a column.
-- Parameters: template; parts, an object of texts by placeholder
-- Returns:   the text; a placeholder without a part is left out
-- Locks:     none
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.fill(template text, parts jsonb) returns text
language sql immutable set search_path = pg_catalog
return (
  select string_agg(case when nr % 2 = 0 then fill.parts ->> piece else piece end, '' order by nr)
    from regexp_split_to_table(fill.template, '\{\{|\}\}') with ordinality as pieces (piece, nr));

-- Purpose:   ask every process that follows the log what it knows of an owner's sessions. The answers come as rows of
--            changefeed.testimony, one a process, within a moment.
-- Parameters: owner_kind, owner
-- Returns:   the number of the inquiry
-- Locks:     the row of changefeed.state
-- Called by: `changefeed explain`, `changefeed doctor`
--
-- A row and a counter that every look at the log reads, as with changefeed.kick(): a process is asked without a query of
-- its own, and any role may NOTIFY.
create function changefeed.inquire(owner_kind text, owner text) returns bigint
language plpgsql
set search_path = pg_catalog
as $inquire$
declare
  number bigint;
begin
  delete from changefeed.inquiry i where i.at < clock_timestamp() - interval '1 minute';
  insert into changefeed.inquiry as i (owner_kind, owner) values (inquire.owner_kind, inquire.owner) returning i.id into number;
  update changefeed.state s set inquiries = s.inquiries + 1;
  perform pg_notify('changefeed', '') from changefeed.state s where s.doorbell;
  return number;
end
$inquire$;

-- Purpose:   the work of changefeed.watch().
-- Parameters: those of changefeed.watch(); schemas, the caller's search path
-- Returns:   the table's name as it stands in events
-- Raises:    where the table, a column or the owner cannot be watched; the hint says what to do
-- Locks:     SHARE ROW EXCLUSIVE on changefeed.watch, so that two calls take turns; those of changefeed.watch()
-- Called by: changefeed.watch
create function changefeed.install(
  relation regclass, owner text, columns text[], owner_kind text, bulk_rows integer, fail_closed boolean, schemas name[]
) returns text
language plpgsql
set search_path = pg_catalog set lock_timeout = '3s'
as $install$
<<install>>
declare
  source   text;
  key      text[];
  me       regrole := (select n.nspowner from pg_namespace n where n.nspname = 'changefeed');
  path     text;
  reads    text[];     -- columns of the row that the owner depends on
  probed   record;
  parents  jsonb := '{}';
  owner_new text;      -- the expressions for the owner of a row
  owner_old text;
  former   changefeed.watch;
  watch    changefeed.watch;
  parent   record;
  name     text;
  placed   text[];     -- the names of the trigger functions
begin
  select n.nspname || '.' || c.relname into source
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation;
  if exists (select from pg_class c where c.oid = relation and c.relispartition) then
    raise exception 'changefeed cannot watch %: it is a partition', source
      using errcode = 'wrong_object_type',
            hint = format('Watch the whole table, and its partitions are covered: %s.', pg_partition_root(relation));
  end if;
  perform changefeed.check_table(relation, format('changefeed cannot watch %s', source));
  key := changefeed.key_of(relation);
  columns := changefeed.columns_of(relation, source, columns);
  if owner is null or owner = '' then
    raise exception 'changefeed cannot watch %: no owner was given', source
      using errcode = 'null_value_not_allowed',
            hint = 'Give the column that holds the owner, or an expression over the row alias r.';
  elsif owner_kind is null or owner_kind = '' or bulk_rows is null or fail_closed is null then
    raise exception 'changefeed cannot watch %: owner_kind, bulk_rows and fail_closed must have a value', source
      using errcode = 'null_value_not_allowed', hint = 'Leave them out to have the defaults.';
  end if;

  -- A column by that name, or an expression.
  path := concat_ws(', ', 'pg_catalog',
                    (select string_agg(quote_ident(s), ', ' order by nr) from unnest(schemas) with ordinality as u (s, nr)
                      where s not in ('pg_catalog', 'changefeed') and s !~ '^pg_temp'),
                    'pg_temp');
  if exists (select from pg_attribute a
              where a.attrelid = relation and a.attname = owner and a.attnum > 0 and not a.attisdropped) then
    reads := array[owner];
    owner_new := format('new.%I::text', owner);
    owner_old := format('old.%I::text', owner);
    path := 'pg_catalog, pg_temp';
  else
    probed := changefeed.probe(relation, source, owner, path, me);
    reads := probed.reads;
    owner_new := format(e'(select (%s\n)::text from %s as r)', owner, changefeed.as_row('new', reads));
    owner_old := format(e'(select (%s\n)::text from %s as r)', owner, changefeed.as_row('old', reads));
    parents := probed.parents;
    if probed.functions <> '{}' then
      raise notice 'changefeed: the owner expression of % calls %, with the rights of %. Where what these read changes an owner, nobody is told',
        source, array_to_string(probed.functions, ', '), me;
    end if;
  end if;
  perform changefeed.columns_of(relation, source, reads);  -- refuses what a trigger cannot see
  for parent in select p.oid::oid::regclass as relation from jsonb_object_keys(parents) as p (oid) loop
    perform changefeed.check_table(parent.relation,
                                   format('changefeed cannot watch %s: its owner expression reads %s', source, parent.relation));
  end loop;

  lock table changefeed.watch in share row exclusive mode;
  perform changefeed.lock_tables(
    relation || array(select p.oid::oid::regclass from jsonb_object_keys(parents) as p (oid)), 'share row exclusive');
  select w.* into former from changefeed.watch w where w.relation = install.relation;
  insert into changefeed.watch as w (relation, source, owner, owner_kind, key, columns, parents, bulk_rows, fail_closed, version)
    values (relation, source, owner, owner_kind, key, columns,
            array(select p.oid::oid::regclass from jsonb_object_keys(parents) as p (oid)), bulk_rows, fail_closed, 1)
    on conflict on constraint watch_relation_key do update
      set source = excluded.source, owner = excluded.owner, owner_kind = excluded.owner_kind, key = excluded.key,
          columns = excluded.columns, parents = excluded.parents, bulk_rows = excluded.bulk_rows,
          fail_closed = excluded.fail_closed, paused = false, version = excluded.version, watched_at = now()
    returning w.* into watch;

  name := 'capture_' || watch.id;
  perform changefeed.place_function(
    name,
    changefeed.fill(changefeed.capture_template(fail_closed), changefeed.common_parts(watch) || jsonb_build_object(
      'relation', relation,
      'diff', (select string_agg(changefeed.remember(relation, c), e'\n      ' order by nr)
                 from unnest(columns) with ordinality as u (c, nr)),
      'key_moved', changefeed.any_differs(relation, key),
      'owner_moved', changefeed.any_differs(relation, reads),
      'key_new', changefeed.pick('new', key),
      'key_old', changefeed.pick('old', key),
      'wide_new', changefeed.wide(relation, 'new', columns),
      'wide_old', changefeed.wide(relation, 'old', columns),
      'data_new', changefeed.pick('new', columns),
      'data_old', changefeed.pick('old', columns),
      'data_now', changefeed.pick('t', columns),
      'key_is_new', (select string_agg(format('t.%1$I operator(pg_catalog.=) new.%1$I', c), ' and ') from unnest(key) as c),
      'key_is_old', (select string_agg(format('t.%1$I operator(pg_catalog.=) old.%1$I', c), ' and ') from unnest(key) as c),
      'owner_new', owner_new,
      'owner_old', owner_old)),
    path, parents <> '{}');
  perform changefeed.place_triggers(relation, '!changefeed', name, inserts => true);
  placed := array[name];
  for parent in select p.oid::oid::regclass as relation, array(select jsonb_array_elements_text(p.columns)) as columns
                  from jsonb_each(parents) as p (oid, columns) loop
    placed := placed || changefeed.install_parent(watch, parent.relation, parent.columns, probed.definition, path);
  end loop;
  perform changefeed.remove_triggers(watch.id, but => placed, holding => true);
  update changefeed.watch w
     set functions = (select jsonb_object_agg(p.proname, encode(sha256(convert_to(p.prosrc, 'UTF8')), 'hex'))
                        from pg_proc p
                       where p.pronamespace = 'changefeed'::regnamespace and p.proname = any (placed))
   where w.id = watch.id;

  update changefeed.state s set watch_changes = s.watch_changes + 1;
  -- What was sent so far is no longer what would be sent now.
  if former.paused then
    perform changefeed.refetch(source, 'bulk');
  elsif (former.owner, former.owner_kind, former.key, former.columns)
        is distinct from (watch.owner, watch.owner_kind, watch.key, watch.columns) and former.id is not null then
    perform changefeed.refetch(source, 'owner');
  end if;
  return source;
end
$install$;

-- Purpose:   put triggers on a table that an owner expression reads, so that owner changes are captured where they happen.
-- Parameters: watch, the dependent table's; relation, the parent; reads, the parent's columns that the expression reads;
--            definition, the expression's, see changefeed.chain_of; path, the search path that it runs with
-- Returns:   the name of the trigger function
-- Locks:     SHARE ROW EXCLUSIVE on the parent
-- Called by: changefeed.install
create function changefeed.install_parent(
  watch changefeed.watch, relation regclass, reads text[], definition text, path text
) returns text
language plpgsql
set search_path = pg_catalog
as $install_parent$
declare
  name  text := format('parent_%s_%s', watch.id, relation::oid);
  step  record;
  parts jsonb;
begin
  select c.*, format('(select (%s)::text from %%s as %s%s)', replace(c.owner, '%', '%%'), replace(c.alias, '%', '%%'),
                     replace(c.onward, '%', '%%')) as walk
    into step from changefeed.chain_of(definition) c where c.relation = install_parent.relation;
  if step.walk is null then
    raise notice 'changefeed: the owner expression of % is not one that tells which owners a change of % concerns, so such a change tells everybody who watches % to refetch',
      watch.source, relation, watch.source
      using hint = format('Where it can be written as one, use (select p.owner from %s p where p.key = r.column).', relation);
    parts := jsonb_build_object('before', 'refetch := ''owner'';', 'before_and_after', 'refetch := ''owner'';', 'linked_moved', 'true');
  else
    parts := jsonb_build_object(
      'before', format('was_owner := %s;', format(step.walk, changefeed.as_row('old', step.picked))),
      'before_and_after', format(e'was_owner := %s;\n      event_owner := %s;',
                                 format(step.walk, changefeed.as_row('old', step.picked)),
                                 format(step.walk, changefeed.as_row('new', step.picked))),
      'linked_moved', changefeed.any_differs(relation, step.linked));
  end if;
  perform changefeed.place_function(
    name,
    changefeed.fill(changefeed.parent_template(watch.fail_closed),
                    parts || changefeed.common_parts(watch)
                          || jsonb_build_object('moved', changefeed.any_differs(relation, reads))),
    path, true);
  -- A row that comes new can be what an expression of another kind was waiting for; to one of the known kind it can only
  -- give an owner to rows that had none.
  perform changefeed.place_triggers(relation, '!changefeed_parent_' || watch.id, name, inserts => step.walk is null);
  return name;
end
$install_parent$;

-- Purpose:   the columns of a table's primary key.
-- Returns:   their names, in the key's order
-- Raises:    where there is none, or where it is deferrable (two rows could share a key inside a transaction)
-- Locks:     none
-- Called by: changefeed.install
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
      using errcode = 'object_not_in_prerequisite_state', hint = format('Add one: alter table %s add primary key (…).', relation);
  elsif not immediate then
    raise exception 'changefeed cannot watch %: its primary key is deferrable', relation
      using errcode = 'object_not_in_prerequisite_state',
            hint = 'Make the primary key NOT DEFERRABLE: two rows could share a key within a transaction.';
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
set search_path = pg_catalog
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

-- Purpose:   lock several tables of the application's without ever making one of its transactions the victim of a deadlock.
-- Parameters: relations, the busiest first; mode, as in LOCK TABLE; holding: whether we hold locks on some already
-- Raises:    lock_not_available
-- Locks:     those. The first it waits for as long as lock_timeout, which the caller has set, allows; for all the others
--            together less than deadlock_timeout.
-- Called by: changefeed.install, changefeed.remove_triggers, changefeed.switch
--
-- A transaction that holds one of the tables and waits for another, which we hold, looks for a deadlock when it has waited
-- for deadlock_timeout, and gives up if it finds one. By then we have given up.
create function changefeed.lock_tables(relations regclass[], mode text, holding boolean default false) returns void
language plpgsql
set search_path = pg_catalog
as $lock_tables$
declare
  patience interval := 0.9 * current_setting('deadlock_timeout')::interval;
  until    timestamptz := case when holding then clock_timestamp() + patience end;
  relation regclass;
begin
  foreach relation in array relations loop
    if until is not null then
      -- Until the function of ours that has set lock_timeout returns.
      perform set_config('lock_timeout', greatest(1, extract(epoch from until - clock_timestamp()) * 1000)::integer::text, true);
    end if;
    execute format('lock table %s in %s mode', relation, mode);
    until := coalesce(until, clock_timestamp() + patience);
  end loop;
end
$lock_tables$;

-- Purpose:   the text of the trigger function on a table that an owner expression reads: when the owner of a row of it
--            changes, the rows that depend on it change their owner with it, without an event of theirs. So the former
--            owner and the new one are told to refetch the dependent source; of a deleted row, the former one alone,
--            because in a cascade the parent is already invisible when its children go.
-- Parameters: fail_closed, see changefeed.capture_frame
-- Returns:   plpgsql source with {{placeholders}}
-- Locks:     none
-- Called by: changefeed.install_parent
--
-- Which dependent rows there are is never asked: that would be a scan of the dependent table. To be told to refetch what
-- has not changed harms nobody.
create function changefeed.parent_template(fail_closed boolean) returns text
language sql immutable set search_path = pg_catalog
return replace(replace(replace(replace(changefeed.capture_frame(fail_closed),
'{{variables}}', ''),
'{{collect}}', $collect$      refetch := 'owner';
    elsif tg_op = 'UPDATE' then
      if not ({{moved}}) then
        return null;
      end if;
      {{before_and_after}}
      if was_owner is not distinct from event_owner and not ({{linked_moved}}) then
        return null;
      end if;
    else
      {{before}}$collect$),
'{{order}}', $order$
    if refetch is null and was_owner is null and event_owner is null then
      return null;
    end if;
$order$),
'{{write}}', $write$    event_op := 'bulk';
    if was_owner is distinct from event_owner and was_owner is not null and event_owner is not null then
      -- Next to each other, and each names the other: whoever reads the log can tell who gave to whom.
      insert into changefeed.event (source, op, owner, owner_kind, data, seen)
        values ({{source}}, event_op, was_owner, {{owner_kind}},
                pg_catalog.jsonb_build_object('reason', 'owner', 'other', event_owner), {{seen}});
      data := pg_catalog.jsonb_build_object('reason', 'owner', 'other', was_owner);
    else
      event_owner := coalesce(was_owner, event_owner);
      data := pg_catalog.jsonb_build_object('reason', 'owner', 'other', null);
    end if;$write$);

-- Purpose:   switch the capture of one table off for a while, for everybody. What is written meanwhile is not seen.
--            To silence one's own transaction alone: set local changefeed.skip = on.
-- Parameters: "table"
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on the table and on those that its owner expression reads, waiting at most 3 s
-- Called by: administrators
create function changefeed.pause("table" regclass) returns void
language plpgsql
set search_path = pg_catalog
as $pause$
begin
  perform changefeed.switch($1, 'disable');
end
$pause$;

-- Purpose:   an object of some columns of a row, as the text of an expression for a trigger function.
-- Parameters: row_name 'new', 'old' or an alias; columns, at least one
-- Returns:   jsonb_build_object('a', new.a, …), in pieces of fifty, because a function takes at most 100 arguments
-- Locks:     none
-- Called by: changefeed.install
create function changefeed.pick(row_name text, columns text[]) returns text
language sql immutable set search_path = pg_catalog
as $pick$
  select string_agg(format('pg_catalog.jsonb_build_object(%s)', piece), ' || ' order by nr)
    from (select (position - 1) / 50 as nr,
                 string_agg(format('%L, %s.%I', name, row_name, name), ', ' order by position) as piece
            from unnest(columns) with ordinality as c (name, position)
           group by 1) as pieces
$pick$;

-- Purpose:   make a trigger function of a watch, or replace it.
-- Parameters: name; body; path, the search path that it runs with; row_security: false where it reads tables, whose row
--            level security would otherwise hide an owner
-- Locks:     none
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.place_function(name text, body text, path text, reads_tables boolean) returns void
language plpgsql
set search_path = pg_catalog
as $place_function$
begin
  -- Its rights are those of the log's owner, so that the application's role needs none. The path is pinned, temporary
  -- tables last: otherwise one by the name of a parent would forge an owner.
  execute format('create or replace function changefeed.%I() returns trigger language plpgsql security definer '
                 'set search_path = %s%s as %L', name, path, case when reads_tables then ' set row_security = off' end, body);
  execute format('revoke all on function changefeed.%I() from public', name);
  execute format('alter function changefeed.%I() owner to %s', name,
                 (select n.nspowner::regrole from pg_namespace n where n.nspname = 'changefeed'));
end
$place_function$;

-- Purpose:   put the triggers of one watch on a table, or replace them.
-- Parameters: relation; prefix, of the triggers' names; function_name; inserts: whether INSERT is among them
-- Locks:     SHARE ROW EXCLUSIVE on the table and its partitions
-- Called by: changefeed.install, changefeed.install_parent
create function changefeed.place_triggers(relation regclass, prefix text, function_name text, inserts boolean) returns void
language plpgsql
set search_path = pg_catalog
as $place_triggers$
declare
  leaf regclass;
begin
  -- Whoever makes a partition makes its triggers, and may do so only with EXECUTE on their function. It gives the owner
  -- nothing to call: the schema stays closed to him, and his own table he can write to anyway.
  if exists (select from pg_class c where c.oid = relation and c.relkind = 'p') then
    execute format('grant execute on function changefeed.%I() to %s', function_name,
                   (select c.relowner::regrole from pg_class c where c.oid = relation));
  end if;

  -- "!" sorts before letters: capture comes before the application's own triggers, so that a trigger of the
  -- application's that writes to the same row is recorded after the change that caused it. OR REPLACE, because to drop
  -- a trigger takes ACCESS EXCLUSIVE. The whole row is compared, by its image: to name columns would forbid the
  -- application to drop them.
  if inserts then
    execute format('create or replace trigger %I after insert on %s for each row execute function changefeed.%I()',
                   prefix || '_insert', relation, function_name);
  end if;
  execute format('create or replace trigger %I after update on %s for each row '
                 'when (old.* operator(pg_catalog.*<>) new.*) execute function changefeed.%I()',
                 prefix || '_update', relation, function_name);
  execute format('create or replace trigger %I after delete on %s for each row execute function changefeed.%I()',
                 prefix || '_delete', relation, function_name);
  for leaf in select relation
               union
              select t.relid from pg_partition_tree(relation) t join pg_class c on c.oid = t.relid and c.relkind in ('r', 'p') loop
    execute format('create or replace trigger %I after truncate on %s execute function changefeed.%I()',
                   prefix || '_truncate', leaf, function_name);
  end loop;
end
$place_triggers$;

-- Purpose:   the prepared transactions of this database.
-- Returns:   their names, each after its number, because a name may be used again
-- Locks:     none
-- Called by: changefeed.begin_epoch
create function changefeed.prepared() returns text[]
language sql stable set search_path = pg_catalog
return array(select format('%s %s', p.transaction, p.gid) from pg_prepared_xacts p where p.database = current_database());

-- Purpose:   prove that an owner expression runs, and learn what it reads. Its text becomes a view for a moment: the server
--            then knows its dependencies better than any parsing of ours would.
-- Parameters: relation; source, its name, for messages; expression; path, the search path that it is to run with; runs_as,
--            the role that it is to run as
-- Returns:   definition, the view's, written without a search path; reads, the columns of the row that decide about the
--            owner, possibly none; parents, the columns that it reads of each table, as an object of arrays by oid;
--            functions that it calls and that did not come with the server
-- Raises:    where the expression does not run, or uses the row as a whole
-- Locks:     ACCESS SHARE on the tables it reads
-- Called by: changefeed.install
create function changefeed.probe(
  relation regclass, source text, expression text, path text, runs_as regrole,
  out definition text, out reads text[], out parents jsonb, out functions text[]
)
language plpgsql
set search_path = pg_catalog set row_security = off
as $probe$
declare
  blank text;
begin
  begin
    perform set_config('search_path', path, true);
    -- A line of its own: the expression may end with a comment, but may not comment out what follows.
    execute format(e'create view changefeed.owner_probe as select (%s\n)::text as owner from %s as r', expression, relation);
    execute format('alter view changefeed.owner_probe owner to %s', runs_as);
    execute 'select owner from changefeed.owner_probe limit 1';
    perform set_config('search_path', 'pg_catalog', true);
  exception when others then
    raise exception 'changefeed cannot watch %: its owner expression does not run: %', source, sqlerrm
      using errcode = sqlstate,
            hint = format('It runs as %s, over the row alias r, and must give one value: %s', runs_as, expression);
  end;
  definition := pg_get_viewdef('changefeed.owner_probe'::regclass, false);
  if definition ~ '\mr\.\*' then
    raise exception 'changefeed cannot watch %: its owner expression uses the row r as a whole', source
      using errcode = 'feature_not_supported', hint = format('Name the columns that it uses, as in r.workflow_id: %s', expression);
  end if;
  select coalesce(array_agg(a.attname::text order by a.attnum), '{}'),
         format('(select %s)', string_agg(format('null::%s as %I', format_type(a.atttypid, a.atttypmod), a.attname), ', '))
    into reads, blank
    from changefeed.read_by_probe() p
    join pg_attribute a on a.attrelid = p.relation and a.attnum = p.attnum
   where p.relation = probe.relation;
  drop view changefeed.owner_probe;

  -- Once more with a row that comes from no table: what it still reads of tables, the expression itself reads.
  perform set_config('search_path', path, true);
  execute format(e'create view changefeed.owner_probe as select (%s\n)::text as owner from %s as r', expression, blank);
  perform set_config('search_path', 'pg_catalog', true);
  select coalesce(jsonb_object_agg(p.relation::oid, p.columns), '{}') into parents
    from (select p.relation, coalesce(jsonb_agg(a.attname order by a.attnum) filter (where a.attname is not null), '[]') as columns
            from changefeed.read_by_probe() p
            left join pg_attribute a on a.attrelid = p.relation and a.attnum = p.attnum and a.attnum > 0
           group by p.relation) as p;
  select coalesce(array_agg(distinct d.refobjid::regproc::text), '{}') into functions
    from pg_depend d join pg_rewrite w on w.oid = d.objid
   where d.classid = 'pg_rewrite'::regclass and w.ev_class = 'changefeed.owner_probe'::regclass
     and d.refclassid = 'pg_proc'::regclass;
  drop view changefeed.owner_probe;
end
$probe$;

-- Purpose:   what the view that changefeed.probe() has made reads.
-- Returns:   tables with their columns; column 0: the table, but no column of it
-- Locks:     none
-- Called by: changefeed.probe
create function changefeed.read_by_probe() returns table (relation regclass, attnum integer)
language plpgsql stable set search_path = pg_catalog
as $read_by_probe$
begin
  return query
    select distinct d.refobjid::regclass, d.refobjsubid
      from pg_depend d
      join pg_rewrite w on w.oid = d.objid
     where d.classid = 'pg_rewrite'::regclass and w.ev_class = 'changefeed.owner_probe'::regclass
       and d.refclassid = 'pg_class'::regclass and d.refobjid <> w.ev_class;
end
$read_by_probe$;

-- Purpose:   tell everybody who watches a table to refetch it, because something is not, or not rightly, in the log.
-- Parameters: source, the table's name in events; reason, "bulk" or "owner"
-- Locks:     none
-- Called by: changefeed.install, changefeed.resume
create function changefeed.refetch(source text, reason text) returns void
language plpgsql
set search_path = pg_catalog
as $refetch$
begin
  insert into changefeed.event (source, op, data) values (refetch.source, 'bulk', jsonb_build_object('reason', refetch.reason));
  perform pg_notify('changefeed', refetch.source) from changefeed.state s where s.doorbell;
end
$refetch$;

-- Purpose:   the text of a statement for a trigger function: where this column has changed, keep its former value.
-- Returns:   plpgsql; a value that is too large is not copied, but makes the event carry its key alone
-- Locks:     none
-- Called by: changefeed.install
create function changefeed.remember(relation regclass, name text) returns text
language plpgsql stable set search_path = pg_catalog
as $remember$
declare
  wide text := changefeed.wide(relation, 'old', array[name]);
  keep text := format('before := coalesce(before, ''{}'') || pg_catalog.jsonb_build_object(%L, old.%I);', name, name);
begin
  if wide <> 'false' then
    keep := format('if %s then partial := true; before := coalesce(before, ''{}''); else %s end if;', wide, keep);
  end if;
  return format('if %s then %s end if;', changefeed.differs(relation, name), keep);
end
$remember$;

-- Purpose:   drop triggers and trigger functions of a watch.
-- Parameters: watch_id; but, the names of functions that stay, with their triggers; holding: whether we hold locks on tables
--            of the application's already
-- Locks:     ACCESS EXCLUSIVE on the tables that lose a trigger (DROP TRIGGER knows no less)
-- Called by: changefeed.install, changefeed.unwatch
create function changefeed.remove_triggers(watch_id integer, but text[] default '{}', holding boolean default false) returns void
language plpgsql
set search_path = pg_catalog
as $remove_triggers$
declare
  gone record;
begin
  perform changefeed.lock_tables(
    array(select distinct t.relation from changefeed.triggers_of(watch_id) t where t.function_name <> all (but)),
    'access exclusive', holding);
  for gone in select t.* from changefeed.triggers_of(watch_id) t where t.function_name <> all (but) loop
    execute format('drop trigger %I on %s', gone.name, gone.relation);
  end loop;
  for gone in select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
               where n.nspname = 'changefeed' and p.proname <> all (but)
                 and (p.proname = 'capture_' || watch_id or p.proname ~ ('^parent_' || watch_id || '_')) loop
    execute format('drop function changefeed.%I()', gone.proname);
  end loop;
end
$remove_triggers$;

-- Purpose:   switch the capture of one table on again, and tell everybody who watches it to refetch, because what was
--            written during the pause is not in the log.
-- Parameters: "table"
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on the table and on those that its owner expression reads, waiting at most 3 s
-- Called by: administrators
create function changefeed.resume("table" regclass) returns void
language plpgsql
set search_path = pg_catalog
as $resume$
begin
  perform changefeed.refetch(changefeed.switch($1, 'enable'), 'bulk');
end
$resume$;

-- Purpose:   retention. Seal the leaves whose time is over, and empty those that were sealed longer ago than retention.
-- Returns:   how many leaves were emptied
-- Locks:     the row of changefeed.state; SHARE on a leaf to seal it, ACCESS EXCLUSIVE on a leaf to empty it, both NOWAIT: a
--            TRUNCATE that waits would make every writer wait behind it. What is busy is left for the next call.
-- Called by: the leading relay, a few times per slot
--
-- Algorithm. To empty a leaf is only right if we can say afterwards which cursors have lost something. Naive: compare
-- times; but a transaction may write now and commit tomorrow. So a leaf is sealed once its slot is over and nobody is
-- writing to it (SHARE conflicts with every writer until his transaction ends): from then on everything in it is
-- visible in the snapshot taken then, F. A cursor that includes F has seen the whole leaf; one that does not, may
-- have missed rows of it, and is refused once the leaf is empty: F becomes the floor, in the same transaction.
-- A slot is sealed one second after its end at the earliest, because a backend may be paused between the computation
-- of its slot and the locking of the leaf; a row that comes later still makes the leaf be sealed anew.
-- The DEFAULT leaf, which takes what finds no other, has no time that could be over. It is sealed all the same, and later
-- loses what the seal can see.
create function changefeed.rotate() returns integer
language plpgsql
set search_path = pg_catalog set enable_seqscan = off
as $rotate$
declare
  keep    interval;
  leaf    changefeed.leaf;
  busy    smallint[] := array[changefeed.slot(clock_timestamp()), changefeed.slot(clock_timestamp() - interval '1 second')];
  emptied integer := 0;
  errors  bigint;
  found   boolean;
begin
  select s.retention into keep from changefeed.state s for update;
  for leaf in select l.* from changefeed.leaf l join pg_class c on c.oid = l.relation
               where l.slot <> all (busy) order by l.sealed_at nulls last loop
    begin
      if leaf.sealed_at is null then
        execute format('select exists (select from only %s)', leaf.relation) into found;
        if found then
          execute format('lock table only %s in share mode nowait', leaf.relation);
          update changefeed.leaf l set sealed_at = clock_timestamp(), snapshot = pg_current_snapshot()
           where l.slot = leaf.slot;
        end if;
      elsif leaf.sealed_at > clock_timestamp() then
        -- The clock was ahead, and has been put right: until then the leaf would be kept. Its time begins now.
        update changefeed.leaf l set sealed_at = clock_timestamp() where l.slot = leaf.slot;
      elsif leaf.sealed_at < clock_timestamp() - keep then
        found := false;
        if leaf.slot >= 0 then
          execute format('lock table only %s in access exclusive mode nowait', leaf.relation);
          -- What the seal cannot see, said so that the index answers it: every writer waits for this.
          execute format('select exists (select from only %1$s e where e.xid >= pg_snapshot_xmax($1)) '
                         'or exists (select from only %1$s e where e.xid = any (array(select pg_snapshot_xip($1))))', leaf.relation)
            into found using leaf.snapshot;
        end if;
        if not found then
          execute format('select count(*) from only %s e where e.op = ''error'' and pg_visible_in_snapshot(e.xid, $1)',
                         leaf.relation) into errors using leaf.snapshot;
          if leaf.slot >= 0 then
            execute format('truncate only %s', leaf.relation);
          else
            execute format('delete from only %s e where pg_visible_in_snapshot(e.xid, $1)', leaf.relation)
              using leaf.snapshot;
          end if;
          -- Leaves need not be emptied in the order in which they were sealed: a busy one comes late. The floor never sinks.
          update changefeed.state s
             set capture_errors = s.capture_errors + errors,
                 floor = case when pg_snapshot_xmax(leaf.snapshot) < pg_snapshot_xmax(s.floor)
                                or exists (select from pg_snapshot_xip(leaf.snapshot) as running
                                            where pg_visible_in_snapshot(running, s.floor))
                              then s.floor else leaf.snapshot end;
          emptied := emptied + 1;
        end if;
        update changefeed.leaf l set sealed_at = null, snapshot = null where l.slot = leaf.slot;
      end if;
    exception when lock_not_available then
      continue;
    end;
  end loop;
  return emptied;
end
$rotate$;

-- Purpose:   enable or disable all triggers of one watch.
-- Parameters: relation; verb 'enable' or 'disable'
-- Returns:   the table's name in events
-- Raises:    where the table is not watched
-- Locks:     SHARE ROW EXCLUSIVE on changefeed.watch, on the table and on those that its owner expression reads, waiting at
--            most 3 s: so whoever was writing has ended. See changefeed.lock_tables
-- Called by: changefeed.pause, changefeed.resume
create function changefeed.switch(relation regclass, verb text) returns text
language plpgsql
set search_path = pg_catalog set lock_timeout = '3s'
as $switch$
declare
  watch   changefeed.watch;
  trigger record;
begin
  lock table changefeed.watch in share row exclusive mode;
  select w.* into watch from changefeed.watch w where w.relation = switch.relation;
  if watch.id is null then
    raise exception 'changefeed does not watch %', relation
      using errcode = 'object_not_in_prerequisite_state', hint = format('Call changefeed.watch(%L, …) first.', relation);
  end if;
  perform changefeed.lock_tables(
    array(select distinct t.relation from changefeed.triggers_of(watch.id) t), 'share row exclusive');
  for trigger in select * from changefeed.triggers_of(watch.id) loop
    execute format('alter table %s %s trigger %I', trigger.relation, verb, trigger.name);
  end loop;
  update changefeed.watch w set paused = (verb = 'disable') where w.id = watch.id;
  update changefeed.state s set watch_changes = s.watch_changes + 1;
  return watch.source;
end
$switch$;

-- Purpose:   the triggers of one watch that may be altered or dropped: those on partitions that follow their parent's
--            are left out.
-- Returns:   the table, the trigger's name, whether it is enabled, and its function. On the watched table itself four:
--            insert, update, delete, truncate.
-- Locks:     none
-- Called by: changefeed.remove_triggers, changefeed.switch, the status command
create function changefeed.triggers_of(watch_id integer)
  returns table (relation regclass, name text, enabled boolean, function_name text)
language sql stable set search_path = pg_catalog
as $triggers_of$
  select t.tgrelid::regclass, t.tgname::text, t.tgenabled <> 'D', p.proname::text
    from pg_trigger t
    join pg_proc p on p.oid = t.tgfoid
    join pg_namespace n on n.oid = p.pronamespace
   where n.nspname = 'changefeed' and t.tgparentid = 0
     and (p.proname = 'capture_' || watch_id or p.proname ~ ('^parent_' || watch_id || '_'))
   order by t.tgrelid, t.tgname
$triggers_of$;

-- Purpose:   stop capturing a table and remove everything that watch() installed, on it and on the tables that its owner
--            expression reads. Idempotent: a table that is not watched is left as it is. Events already recorded stay until
--            retention takes them. Of a table that was dropped, give the number that changefeed.watch shows.
-- Parameters: "table"
-- Returns:   whether it was watched
-- Locks:     SHARE ROW EXCLUSIVE on changefeed.watch; ACCESS EXCLUSIVE on the tables (DROP TRIGGER knows no less), waiting
--            at most 3 s
-- Called by: administrators and migrations
create function changefeed.unwatch("table" regclass) returns boolean
language plpgsql
set search_path = pg_catalog set lock_timeout = '3s'
as $unwatch$
declare
  watch_id integer;
begin
  lock table changefeed.watch in share row exclusive mode;
  select w.id into watch_id from changefeed.watch w where w.relation = $1;
  if watch_id is null then
    return false;
  end if;
  perform changefeed.remove_triggers(watch_id);
  delete from changefeed.watch w where w.id = watch_id;
  update changefeed.state s set watch_changes = s.watch_changes + 1;
  return true;
end
$unwatch$;

-- Purpose:   capture the changes of a table from now on. Idempotent: called again it installs the new choice, and mends
--            what was lost (a trigger that was dropped or disabled, partitions that are new).
-- Parameters:
--   "table"      the table, partitioned or not; it must have a primary key, and the caller must own it
--   owner        a column, or an SQL expression over the row alias r that says who may see the row. The caller must own
--                the tables that it reads as well. Tables and functions in it are those of the search path now in force.
--   columns      what events carry; by default everything but json, jsonb, bytea and virtual generated columns
--   owner_kind   what an owner is; a session must have the same kind and value to receive the row
--   bulk_rows    after so many rows of one transaction: one event "refetch" instead of more rows; 0: never
--   fail_closed  an error of the capture fails the application's write, instead of being recorded
-- Returns:   the table's name as it stands in events
-- Raises:    where the table, a column or the owner cannot be watched; the hint says what to do
-- Locks:     SHARE ROW EXCLUSIVE on the table and on those that the owner expression reads, ACCESS EXCLUSIVE on those that
--            it read before and no longer does, waiting at most 3 s, because whoever waits for it makes every later writer
--            wait as well
-- Called by: administrators and migrations
--
-- It does nothing but take the search path along: the rest runs with a pinned one.
create function changefeed.watch(
  "table"     regclass,
  owner       text,
  columns     text[] default null,
  owner_kind  text default 'user',
  bulk_rows   integer default 10000,
  fail_closed boolean default false
) returns text
language sql
as $watch$
  select changefeed.install($1, $2, $3, $4, $5, $6, pg_catalog.current_schemas(false))
$watch$;

-- Purpose:   the text of a test: are these columns of NEW or OLD so large that an event should carry the key alone? It
--            asks for lengths only, which a value that is stored out of line knows without being fetched, so that a
--            text of 300 MB is neither copied nor refused.
-- Returns:   a comparison with 64 KiB; "false" where no column can be large
-- Locks:     none
-- Called by: changefeed.install, changefeed.remember
create function changefeed.wide(relation regclass, row_name text, columns text[]) returns text
language sql stable set search_path = pg_catalog
as $wide$
  select coalesce(
    string_agg(format(case when t.oid in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype, 'bytea'::regtype)
                           then 'coalesce(pg_catalog.octet_length(%s.%I), 0)::bigint'
                           else 'coalesce(pg_catalog.pg_column_size(%s.%I), 0)::bigint' end, row_name, a.attname),
               ' + ' order by a.attnum) || ' > 65536',
    'false')
    from pg_attribute a
    join pg_type t on t.oid = changefeed.base_type(a.atttypid)
   where a.attrelid = relation and a.attname = any (columns) and a.attlen = -1 and a.attstorage in ('x', 'e')
     -- varchar(n): n characters of at most four bytes each
     and not (t.oid in ('varchar'::regtype, 'bpchar'::regtype) and a.atttypmod between 1 and 1000)
$wide$;

-- Purpose:   the transactions that go on writing although their changes are not captured: capture had stopped when they began
--            to. Ids rather than locks, because a snapshot says of an id whether its transaction has ended, and says it
--            of the very moment in which it shows what was written afterwards.
-- Locks:     none of ours; those of the lock table, for as long as it is copied
-- Called by: changefeed.extend
create function changefeed.writing_uncaptured() returns xid8[]
language sql volatile
set search_path = pg_catalog
return (
  -- A transaction has the first of its ids for itself, the others for its savepoints. The lock table knows the lower half of
  -- them; the next id lies behind all, and age() tells how far.
  select coalesce(array_agg((present.next - running.age)::text::xid8), '{}')
    from (select pg_snapshot_xmax(s)::text::bigint, pg_snapshot_xmax(s)::xid from pg_current_snapshot() as s) as present (next, xid)
   cross join lateral (
         select max(age(id.transactionid) - age(present.xid))
           from pg_locks as uncaptured
           join pg_locks as id on id.virtualtransaction = uncaptured.virtualtransaction and id.locktype = 'transactionid'
                              and id.mode = 'ExclusiveLock' and id.granted
          where uncaptured.locktype = 'advisory'
            and uncaptured.database = (select d.oid from pg_database d where d.datname = current_database())
            and (uncaptured.classid, uncaptured.objid, uncaptured.objsubid) = (1667785319, 4, 2)
            and uncaptured.granted
          group by uncaptured.virtualtransaction
         ) as running (age)
);

-- Nothing of changefeed is anybody's but its owner's. PostgreSQL lets everybody execute a new function; the schema, which
-- they cannot enter, would do, but two locks are better than one.
revoke all on schema changefeed from public;
revoke all on all tables in schema changefeed from public;
revoke all on all functions in schema changefeed from public;
