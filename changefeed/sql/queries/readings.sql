-- What only the database knows of the feed, for metrics; read rarely. Few rows are counted: the index holds only what says
-- "refetch" and what failed.
select pg_notification_queue_usage()::float8 as queue_usage,
       extract(epoch from s.until - clock_timestamp())::float8 as lease_seconds,
       (s.capture_errors + (select count(*) from changefeed.event e where e.op = 'error'))::bigint as capture_errors,
       (select coalesce(sum(pg_total_relation_size(l.relation)), 0) from changefeed.leaf l)::bigint as log_bytes
  from changefeed.state s
