-- What one process has to say of how many connections users have with it, and what the others have said of these users.
-- Parameters: see changefeed.attend().
select a.who, a.elsewhere from changefeed.attend($1, $2, $3, $4, $5) as a
