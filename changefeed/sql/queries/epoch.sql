-- The identity of the log: its name outside the database and inside, both read at the same moment.
select changefeed.epoch() as name, (select e.id::text from changefeed.epoch e) as id
