-- Take a ticket, once: of several that delete the row, READ COMMITTED lets one see it, so call it outside of any
-- transaction. Times are compared by the database's clock alone, because processes' clocks differ.
-- Returns: the identity as JSON, whether the ticket was still good, and when its user was kicked; nothing where there is no such ticket.
-- Parameters: $1 bytea, the ticket's sha256.
delete from changefeed.ticket t where t.digest = $1
returning json_build_object(
  'identity', t.claims,
  'good', t.expires_at > clock_timestamp(),
  'kicked_at', (select extract(epoch from k.at)::float8 from changefeed.kick k where k.user_id = t.claims ->> 'user_id')
)::text
