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
