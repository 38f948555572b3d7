-- The answers to one inquiry so far, and the processes that should answer it: everybody who listens.
-- Parameters: $1 bigint, the inquiry.
select l.pid as backend, t.answer::text as answer
  from (select a.pid from pg_stat_activity a
         where a.application_name = 'changefeed listener' and a.datname = current_database()) as l
  full join (select t.backend, t.answer from changefeed.testimony t where t.inquiry = $1) as t on t.backend = l.pid
 where l.pid is not null
 order by l.pid
