"""What is in a database, as lines of text that can be compared: everything but the system's own."""

import asyncpg

_LINES = """
with ours as (
  select oid, nspname from pg_namespace
   where nspname !~ '^pg_' and nspname <> 'information_schema'
)
select 'schema ' || n.nspname || ' of ' || n.nspowner::regrole || ' ' || coalesce(n.nspacl::text, '')
  from pg_namespace n join ours on ours.oid = n.oid
union all
select concat_ws(' ', 'relation', n.nspname, c.relname, c.relkind, c.relpersistence, c.relowner::regrole, c.relacl,
                 c.reloptions, c.relrowsecurity, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid))
  from pg_class c join ours n on n.oid = c.relnamespace
union all
select concat_ws(' ', 'column', n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                 a.attidentity, a.attgenerated, a.attacl, pg_get_expr(d.adbin, d.adrelid))
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid
  join ours n on n.oid = c.relnamespace
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where a.attnum > 0 and not a.attisdropped
union all
select concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid))
  from pg_index i join pg_class c on c.oid = i.indexrelid join ours n on n.oid = c.relnamespace
union all
select concat_ws(' ', 'constraint', n.nspname, k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
  from pg_constraint k join ours n on n.oid = k.connamespace
union all
select concat_ws(' ', 'trigger', regexp_replace(pg_get_triggerdef(t.oid), 'parent_(\\d+)_\\d+', 'parent_\\1'), t.tgenabled)
  from pg_trigger t join pg_class c on c.oid = t.tgrelid join ours n on n.oid = c.relnamespace
 where not t.tgisinternal
union all
select concat_ws(' ', 'function', n.nspname, regexp_replace(p.proname, '^parent_(\\d+)_\\d+$', 'parent_\\1'),
                 pg_get_function_identity_arguments(p.oid), p.proowner::regrole, p.prosecdef, p.provolatile, p.proconfig,
                 p.proacl, md5(pg_get_functiondef(p.oid) || p.prosrc))
  from pg_proc p join ours n on n.oid = p.pronamespace
 where p.prokind <> 'a' and p.proname !~ '^parent_\\d'
union all
select concat_ws(' ', 'type', n.nspname, t.typname, t.typtype)
  from pg_type t join ours n on n.oid = t.typnamespace
union all
select concat_ws(' ', 'sequence', n.nspname, s.sequencename, s.increment_by, s.cache_size)
  from pg_sequences s join ours n on n.nspname = s.schemaname
union all
select concat_ws(' ', 'extension', extname) from pg_extension
union all
select concat_ws(' ', 'event trigger', evtname) from pg_event_trigger
union all
select concat_ws(' ', 'publication', pubname) from pg_publication
union all
select concat_ws(' ', 'default privileges', defaclrole::regrole, defaclacl) from pg_default_acl
union all
select concat_ws(' ', 'comment', classoid::regclass, description)
  from pg_description where objoid >= 16384
order by 1
"""


async def catalog(connection: asyncpg.Connection) -> list[str]:
    """Schemas, tables, columns, indexes, constraints, triggers, functions, types, privileges."""
    return [row[0] for row in await connection.fetch(_LINES)]


async def rows(connection: asyncpg.Connection) -> dict[str, list[str]]:
    """What the installation writes into its tables: of each, the rows without what differs from one day to the next."""
    return {
        table: [
            row[0]
            for row in await connection.fetch(
                f"select (to_jsonb(t) - 'until' - 'watched_at' - 'at')::text from changefeed.{table} t order by 1"
            )
        ]
        for table in ("leaf", "state", "watch", "event", "epoch", "kick", "ticket")
    }
