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
