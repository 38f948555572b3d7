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
