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
