-- Keep a new ticket, and sweep expired ones on the way: a table that is swept by whoever adds to it needs no timer.
-- SKIP LOCKED, because two processes that sweep need not wait for each other; LIMIT, so that no caller pays for a
-- backlog; an array and not a join, for which the planner would read the whole table.
-- Parameters: $1 bytea, the ticket's sha256; $2 text, the identity as JSON; $3 float8, seconds for which it is good.
with swept as (
  delete from changefeed.ticket
   where digest = any (array(select t.digest from changefeed.ticket t where t.expires_at < clock_timestamp()
                              order by t.expires_at limit 100 for update skip locked))
)
insert into changefeed.ticket (digest, claims, expires_at)
values ($1, $2::text::jsonb, clock_timestamp() + make_interval(secs => $3))
