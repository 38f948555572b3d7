-- When one user was kicked, in Unix seconds, for a process that does not know all kicks yet. Parameters: $1 text, the user.
select extract(epoch from k.at)::float8 from changefeed.kick k where k.user_id = $1
