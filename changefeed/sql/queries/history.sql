-- What the log has of one row, and of its table as a whole, the newest first. Reads the log from end to end: a key has no index,
-- because nothing but this asks for one.
-- Parameters: $1 text, the source; $2 text[], the key's columns; $3 text[], their values as JSON writes them, without quotes;
--             $4 text and $5 text, kind and value of the owner who is asked about; $6 integer, rows of each kind at most.
(select e.seq, e.xid, e.at, e.source, e.op, e.key, e.owner, e.owner_kind, e.data, e.before, e.partial, e.seen::text as seen
   from changefeed.event e
  where e.source = $1 and e.key is not null
    and (select bool_and(e.key ->> k.name is not distinct from k.value) from unnest($2::text[], $3::text[]) as k (name, value))
  order by e.seq desc limit $6)
union all
(select e.seq, e.xid, e.at, e.source, e.op, e.key, e.owner, e.owner_kind, e.data, e.before, e.partial, e.seen::text as seen
   from changefeed.event e
  where e.source = $1 and e.op in ('bulk', 'truncate', 'error')
    and (e.owner is null or (e.owner = $5 and e.owner_kind = $4))
  order by e.seq desc limit $6)
order by seq desc
