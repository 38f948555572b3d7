do $watch$
declare
  wanted record;
begin
  for wanted in
    select * from (values
      ('workflow_execution', '(select w.owner_id from workflow w where w.id = r.workflow_id)'),
      ('agent_task', 'user_id')
    ) as w (name, owner)
  loop
    if to_regclass(wanted.name) is null then
      raise notice 'changefeed: there is no table %, so it is not watched. For a table of another name: select changefeed.watch(''name'', ''owner'');',
        wanted.name;
    else
      perform changefeed.watch(to_regclass(wanted.name), wanted.owner);
      raise notice 'changefeed: % is watched, owner: %', wanted.name, wanted.owner;
    end if;
  end loop;
end
$watch$;
