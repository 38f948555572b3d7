-- A process's answer. Whoever asked may have gone meanwhile, and with him his question.
-- Parameters: $1 bigint, the inquiry; $2 integer, the database session of the process's listener; $3 text, JSON.
insert into changefeed.testimony (inquiry, backend, answer)
select i.id, $2, $3::text::jsonb from changefeed.inquiry i where i.id = $1
on conflict on constraint testimony_pkey do nothing
