-- The database's own figures, and those of the log. Counters are since the server's statistics were reset: whoever wants
-- a rate takes two readings. Meant for a connection on which sequential scans are off, because the log is large.
select clock_timestamp() as at,
       d.datname as name,
       current_setting('server_version') as version,
       pg_database_size(d.datid) as size_bytes,
       d.numbackends as connections,
       current_setting('max_connections')::integer as max_connections,
       d.xact_commit + d.xact_rollback as transactions,
       d.blks_hit, d.blks_read,
       pg_notification_queue_usage() as queue_usage,
       (select count(*) from pg_stat_activity a
         where a.datid = d.datid and a.application_name = 'changefeed listener') as relays,
       (select coalesce(sum(pg_total_relation_size(i.inhrelid)), 0)::bigint
          from pg_inherits i where i.inhparent = 'changefeed.event'::regclass) as log_bytes,
       coalesce(pg_sequence_last_value('changefeed.event_seq'), 0) as last_seq,
       (select s.capture_errors from changefeed.state s)
         + (select count(*) from changefeed.event e where e.op = 'error') as capture_errors
  from pg_stat_database d
 where d.datname = current_database()
