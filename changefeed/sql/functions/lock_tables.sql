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
