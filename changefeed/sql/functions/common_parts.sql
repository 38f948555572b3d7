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
