-- Purpose:   end a user's connections in every process, and refuse tokens and tickets that were issued before now. A row
--            and a counter that the processes look at, not a notification: any role may NOTIFY. Each call moves the
--            moment forward, even where the clock went back, so that no call goes unnoticed. To lift it, delete the row
--            and add one to changefeed.state.kicks.
-- Parameters: user_id, the `sub` of the tokens
-- Raises:    where user_id is null or empty
-- Locks:     the user's row of changefeed.kick, the row of changefeed.state: call it in a short transaction
-- Called by: administrators, `changefeed kick`
create function changefeed.kick(user_id text) returns void
language plpgsql
set search_path = pg_catalog
as $kick$
begin
  if user_id is null or user_id = '' then
    raise exception 'changefeed: whom to kick is missing' using hint = 'Call changefeed.kick with the sub of the user''s tokens.';
  end if;
  -- The constraint by name: the column would be taken for the parameter.
  insert into changefeed.kick as k (user_id) values ($1)
    on conflict on constraint kick_pkey do update set at = greatest(excluded.at, k.at + interval '1 microsecond');
  update changefeed.state s set kicks = s.kicks + 1;
  perform pg_catalog.pg_notify('changefeed', '') from changefeed.state s where s.doorbell;
end
$kick$;
revoke all on function changefeed.kick(text) from public;
