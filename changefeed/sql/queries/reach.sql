-- How far back the log goes, which epoch it is in, and whether capture goes on. By xid, which has an index: the oldest rows
-- are those of the smallest transactions, about.
select changefeed.epoch() as epoch,
       s.until > clock_timestamp() as leased,
       (select e.at from changefeed.event e order by e.xid limit 1) as oldest
  from changefeed.state s
