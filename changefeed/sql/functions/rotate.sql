-- Purpose:   retention. Seal the leaves whose time is over, and empty those that were sealed longer ago than retention.
-- Returns:   how many leaves were emptied
-- Locks:     the row of changefeed.state; SHARE on a leaf to seal it, ACCESS EXCLUSIVE on a leaf to empty it, both NOWAIT: a
--            TRUNCATE that waits would make every writer wait behind it. What is busy is left for the next call.
-- Called by: the leading relay, a few times per slot
--
-- Algorithm. To empty a leaf is only right if we can say afterwards which cursors have lost something. Naive: compare
-- times; but a transaction may write now and commit tomorrow. So a leaf is sealed once its slot is over and nobody is
-- writing to it (SHARE conflicts with every writer until his transaction ends): from then on everything in it is
-- visible in the snapshot taken then, F. A cursor that includes F has seen the whole leaf; one that does not, may
-- have missed rows of it, and is refused once the leaf is empty: F becomes the floor, in the same transaction.
-- A slot is sealed one second after its end at the earliest, because a backend may be paused between the computation
-- of its slot and the locking of the leaf; a row that comes later still makes the leaf be sealed anew.
-- The DEFAULT leaf, which takes what finds no other, has no time that could be over. It is sealed all the same, and later
-- loses what the seal can see.
create function changefeed.rotate() returns integer
language plpgsql
set search_path = pg_catalog set enable_seqscan = off
as $rotate$
declare
  keep    interval;
  leaf    changefeed.leaf;
  busy    smallint[] := array[changefeed.slot(clock_timestamp()), changefeed.slot(clock_timestamp() - interval '1 second')];
  emptied integer := 0;
  errors  bigint;
  found   boolean;
begin
  select s.retention into keep from changefeed.state s for update;
  for leaf in select l.* from changefeed.leaf l join pg_class c on c.oid = l.relation
               where l.slot <> all (busy) order by l.sealed_at nulls last loop
    begin
      if leaf.sealed_at is null then
        execute format('select exists (select from only %s)', leaf.relation) into found;
        if found then
          execute format('lock table only %s in share mode nowait', leaf.relation);
          update changefeed.leaf l set sealed_at = clock_timestamp(), snapshot = pg_current_snapshot()
           where l.slot = leaf.slot;
        end if;
      elsif leaf.sealed_at > clock_timestamp() then
        -- The clock was ahead, and has been put right: until then the leaf would be kept. Its time begins now.
        update changefeed.leaf l set sealed_at = clock_timestamp() where l.slot = leaf.slot;
      elsif leaf.sealed_at < clock_timestamp() - keep then
        found := false;
        if leaf.slot >= 0 then
          execute format('lock table only %s in access exclusive mode nowait', leaf.relation);
          -- What the seal cannot see, said so that the index answers it: every writer waits for this.
          execute format('select exists (select from only %1$s e where e.xid >= pg_snapshot_xmax($1)) '
                         'or exists (select from only %1$s e where e.xid = any (array(select pg_snapshot_xip($1))))', leaf.relation)
            into found using leaf.snapshot;
        end if;
        if not found then
          execute format('select count(*) from only %s e where e.op = ''error'' and pg_visible_in_snapshot(e.xid, $1)',
                         leaf.relation) into errors using leaf.snapshot;
          if leaf.slot >= 0 then
            execute format('truncate only %s', leaf.relation);
          else
            execute format('delete from only %s e where pg_visible_in_snapshot(e.xid, $1)', leaf.relation)
              using leaf.snapshot;
          end if;
          -- Leaves need not be emptied in the order in which they were sealed: a busy one comes late. The floor never sinks.
          update changefeed.state s
             set capture_errors = s.capture_errors + errors,
                 floor = case when pg_snapshot_xmax(leaf.snapshot) < pg_snapshot_xmax(s.floor)
                                or exists (select from pg_snapshot_xip(leaf.snapshot) as running
                                            where pg_visible_in_snapshot(running, s.floor))
                              then s.floor else leaf.snapshot end;
          emptied := emptied + 1;
        end if;
        update changefeed.leaf l set sealed_at = null, snapshot = null where l.slot = leaf.slot;
      end if;
    exception when lock_not_available then
      continue;
    end;
  end loop;
  return emptied;
end
$rotate$;
