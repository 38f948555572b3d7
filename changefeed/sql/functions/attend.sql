-- Purpose:   tell the other processes how many connections some users have with this one, and hear how many they have
--            with all others: what makes the cap on a user's connections hold over all processes.
-- Parameters: backend, the database session of the process's listener, by which it is known; whose, digests of users;
--            counts, their connections here, in the same order, 0: none any more; most, that a user may have; anew:
--            everything that this session has said before is forgotten, and with it what processes have left behind that
--            are no more
-- Returns:   those of the users who have connections with other processes, and how many
-- Locks:     an advisory lock until the end of the transaction, so that of two processes that speak at the same time
--            one sees what the other has said; waits for it at most 2 s
-- Called by: every API process, at most once a second, when something has changed
--
-- What would be more than a user may have is not told: this process is to send it away, and the next one that speaks must
-- not send away others for its sake.
--
-- A process is alive as long as its listener's session is; where we may not see when that began (it is another role's),
-- its number alone has to do.
create function changefeed.attend(backend integer, whose bytea[], counts integer[], most integer, anew boolean)
  returns table (who bytea, elsewhere bigint)
language plpgsql
set search_path = pg_catalog set lock_timeout = '2s'
as $attend$
declare
  started timestamptz;
begin
  perform pg_advisory_xact_lock(1667785319, 5);
  select a.backend_start into started from pg_stat_activity a where a.pid = attend.backend;
  if anew then
    delete from changefeed.presence p
     where p.backend = attend.backend
        or not exists (select from pg_stat_activity a
                        where a.pid = p.backend and coalesce(a.backend_start, p.started_at) = p.started_at);
  end if;
  return query
    with told as (
      select t.who, t.connections, coalesce(sum(p.connections) filter (where a.pid is not null), 0)::bigint as elsewhere
        from unnest(whose, counts) as t (who, connections)
        left join changefeed.presence p on p.who = t.who and p.backend <> attend.backend
        left join pg_stat_activity a on a.pid = p.backend and coalesce(a.backend_start, p.started_at) = p.started_at
       group by t.who, t.connections
    ), gone as (
      delete from changefeed.presence p using told t
       where p.who = t.who and p.backend = attend.backend and least(t.connections, most - t.elsewhere) <= 0
    ), here as (
      insert into changefeed.presence (who, backend, started_at, connections)
        select t.who, attend.backend, started, least(t.connections, most - t.elsewhere)
          from told t
         where least(t.connections, most - t.elsewhere) > 0 and started is not null
        on conflict on constraint presence_pkey do update
          set connections = excluded.connections, started_at = excluded.started_at
    )
    select t.who, t.elsewhere from told t where t.elsewhere > 0;
end
$attend$;
