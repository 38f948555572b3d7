-- Nothing of changefeed is anybody's but its owner's. PostgreSQL lets everybody execute a new function; the schema, which
-- they cannot enter, would do, but two locks are better than one.
revoke all on schema changefeed from public;
revoke all on all tables in schema changefeed from public;
revoke all on all functions in schema changefeed from public;
