-- Who was kicked, and when, in Unix seconds: tokens that were issued until then are refused.
select k.user_id, extract(epoch from k.at)::float8 as at from changefeed.kick k
