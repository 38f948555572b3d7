do $watch$
declare
  wanted record;
  remedy text;
begin
  for wanted in
    select * from (values
      ('connector_call', 'user_id')
    ) as w (name, owner)
  loop
    if to_regclass(wanted.name) is null then
      raise notice 'changefeed: % is not watched: there is no such table in %. For a table of another name: select changefeed.watch(''name'', ''owner'');',
        wanted.name, current_setting('search_path');
      continue;
    end if;
    begin
      perform changefeed.watch(to_regclass(wanted.name), wanted.owner);
      raise notice 'changefeed: % is watched, owner: %', wanted.name, wanted.owner;
    exception
      when lock_not_available then
        raise exception 'changefeed: % could not be watched: others were using it, or a table that its owner is found in', wanted.name
          using errcode = 'lock_not_available', hint = 'Nothing was changed. Run it again, at a quieter moment or without long transactions.';
      when others then
        -- A table by that name which is not what we took it for must not keep the schema from being installed.
        get stacked diagnostics remedy = pg_exception_hint;
        raise warning 'changefeed: % is NOT watched: %. % When that is done: select changefeed.watch(%, %);',
          wanted.name, sqlerrm, remedy, quote_literal(wanted.name), quote_literal(wanted.owner);
    end;
  end loop;
end
$watch$;
