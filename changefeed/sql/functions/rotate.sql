-- Purpose:   retention. Seal the leaves whose time is over, and empty those that were sealed longer ago than retention.
-- Returns:   how many leaves were emptied
-- Locks:     SHARE on a leaf to seal it, ACCESS EXCLUSIVE on a leaf to empty it, both NOWAIT: a TRUNCATE that waits
--            would make every writer wait behind it. What is busy is left for the next call.
-- Called by: the leading relay, a few times per slot
--
-- Algorithm. To empty a leaf is only right if we can say afterwards which cursors have lost something. Naive: compare
-- times; but a transaction may write now and commit tomorrow. So a leaf is sealed once its slot is over and nobody is
-- writing to it (SHARE conflicts with every writer until his transaction ends): from then on everything in it is
-- visible in the snapshot taken then, F. A cursor that includes F has seen the whole leaf; one that does not, may
-- have missed rows of it, and is refused once the leaf is empty: F becomes the floor, in the same transaction.
-- A slot is sealed one second after its end at the earliest, because a backend may be paused between the computation
-- of its slot and the locking of the leaf.
create function changefeed.rotate() returns integer
language plpgsql
as $rotate$
declare
  width    double precision;
  keep     interval;
  leaf     changefeed.leaf;
  busy     smallint[];
  emptied  integer := 0;
  occupied boolean;
begin
  select extract(epoch from s.retention) / 5, s.retention into width, keep from changefeed.state s for update;
  busy := array[((extract(epoch from clock_timestamp()) / width)::bigint % 8)::smallint,
                ((extract(epoch from clock_timestamp() - interval '1 second') / width)::bigint % 8)::smallint,
                changefeed.slot()];
  for leaf in select * from changefeed.leaf l where l.slot <> all (busy) order by l.sealed_at nulls last loop
    begin
      if leaf.sealed_at is null then
        execute format('select exists (select from only %s)', leaf.relation) into occupied;
        if occupied then
          execute format('lock table only %s in share mode nowait', leaf.relation);
          update changefeed.leaf l set sealed_at = clock_timestamp(), snapshot = pg_catalog.pg_current_snapshot()
           where l.slot = leaf.slot;
        end if;
      elsif leaf.sealed_at < clock_timestamp() - keep then
        execute format('lock table only %s in access exclusive mode nowait', leaf.relation);
        -- A row that the seal cannot see came late (a paused backend, a clock set back): seal it anew.
        execute format('select exists (select from only %s e where not pg_catalog.pg_visible_in_snapshot(e.xid, $1))',
                       leaf.relation) into occupied using leaf.snapshot;
        if occupied then
          update changefeed.leaf l set sealed_at = null, snapshot = null where l.slot = leaf.slot;
        else
          execute format('update changefeed.state s set floor = $1, capture_errors = s.capture_errors + '
                         '(select count(*) from only %s e where e.op = ''error'')', leaf.relation) using leaf.snapshot;
          execute format('truncate only %s', leaf.relation);
          update changefeed.leaf l set sealed_at = null, snapshot = null where l.slot = leaf.slot;
          emptied := emptied + 1;
        end if;
      end if;
    exception when lock_not_available then
      continue;
    end;
  end loop;
  delete from only changefeed.event_default e where e.at < clock_timestamp() - keep - keep;
  return emptied;
end
$rotate$;
