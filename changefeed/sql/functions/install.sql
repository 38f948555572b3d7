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
