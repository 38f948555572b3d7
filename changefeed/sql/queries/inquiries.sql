-- What this process has been asked and has not answered yet. What is older than ten seconds nobody waits for any more.
-- Parameters: $1 integer, the database session of the process's listener.
select i.id, i.owner_kind, i.owner
  from changefeed.inquiry i
 where i.at > clock_timestamp() - interval '10 seconds'
   and not exists (select from changefeed.testimony t where t.inquiry = i.id and t.backend = $1)
 order by i.id
