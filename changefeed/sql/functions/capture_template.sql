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
